// The Python module `versor`, a thin layer over the library: one file for each of its layers. What
// is written there is only what Python needs besides: conversions, ownership and the interpreter's
// lock. Read next: module.cpp.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "autograd/functions.h"
#include "autograd/variable.h"
#include "nn/module.h"
#include "tensor/rng.h"

namespace versor {
struct RunOptions;
}

namespace versor::python {

namespace py = pybind11;
using py::literals::operator""_a;

void bind_tensor(py::module_& m);
void bind_autograd(py::module_& m);
void bind_nn(py::module_& m);
void bind_vq(py::module_& m);
void bind_training(py::module_& m);

// Without the interpreter's lock: for work that takes long and touches no Python object.
using Unlocked = py::call_guard<py::gil_scoped_release>;

// "f32", "bf16", "i32", "u8". Throws Error, listing them, for anything else.
DType dtype_named(const std::string& name);
// "none", "relu". Throws Error for anything else.
Activation activation_named(const std::string& name);
// (2, 3) for [2,3].
py::tuple tuple_of(const Shape& shape);
Shape shape_of(const std::vector<int64_t>& extents);
// An undefined tensor or variable is None in Python.
py::object or_none(const Tensor& t);
py::object or_none(const Variable& v);

// Another library's array as a tensor in the same memory, through the DLPack protocol; and a
// tensor's capsule for it. dlpack.cpp.
Tensor from_dlpack(const py::object& array);
py::capsule to_dlpack(const Tensor& t, bool versioned);
// DLPack's (device type, index).
py::tuple dlpack_device(Device device);

// A copy of anything that holds numbers: a tensor, a buffer (array, bytes, NumPy's arrays), what
// has __dlpack__, or nested lists. Floats become f32 and whole numbers i32, bytes u8, unless
// `dtype` says otherwise.
Tensor tensor_from(const py::object& data, const std::string& dtype, const std::string& device);

// Each call is another stream of random numbers, all of which follow from versor.manual_seed().
Rng next_rng();

// Options of a run by keyword: test_images=100 for --test-images 100, with values as in Python or
// as on a command line; levels=[8, 5, 5, 5] for --levels 8,5,5,5. Resolved.
RunOptions run_options_from(const py::kwargs& keywords);

}  // namespace versor::python
