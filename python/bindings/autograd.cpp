// Variable and the differentiable functions. Whatever makes a tensor also stands for a constant
// variable: relu(tensor), x * array.
#include <pybind11/operators.h>

#include "autograd/functions.h"
#include "nn/layers.h"
#include "python/bindings/bindings.h"
#include "tensor/ops.h"

namespace versor::python {
namespace {

void bind_operators(py::class_<Variable>& v) {
  v.def(py::self + py::self)
      .def(py::self - py::self)
      .def(py::self * py::self)
      .def("__truediv__", [](const Variable& a, const Variable& b) { return div(a, b); })
      .def("__pow__", [](const Variable& x, float power) { return pow(x, power); })
      .def("__matmul__", [](const Variable& a, const Variable& b) { return matmul(a, b); })
      .def("__radd__", [](const Variable& b, const Variable& a) { return a + b; })
      .def("__rsub__", [](const Variable& b, const Variable& a) { return a - b; })
      .def("__rmul__", [](const Variable& b, const Variable& a) { return a * b; })
      .def("__rtruediv__", [](const Variable& b, const Variable& a) { return a / b; })
      .def("__neg__", [](const Variable& x) { return scale(x, -1); })
      .def("__add__", [](const Variable& x, float c) { return add_scalar(x, c); })
      .def("__radd__", [](const Variable& x, float c) { return add_scalar(x, c); })
      .def("__sub__", [](const Variable& x, float c) { return add_scalar(x, -c); })
      .def("__rtruediv__",
           [](const Variable& x, float c) {
             return Variable(ops::full({1}, c, x.value().device())) / x;
           })
      .def("__rsub__", [](const Variable& x, float c) { return add_scalar(scale(x, -1), c); })
      .def("__mul__", [](const Variable& x, float c) { return scale(x, c); })
      .def("__rmul__", [](const Variable& x, float c) { return scale(x, c); })
      .def("__truediv__", [](const Variable& x, float c) { return scale(x, 1 / c); });
}

void bind_variable(py::module_& m) {
  py::class_<Variable> v(m, "Variable", "A tensor that takes part in differentiation.");
  v.def(py::init<Tensor, bool>(), "value"_a, "requires_grad"_a = false)
      .def(py::init([](const py::object& data, bool requires_grad) {
             return Variable(tensor_from(data, "", ""), requires_grad);
           }),
           "data"_a, "requires_grad"_a = false)
      .def_property(
          "value", &Variable::value,
          [](Variable& x, const Tensor& value) {
            check(value.shape() == x.shape(), "variable", "has the shape ", x.shape(), ", not ",
                  value.shape());
            ops::copy(x.mutable_value(), value);
          },
          "The numbers; assigning copies them.")
      .def_property_readonly("shape", [](const Variable& x) { return tuple_of(x.shape()); })
      .def_property(
          "grad", [](const Variable& x) { return or_none(x.grad()); },
          [](Variable& x, const Tensor& grad) { x.set_grad(grad); })
      .def_property("requires_grad", &Variable::requires_grad, &Variable::set_requires_grad)
      .def("retain_grad", &Variable::retain_grad, "Keeps the gradient of a result too.")
      .def("zero_grad", &Variable::zero_grad)
      .def("detach", &Variable::detach, "The same value without a history.")
      .def("item", &Variable::item)
      .def("numpy", [](const Variable& x) { return py::cast(x.value()).attr("numpy")(); })
      .def("tolist", [](const Variable& x) { return py::cast(x.value()).attr("tolist")(); })
      .def(
          "backward", [](const Variable& x, bool retain_graph) { backward(x, retain_graph); },
          "retain_graph"_a = false, Unlocked(),
          "Adds d self / d leaf to the gradient of every leaf that requires one.")
      .def("__repr__", [](const Variable& x) {
        return str("versor.Variable(", x.value().dtype(), " ", x.shape(), " on ",
                   x.value().device(), x.requires_grad() ? ", requires_grad)" : ")");
      });
  bind_operators(v);
  v.attr("__array_ufunc__") = py::none();  // array * variable is ours
  // Only f32 and bf16 are differentiated; integers are for indices, which stay tensors.
  py::implicitly_convertible<Tensor, Variable>();
  py::implicitly_convertible<py::buffer, Variable>();
}

using Axes = std::optional<std::vector<int>>;

// Over all elements or, by NumPy's rules, over some axes.
template <class All, class Some>
void bind_reduction(py::module_& m, const char* name, All all, Some some) {
  m.def(
      name,
      [=](const Variable& x, const Axes& axes, bool keep) {
        return axes ? some(x, *axes, keep) : all(x);
      },
      "x"_a, "axes"_a = py::none(), "keep"_a = false, Unlocked());
}

void bind_elementwise(py::module_& m) {
  using Unary = Variable (*)(const Variable&);
  const std::pair<const char*, Unary> unary[] = {{"relu", relu},
                                                 {"tanh", tanh},
                                                 {"exp", exp},
                                                 {"log", log},
                                                 {"sqrt", sqrt},
                                                 {"square", square},
                                                 {"silu", silu},
                                                 {"sigmoid", sigmoid},
                                                 {"gelu", gelu},
                                                 {"abs", abs},
                                                 {"rows", rows},
                                                 {"softmax", softmax},
                                                 {"flatten", flatten},
                                                 {"sum_axis1", sum_axis1},
                                                 {"log_softmax", log_softmax},
                                                 {"max_axis1", max_axis1},
                                                 {"normalize_rows", normalize_rows},
                                                 {"global_avg_pool2d", global_avg_pool2d},
                                                 {"stop_gradient", stop_gradient}};
  for (const auto& [name, function] : unary) m.def(name, function, "x"_a, Unlocked());
  m.def("pow", &pow, "x"_a, "power"_a, Unlocked());
  m.def("clamp", &clamp, "x"_a, "low"_a, "high"_a, Unlocked());
  m.def("maximum", &maximum, "a"_a, "b"_a, Unlocked());
  m.def("minimum", &minimum, "a"_a, "b"_a, Unlocked());
  m.def("add_bias", &add_bias, "x"_a, "bias"_a, "x [...,C], bias [C]");
  m.def("scale_rows", &scale_rows, "x"_a, "s"_a, "x [R,C], s [R]");
  m.def("scale_columns", &scale_columns, "x"_a, "v"_a, "x [...,C], v [C]");
  m.def(
      "cast",
      [](const Variable& x, const std::string& dtype) { return cast(x, dtype_named(dtype)); },
      "x"_a, "dtype"_a);
}

void bind_losses(py::module_& m) {
  bind_reduction(
      m, "sum", [](const Variable& x) { return sum(x); },
      [](const Variable& x, const std::vector<int>& axes, bool keep) {
        return sum(x, axes, keep);
      });
  bind_reduction(
      m, "mean", [](const Variable& x) { return mean(x); },
      [](const Variable& x, const std::vector<int>& axes, bool keep) {
        return mean(x, axes, keep);
      });
  m.def(
      "mse", [](const Variable& a, const Variable& b) { return mse(a, b); }, "a"_a, "b"_a,
      Unlocked(), "The mean of the squared differences.");
  m.def("cross_entropy", &cross_entropy, "logits"_a, "labels"_a, Unlocked(),
        "The mean over the rows of -log softmax(logits)[label]: logits [R,K], labels i32 [R].");
  m.def("accuracy", &accuracy, "logits"_a, "labels"_a, Unlocked(),
        "The part of the rows whose largest logit is the label's.");
}

using MaybeVariable = std::optional<Variable>;
using Convolution = Variable (*)(const Variable&, const Variable&, const Variable&,
                                 const Conv2dParams&, Activation);

void bind_convolution(py::module_& m, const char* name, Convolution function, const char* text) {
  m.def(
      name,
      [function](const Variable& x, const Variable& weight, const MaybeVariable& bias,
                 int64_t stride, int64_t padding, const std::string& activation) {
        return function(x, weight, bias.value_or(Variable()), {stride, padding},
                        activation_named(activation));
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = 1, "padding"_a = 0,
      "activation"_a = "none", Unlocked(), text);
}

void bind_products(py::module_& m) {
  m.def("matmul", &matmul, "a"_a, "b"_a, Unlocked(), "[M,L] [L,N] -> [M,N]");
  m.def(
      "linear",
      [](const Variable& x, const Variable& weight, const MaybeVariable& bias) {
        return linear(x, weight, bias.value_or(Variable()));
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), Unlocked(),
      "x weight^T + bias: x [R,I], weight [O,I], bias [O]");
  bind_convolution(
      m, "conv2d",
      [](const Variable& x, const Variable& weight, const Variable& bias,
         const Conv2dParams& params,
         Activation activation) { return conv2d(x, weight, bias, params, activation); },
      "x [N,H,W,I], weight [O,kh,kw,I], bias [O]");
  bind_convolution(m, "conv_transpose2d", conv_transpose2d,
                   "x [N,H,W,I], weight [I,kh,kw,O], bias [O]");
  m.def(
      "group_norm",
      [](const Variable& x, const Variable& weight, const Variable& bias, int64_t groups,
         float eps) { return group_norm(x, weight, bias, groups, eps); },
      "x"_a, "weight"_a, "bias"_a, "groups"_a, "eps"_a = 1e-5f, Unlocked(),
      "x [N,H,W,C], weight and bias [C]");
  m.def("layer_norm", &layer_norm, "x"_a, "weight"_a, "bias"_a, "eps"_a = 1e-5f, Unlocked(),
        "x [...,C], weight and bias [C]");
  m.def(
      "max_pool2d",
      [](const Variable& x, int64_t kernel, int64_t stride, int64_t padding) {
        return max_pool2d(x, {kernel, stride, padding});
      },
      "x"_a, "kernel"_a, "stride"_a = 0, "padding"_a = 0, Unlocked(), "stride 0: kernel");
  m.def(
      "avg_pool2d",
      [](const Variable& x, int64_t kernel, int64_t stride, int64_t padding) {
        return avg_pool2d(x, {kernel, stride, padding});
      },
      "x"_a, "kernel"_a, "stride"_a = 0, "padding"_a = 0, Unlocked(), "stride 0: kernel");
}

void bind_rest(py::module_& m) {
  m.def(
      "expand",
      [](const Variable& x, const std::vector<int64_t>& shape) {
        return expand(x, shape_of(shape));
      },
      "x"_a, "shape"_a, "Repeated to a shape, by NumPy's rules.");
  m.def(
      "reshape",
      [](const Variable& x, const std::vector<int64_t>& shape) {
        return reshape(x, shape_of(shape));
      },
      "x"_a, "shape"_a);
  m.def("permute", &permute, "x"_a, "axes"_a);
  m.def("slice", py::overload_cast<const Variable&, int64_t, int64_t>(&slice), "x"_a, "begin"_a,
        "end"_a, "Columns of [R,C].");
  m.def("concat", py::overload_cast<const std::vector<Variable>&>(&concat), "parts"_a,
        "Columns beside each other.");
  m.def("gather_rows", &gather_rows, "x"_a, "index"_a, "y[r,:] = x[index[r],:], index i32 [R]");
}

// with versor.no_grad(): ... The same object may be entered again inside.
struct NoGrad {
  ~NoGrad() {
    while (!guards.empty()) guards.pop_back();  // the last first: each restores what it found
  }
  std::vector<std::unique_ptr<NoGradGuard>> guards;
};

}  // namespace

Activation activation_named(const std::string& name) {
  check(name == "none" || name == "relu", "conv2d", "unknown activation \"", name,
        "\"; expected none or relu");
  return name == "relu" ? Activation::relu : Activation::none;
}

py::object or_none(const Variable& v) {
  return v.defined() ? py::cast(v) : py::none();
}

void bind_autograd(py::module_& m) {
  bind_variable(m);
  bind_elementwise(m);
  bind_losses(m);
  bind_products(m);
  bind_rest(m);
  py::class_<NoGrad>(m, "no_grad", "with versor.no_grad(): nothing is recorded.")
      .def(py::init<>())
      .def("__enter__", [](NoGrad& n) { n.guards.push_back(std::make_unique<NoGradGuard>()); })
      .def("__exit__", [](NoGrad& n, const py::args&) {
        check(!n.guards.empty(), "no_grad", "was not entered");
        n.guards.pop_back();
      });
}

}  // namespace versor::python
