// DLPack: arrays that are shared between libraries without a copy.
// The layout of the structs is that of the specification, github.com/dmlc/dlpack (dlpack.h), in its
// two forms: the one before version 1.0, without a version, and 1.x. The rules for capsules are
// those of "Python Specification for DLPack" in its documentation.
#include <dlfcn.h>

#include <optional>

#include "python/bindings/bindings.h"
#include "tensor/backend.h"
#include "tensor/ops.h"

namespace versor::python {
namespace {

struct DlDevice {
  int32_t type;  // 1 CPU, 2 CUDA, 3 pinned memory, 13 managed memory
  int32_t index;
};
struct DlType {
  uint8_t code;  // 0 integer, 1 unsigned, 2 float, 4 bfloat
  uint8_t bits;
  uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  int32_t rank;
  DlType type;
  int64_t* shape;
  int64_t* strides;  // in elements; null: contiguous
  uint64_t byte_offset;
};
// What a capsule holds: the array, and how to give it back.
struct Managed {
  static constexpr const char *kName = "dltensor", *kUsedName = "used_dltensor";
  DlTensor array;
  void* context;
  void (*deleter)(Managed*);
};
struct ManagedVersioned {
  static constexpr const char *kName = "dltensor_versioned", *kUsedName = "used_dltensor_versioned";
  static constexpr uint64_t kReadOnly = 1;
  struct Version {
    uint32_t major, minor;
  } version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  DlTensor array;
};

constexpr int32_t kCpu = 1, kCuda = 2;

DlType type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return {4, 16, 1};
    case DType::i32:
      return {0, 32, 1};
    case DType::u8:
      return {1, 8, 1};
    default:
      return {2, 32, 1};
  }
}

DType dtype_from(const DlType& type) {
  for (DType dtype : {DType::f32, DType::bf16, DType::i32, DType::u8}) {
    const DlType known = type_of(dtype);
    if (known.code == type.code && known.bits == type.bits && type.lanes == 1) return dtype;
  }
  fail("from_dlpack", "an array of type code ", int{type.code}, " with ", int{type.bits},
       " bits: there are float32, bfloat16, int32 and uint8");
}

Device device_from(const DlDevice& device) {
  if (device.type == kCpu) return {};
  check(device.type == kCuda, "from_dlpack", "the array lies on a device of type ", device.type,
        "; there are CPU (1) and CUDA (2)");
  return {DeviceType::cuda, device.index};
}

// Waits until a GPU has done all its work, also that of other libraries on streams of their own, of
// which Backend::synchronize() knows nothing. Only the driver is asked: unlike the runtime library
// it is in a process with a GPU whatever this module was linked with. Nothing to do on the CPU.
void wait_for_all_work(Device device) {
  if (device.type != DeviceType::cuda) return;
  backend_for(device).synchronize();  // makes this GPU's context the thread's current one, too
  static void* const driver = dlopen("libcuda.so.1", RTLD_LAZY);
  static void* const address = driver ? dlsym(driver, "cuCtxSynchronize") : nullptr;
  check(address != nullptr, "dlpack", "the driver of ", device, " has no cuCtxSynchronize");
  std::optional<py::gil_scoped_release> unlocked;  // a stream may wait for a function in Python
  if (Py_IsInitialized() && PyGILState_Check()) unlocked.emplace();
  const int status = reinterpret_cast<int (*)()>(address)();
  check(status == 0, "dlpack", "cannot wait for ", device, ": error ", status, " of its driver");
}

// Before memory is given back or freed, where nobody could take an error: a GPU that cannot be
// waited for has failed, and all later calls will say so.
void wait_before_release(Device device) noexcept {
  try {
    wait_for_all_work(device);
  } catch (const std::exception&) {
  }
}

bool is_contiguous(const DlTensor& array) {
  int64_t expected = 1;
  for (int i = array.rank - 1; i >= 0; --i) {
    if (array.shape[i] != 1 && array.strides[i] != expected) return false;
    expected *= array.shape[i];
  }
  return true;
}

// Takes the array out of a capsule, which is then used up. The array's owner gets it back when the
// last tensor of it is gone.
template <class M>
Tensor take(const py::capsule& capsule) {
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule.ptr(), M::kName));
  if (managed == nullptr) throw py::error_already_set();
  if constexpr (std::is_same_v<M, ManagedVersioned>) {
    check(managed->version.major == 1, "from_dlpack", "the array speaks version ",
          managed->version.major, " of the protocol, not 1");
    check((managed->flags & M::kReadOnly) == 0, "from_dlpack",
          "the array is read-only; versor.Tensor(array) copies it");
  }
  const DlTensor& array = managed->array;
  const DType dtype = dtype_from(array.type);
  const Device device = device_from(array.device);
  check(array.rank >= 0 && array.rank <= Shape::kMaxRank, "from_dlpack", "the array has ",
        array.rank, " axes, at most ", Shape::kMaxRank, " are possible");
  const Shape shape(std::span<const int64_t>(array.shape, static_cast<size_t>(array.rank)));
  check(array.strides == nullptr || shape.numel() == 0 || is_contiguous(array), "from_dlpack",
        "the array is not contiguous; versor.Tensor(array) copies it");
  // From here on nothing fails that would leave the array without an owner.
  PyCapsule_SetName(capsule.ptr(), M::kUsedName);
  const std::shared_ptr<void> owner(managed, [device](void* address) {
    auto* m = static_cast<M*>(address);
    if (m->deleter == nullptr || !Py_IsInitialized()) return;
    wait_before_release(device);  // our kernels may still be using it
    const py::gil_scoped_acquire lock;
    m->deleter(m);
  });
  if (shape.numel() == 0) return Tensor(shape, dtype, device);
  return Tensor::wrap(static_cast<char*>(array.data) + array.byte_offset, shape, dtype, device,
                      owner);
}

// What a capsule of ours keeps alive.
template <class M>
struct Exported {
  M managed = {};
  Tensor tensor;
  std::array<int64_t, Shape::kMaxRank> shape = {}, strides = {};
};

// The consumer renames a capsule that it has taken; one that nobody took still owns the array.
template <class M>
void drop_unused(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, M::kName)) return;
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, M::kName));
  managed->deleter(managed);
}

template <class M>
py::capsule give(const Tensor& t) {
  auto exported = std::make_unique<Exported<M>>();
  exported->tensor = t;
  const Shape& shape = t.shape();
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    exported->shape[static_cast<size_t>(i)] = shape[i];
    exported->strides[static_cast<size_t>(i)] = stride;
    stride *= shape[i];
  }
  M& managed = exported->managed;
  const py::tuple device = dlpack_device(t.device());
  managed.array = {.data = t.address(),
                   .device = {device[0].cast<int32_t>(), device[1].cast<int32_t>()},
                   .rank = shape.rank(),
                   .type = type_of(t.dtype()),
                   .shape = exported->shape.data(),
                   .strides = exported->strides.data(),
                   .byte_offset = 0};
  managed.context = exported.get();
  managed.deleter = [](M* m) {
    auto* e = static_cast<Exported<M>*>(m->context);
    wait_before_release(e->tensor.device());  // the consumer's kernels may still be using it
    delete e;
  };
  if constexpr (std::is_same_v<M, ManagedVersioned>) managed.version = {1, 0};
  PyObject* capsule = PyCapsule_New(&managed, M::kName, drop_unused<M>);
  if (capsule == nullptr) throw py::error_already_set();
  exported.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

}  // namespace

py::tuple dlpack_device(Device device) {
  return py::make_tuple(device.type == DeviceType::cuda ? kCuda : kCpu, device.index);
}

py::capsule to_dlpack(const Tensor& t, bool versioned) {
  t.backend().synchronize();  // whatever stream the consumer reads on
  return versioned ? give<ManagedVersioned>(t) : give<Managed>(t);
}

Tensor from_dlpack(const py::object& array) {
  check(py::hasattr(array, "__dlpack__"), "from_dlpack", "needs an array that has __dlpack__");
  py::dict arguments;
  bool on_cuda = false;
  if (py::hasattr(array, "__dlpack_device__"))
    on_cuda = array.attr("__dlpack_device__")().cast<py::tuple>()[0].cast<int32_t>() == kCuda;
  if (on_cuda) arguments["stream"] = 1;  // CUDA's legacy default stream; all are waited for below
  py::object capsule;
  try {
    capsule = array.attr("__dlpack__")("max_version"_a = py::make_tuple(1, 0), **arguments);
  } catch (py::error_already_set& e) {  // from before version 1 of the protocol
    if (!e.matches(PyExc_TypeError)) throw;
    capsule = array.attr("__dlpack__")(**arguments);
  }
  const bool versioned = PyCapsule_IsValid(capsule.ptr(), ManagedVersioned::kName);
  const Tensor t = versioned ? take<ManagedVersioned>(capsule) : take<Managed>(capsule);
  wait_for_all_work(t.device());
  return t;
}

}  // namespace versor::python
