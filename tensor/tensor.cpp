// Tensor: storage, views and copies between host and device. See tensor.h.
#include "tensor/tensor.h"

#include "tensor/backend.h"

namespace versor {

Device parse_device(const std::string& text) {
  if (text == "cpu") return {DeviceType::cpu, 0};
  if (text == "cuda") return {DeviceType::cuda, 0};
  if (text.starts_with("cuda:") && text.size() > 5 && text.size() < 9 &&
      text.find_first_not_of("0123456789", 5) == std::string::npos) {
    return {DeviceType::cuda, std::stoi(text.substr(5))};
  }
  fail("device", "unknown device \"", text, "\"; expected cpu, cuda or cuda:N");
}

struct Tensor::Storage {
  Storage(size_t bytes_, Device device_)
      : device(device_),
        bytes(bytes_),
        backend(&backend_for(device)),
        block(backend->pool().allocate(bytes)) {}
  // Memory of somebody else.
  Storage(void* address, size_t bytes_, Device device_, std::shared_ptr<void> owner_)
      : device(device_),
        bytes(bytes_),
        backend(&backend_for(device)),
        block(address),
        owner(std::move(owner_)) {}
  ~Storage() {
    if (block != nullptr && owner == nullptr) backend->pool().free(block, bytes);
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device device;
  size_t bytes;
  Backend* backend;
  void* block;
  std::shared_ptr<void> owner;  // of memory that is not the pool's
};

Tensor::Tensor(Shape shape, DType dtype, Device device, const char* asker)
    : shape_(shape), dtype_(dtype) {
  storage_ = std::make_shared<Storage>(bytes(), device);
  check(storage_->block != nullptr, asker, "cannot allocate ", readable_bytes(bytes()), " for ",
        dtype, " ", shape, " on ", device, ", ", storage_->backend->pool().state(),
        "; smaller sizes need less, --max-memory sets the limit");
}

Tensor Tensor::wrap(void* address, Shape shape, DType dtype, Device device,
                    std::shared_ptr<void> owner) {
  check(address != nullptr && owner != nullptr, "tensor", "wraps memory that has an owner");
  check(reinterpret_cast<uintptr_t>(address) % size_of(dtype) == 0, "tensor",
        "the memory to wrap is not aligned to ", dtype);
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.storage_ = std::make_shared<Storage>(address, t.bytes(), device, std::move(owner));
  return t;
}

Device Tensor::device() const {
  check(defined(), "tensor", "is undefined");
  return storage_->device;
}

Backend& Tensor::backend() const {
  check(defined(), "tensor", "is undefined");
  return *storage_->backend;
}

void* Tensor::address() const {
  check(defined(), "tensor", "is undefined");
  return static_cast<char*>(storage_->block) + offset_;
}

void* Tensor::typed_address(DType wanted) const {
  check(wanted == dtype_, "tensor", "elements are ", dtype_, ", not ", wanted);
  return address();
}

Tensor Tensor::reshape(Shape shape) const {
  check(shape.numel() == numel(), "reshape", shape_, " has ", numel(), " elements, ", shape,
        " has ", shape.numel());
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  check(shape_.rank() >= 1, "rows", "a scalar has no rows");
  check(0 <= begin && begin <= end && end <= dim(0), "rows", "range ", begin, "..", end,
        " is outside the first axis of ", shape_);
  int64_t extents[Shape::kMaxRank];
  for (int i = 0; i < shape_.rank(); ++i) extents[i] = shape_[i];
  const int64_t row_elements = dim(0) > 0 ? numel() / dim(0) : 0;
  extents[0] = end - begin;
  Tensor view = *this;
  view.offset_ += static_cast<size_t>(begin * row_elements) * size_of(dtype_);
  view.shape_ = Shape(std::span<const int64_t>(extents, shape_.rank()));
  return view;
}

Tensor Tensor::flat_rows() const {
  check(shape_.rank() >= 1 && dim(-1) > 0, "rows", shape_, " has no rows");
  return reshape({numel() / dim(-1), dim(-1)});
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  std::vector<char> bytes_on_host(bytes());
  copy_to_host(bytes_on_host.data());
  Tensor copy(shape_, dtype_, device);
  copy.copy_from_host(bytes_on_host.data());
  return copy;
}

float Tensor::item() const {
  check(numel() == 1, "item", shape_, " has ", numel(), " elements, not one");
  return to_vector<float>()[0];
}

void Tensor::copy_from_host(const void* source) {
  backend().copy_from_host(address(), source, bytes());
}

void Tensor::copy_to_host(void* target) const {
  backend().copy_to_host(target, address(), bytes());
}

}  // namespace versor
