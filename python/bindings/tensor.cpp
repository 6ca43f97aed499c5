// Tensor in Python: made from numbers or shared with another library, read, reshaped, moved.
#include "tensor/tensor.h"

#include <pybind11/numpy.h>

#include "python/bindings/bindings.h"
#include "tensor/names.h"
#include "tensor/ops.h"

namespace versor::python {
namespace {

// The numbers of nested lists, and the shape that they have.
struct Numbers {
  std::vector<double> values;
  std::vector<int64_t> extents;
  bool whole = true;

  void read(const py::handle& data, size_t depth) {
    if (!py::isinstance<py::sequence>(data) || py::isinstance<py::str>(data)) {
      check(depth == extents.size() || values.empty(), "tensor", "the lists are of unequal depth");
      whole = whole && PyLong_Check(data.ptr());
      values.push_back(data.cast<double>());
      return;
    }
    const auto list = py::reinterpret_borrow<py::sequence>(data);
    const auto count = static_cast<int64_t>(list.size());
    check(depth < Shape::kMaxRank, "tensor", "lists are nested at most ", Shape::kMaxRank, " deep");
    if (depth == extents.size() && values.empty()) extents.push_back(count);
    check(depth < extents.size() && extents[depth] == count, "tensor",
          "the lists are of unequal length");
    for (const py::handle part : list) read(part, depth + 1);
  }
};

template <class T>
std::vector<T> converted(const double* begin, size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<T, int32_t>)
      check(std::abs(begin[i]) <= INT32_MAX, "tensor", begin[i], " is beyond i32");
    values[i] = static_cast<T>(begin[i]);
  }
  return values;
}

Tensor from_lists(const py::object& data) {
  Numbers numbers;
  numbers.read(data, 0);
  const Shape shape{std::span<const int64_t>(numbers.extents)};
  const double* begin = numbers.values.data();
  if (numbers.whole && !numbers.values.empty())
    return Tensor::from(converted<int32_t>(begin, numbers.values.size()), shape);
  return Tensor::from(converted<float>(begin, numbers.values.size()), shape);
}

// The elements of a buffer in their own type, as T.
template <class From, class T>
std::vector<T> elements(const std::vector<char>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(From));
  for (size_t i = 0; i < values.size(); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    if constexpr (std::is_integral_v<From> && std::is_same_v<T, int32_t>)
      check(std::in_range<int32_t>(value), "tensor", value, " is beyond i32");
    values[i] = static_cast<T>(value);
  }
  return values;
}

Tensor from_bytes(const std::vector<char>& bytes, const Shape& shape, const std::string& format) {
  const std::string code = format.substr(format.find_first_not_of("@=<"));
  const auto from = [&]<class From, class T>(From, T) {
    return Tensor::from(elements<From, T>(bytes), shape);
  };
  if (code == "f") return from(float(), float());
  if (code == "d") return from(double(), float());
  if (code == "B" || code == "?") return from(uint8_t(), uint8_t());
  if (code == "b") return from(int8_t(), int32_t());
  if (code == "h") return from(int16_t(), int32_t());
  if (code == "H") return from(uint16_t(), int32_t());
  if (code == "i") return from(int32_t(), int32_t());
  if (code == "I") return from(uint32_t(), int32_t());
  if (code == "l" || code == "q") return from(int64_t(), int32_t());
  fail("tensor", "elements of the format ", format, " have no type here");
}

Tensor from_buffer(const py::object& data) {
  Py_buffer view;
  if (PyObject_GetBuffer(data.ptr(), &view, PyBUF_FULL_RO) != 0) throw py::error_already_set();
  const std::unique_ptr<Py_buffer, void (*)(Py_buffer*)> release(&view, PyBuffer_Release);
  check(view.ndim <= Shape::kMaxRank, "tensor", "the array has ", view.ndim, " axes, at most ",
        Shape::kMaxRank, " are possible");
  const Shape shape(std::span<const int64_t>(view.shape, static_cast<size_t>(view.ndim)));
  std::vector<char> bytes(static_cast<size_t>(view.len));
  if (PyBuffer_ToContiguous(bytes.data(), &view, view.len, 'C') != 0) throw py::error_already_set();
  return from_bytes(bytes, shape, view.format ? view.format : "B");
}

template <class T>
py::object nested(const std::vector<T>& values, const Shape& shape, int axis, size_t& next) {
  if (axis == shape.rank()) return py::cast(values[next++]);
  py::list list;
  for (int64_t i = 0; i < shape[axis]; ++i) list.append(nested(values, shape, axis + 1, next));
  return list;
}

py::object to_list(const Tensor& t) {
  size_t next = 0;
  switch (t.dtype()) {
    case DType::i32:
      return nested(t.to_vector<int32_t>(), t.shape(), 0, next);
    case DType::u8:
      return nested(t.to_vector<uint8_t>(), t.shape(), 0, next);
    case DType::bf16:
      return nested(ops::cast(t, DType::f32).to_vector<float>(), t.shape(), 0, next);
    default:
      return nested(t.to_vector<float>(), t.shape(), 0, next);
  }
}

// NumPy's arrays have no bf16, and lie on the CPU.
py::dict array_interface(const Tensor& t) {
  check(t.device() == Device{}, "numpy", "the tensor is on ", t.device(),
        "; to(\"cpu\") copies it");
  check(t.dtype() != DType::bf16, "numpy", "has no bf16; cast(\"f32\") converts the tensor");
  const char* type = t.dtype() == DType::f32 ? "<f4" : t.dtype() == DType::i32 ? "<i4" : "|u1";
  py::dict d;
  d["version"] = 3;
  d["shape"] = tuple_of(t.shape());
  d["typestr"] = type;
  d["data"] = py::make_tuple(reinterpret_cast<uintptr_t>(t.address()), false);
  return d;
}

Tensor first_axis(const Tensor& t, int64_t i) {
  const int64_t n = t.dim(0), at = i < 0 ? i + n : i;
  if (at < 0 || at >= n) throw py::index_error(str("row ", i, " of ", n));
  std::vector<int64_t> rest(t.shape().begin() + 1, t.shape().end());
  return t.rows(at, at + 1).reshape(shape_of(rest));
}

Tensor first_axis_range(const Tensor& t, const py::slice& range) {
  py::ssize_t begin = 0, end = 0, step = 0, count = 0;
  if (!range.compute(t.dim(0), &begin, &end, &step, &count)) throw py::error_already_set();
  check(step == 1, "rows", "are taken without a step, not with ", step);
  return t.rows(begin, begin + count);
}

py::object dlpack_of(const Tensor& t, const py::object& max_version, const py::object& device,
                     const py::object& copy) {
  check(device.is_none() || device.equal(dlpack_device(t.device())), "dlpack",
        "the array stays on its device, ", t.device());
  const bool versioned =
      !max_version.is_none() && max_version.cast<py::tuple>()[0].cast<int>() >= 1;
  const bool clones = !copy.is_none() && copy.cast<bool>();
  return to_dlpack(clones ? ops::clone(t) : t, versioned);
}

}  // namespace

DType dtype_named(const std::string& name) {
  std::string names;
  for (int i = 0; i < static_cast<int>(DType::count); ++i) {
    if (str(static_cast<DType>(i)) == name) return static_cast<DType>(i);
    names += str(names.empty() ? "" : ", ", static_cast<DType>(i));
  }
  fail("dtype", "unknown \"", name, "\"; expected one of ", names);
}

py::tuple tuple_of(const Shape& shape) {
  py::tuple t(shape.rank());
  for (int i = 0; i < shape.rank(); ++i) t[static_cast<size_t>(i)] = shape[i];
  return t;
}

Shape shape_of(const std::vector<int64_t>& extents) {
  return Shape(std::span<const int64_t>(extents));
}

py::object or_none(const Tensor& t) {
  return t.defined() ? py::cast(t) : py::none();
}

Tensor tensor_from(const py::object& data, const std::string& dtype, const std::string& device) {
  Tensor t;
  if (py::isinstance<Tensor>(data))
    t = ops::clone(data.cast<Tensor>());
  else if (PyObject_CheckBuffer(data.ptr()))
    t = from_buffer(data);
  else if (py::hasattr(data, "__dlpack__"))
    t = ops::clone(from_dlpack(data));
  else
    t = from_lists(data);
  if (!dtype.empty() && str(t.dtype()) != dtype) t = ops::cast(t, dtype_named(dtype));
  return device.empty() ? t : t.to(parse_device(device));
}

void bind_tensor(py::module_& m) {
  py::class_<Tensor>(m, "Tensor", "Numbers of one type on one device: contiguous, row-major.")
      .def(py::init(&tensor_from), "data"_a, "dtype"_a = "", "device"_a = "",
           "A copy of numbers: an array, nested lists, another tensor.")
      .def_property_readonly("shape", [](const Tensor& t) { return tuple_of(t.shape()); })
      .def_property_readonly("dtype", [](const Tensor& t) { return str(t.dtype()); })
      .def_property_readonly("device", [](const Tensor& t) { return str(t.device()); })
      .def_property_readonly("size", &Tensor::numel)
      .def(
          "reshape",
          [](const Tensor& t, const std::vector<int64_t>& shape) {
            return t.reshape(shape_of(shape));
          },
          "shape"_a, "The same memory with another shape.")
      .def(
          "to",
          [](const Tensor& t, const std::string& device) { return t.to(parse_device(device)); },
          "device"_a, "On \"cpu\" or \"cuda\"; itself if it is there already.")
      .def(
          "cast",
          [](const Tensor& t, const std::string& dtype) {
            return ops::cast(t, dtype_named(dtype));
          },
          "dtype"_a)
      .def("clone", &ops::clone, "A copy in memory of its own.")
      .def("item",
           [](const Tensor& t) {
             check(t.numel() == 1, "item", t.shape(), " has ", t.numel(), " elements, not one");
             return to_list(t.reshape({}));
           })
      .def("tolist", &to_list)
      .def(
          "numpy",
          [](const py::object& self) { return py::module_::import("numpy").attr("asarray")(self); },
          "A NumPy array in the same memory.")
      .def("__len__", [](const Tensor& t) { return t.dim(0); })
      .def("__getitem__", &first_axis, "A part in the same memory.")
      .def("__getitem__", &first_axis_range)
      .def("__repr__",
           [](const Tensor& t) {
             return str("versor.Tensor(", t.dtype(), " ", t.shape(), " on ", t.device(), ")");
           })
      .def_property_readonly("__array_interface__", &array_interface)
      .def("__dlpack_device__", [](const Tensor& t) { return dlpack_device(t.device()); })
      .def(
          "__dlpack__",
          [](const Tensor& t, const py::object&, const py::object& max_version,
             const py::object& device,
             const py::object& copy) { return dlpack_of(t, max_version, device, copy); },
          py::kw_only(), "stream"_a = py::none(), "max_version"_a = py::none(),
          "dl_device"_a = py::none(), "copy"_a = py::none());
  m.def("from_dlpack", &from_dlpack, "array"_a,
        "A tensor in the memory of another library's array: what changes one changes the other.");
  m.def(
      "zeros",
      [](const std::vector<int64_t>& shape, const std::string& dtype, const std::string& device) {
        return ops::zeros(shape_of(shape), parse_device(device), dtype_named(dtype));
      },
      "shape"_a, "dtype"_a = "f32", "device"_a = "cpu");
  m.def(
      "normal",
      [](const std::vector<int64_t>& shape, const std::string& device) {
        return ops::normal(shape_of(shape), next_rng(), parse_device(device));
      },
      "shape"_a, "device"_a = "cpu", "Standard normal numbers.");
  m.def(
      "uniform",
      [](const std::vector<int64_t>& shape, float low, float high, const std::string& device) {
        return ops::uniform(shape_of(shape), next_rng(), low, high, parse_device(device));
      },
      "shape"_a, "low"_a = 0.f, "high"_a = 1.f, "device"_a = "cpu");
}

}  // namespace versor::python
