// Tensor: a shape, an element type, and a share of some device memory. Contiguous, row-major.
// Copying a Tensor shares its storage; reshape() and rows() are free views of the same storage.
// Nothing here computes: see ops.h for that, backend.h for how a device does it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace versor {

class Backend;

class Tensor {
 public:
  Tensor() = default;  // undefined: stands for "none" where a tensor is optional
  // Uninitialised memory from the device's pool. Throws Error if there is none left, with the size
  // and `asker`, the function that makes the tensor.
  explicit Tensor(Shape shape, DType dtype = DType::f32, Device device = {},
                  const char* asker = __builtin_FUNCTION());

  // A tensor on `device` with the given host values, in row-major order.
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape, Device device = {}) {
    Tensor t(shape, dtype_of<T>, device);
    check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor", values.size(),
          " values do not fill ", shape);
    t.copy_from_host(values.data());
    return t;
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, Shape shape, Device device = {}) {
    return from(std::span<const T>(values), shape, device);
  }

  // A tensor in memory that is not the pool's, for example a mapped file or an array of another
  // library. `owner` keeps it alive; the address must be aligned to the element type. The memory of
  // a mapping may be read-only: then so is the tensor.
  static Tensor wrap(void* address, Shape shape, DType dtype, Device device,
                     std::shared_ptr<void> owner);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }
  Device device() const;
  size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype_); }
  Backend& backend() const;

  // Device address of the first element. Throws if T is not the element type.
  template <class T>
  T* data() {
    return static_cast<T*>(typed_address(dtype_of<T>));
  }
  template <class T>
  const T* data() const {
    return static_cast<const T*>(typed_address(dtype_of<T>));
  }
  void* address() const;

  Tensor reshape(Shape shape) const;              // same storage, same number of elements
  Tensor rows(int64_t begin, int64_t end) const;  // same storage, a range of the first axis
  Tensor flat_rows() const;                       // same storage, [R,C] with C the last axis
  bool unshared() const { return storage_.use_count() == 1; }  // no other Tensor sees this memory
  bool shares_storage_with(const Tensor& other) const { return storage_ == other.storage_; }

  Tensor to(Device device) const;  // itself if it is there already, else a copy
  // All elements on the host; waits for the device.
  template <class T>
  std::vector<T> to_vector() const {
    check(dtype_of<T> == dtype_, "tensor", "elements are ", dtype_, ", not ", dtype_of<T>);
    std::vector<T> values(static_cast<size_t>(numel()));
    copy_to_host(values.data());
    return values;
  }
  // The only element of a scalar on the host; waits for the device.
  float item() const;

  void copy_from_host(const void* source);
  void copy_to_host(void* target) const;

 private:
  struct Storage;  // memory of one device, given back with its last Tensor

  void* typed_address(DType wanted) const;

  std::shared_ptr<Storage> storage_;
  size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace versor
