// Modules, layers, optimisers and files of weights. A module of one's own derives from nn.Module
// and is registered by assignment, as in PyTorch:
//   class Mlp(nn.Module):
//       def __init__(self):
//           super().__init__()
//           self.hidden = nn.Linear(2, 64)
#include "nn/adam.h"
#include "nn/clip.h"
#include "nn/normalization.h"
#include "nn/safetensors.h"
#include "nn/sgd.h"
#include "python/bindings/bindings.h"

namespace versor::python {
namespace {

// A module whose parts are decided in Python. It keeps them alive, because a parent only holds
// their addresses.
class OwnModule : public Module {
 public:
  void set_part(const std::string& name, const py::object& part) {
    check(!parts_.contains(name), "module", "\"", name, "\" is registered already");
    auto* const module = part.cast<Module*>();
    check(!contains(module, this), "module", "\"", name,
          "\" is or contains the module that it would be a part of");
    register_module(name, *module);
    parts_[name.c_str()] = part;
  }
  Variable add_parameter(const std::string& name, const Tensor& value) {
    return register_parameter(name, value);
  }
  Variable add_buffer(const std::string& name, const Tensor& value) {
    return register_buffer(name, value);
  }

 private:
  // Whether it is `wanted` or has it among its parts or theirs: only parts decided in Python can.
  static bool contains(const Module* module, const Module* wanted) {
    if (module == wanted) return true;
    const auto* own = dynamic_cast<const OwnModule*>(module);
    if (own == nullptr) return false;
    for (const auto& [name, part] : own->parts_)
      if (contains(part.cast<Module*>(), wanted)) return true;
    return false;
  }

  py::dict parts_;
};

// Steps in sequence: modules, named by their number, and functions.
class Steps final : public OwnModule {
 public:
  explicit Steps(const py::args& steps) {
    for (const py::handle step : steps) {
      if (py::isinstance<Module>(step))
        set_part(std::to_string(steps_.size()), py::reinterpret_borrow<py::object>(step));
      else
        check(PyCallable_Check(step.ptr()), "sequential", "needs modules and functions");
      steps_.append(step);
    }
  }
  py::object operator()(py::object x) const {
    for (const py::handle step : steps_) x = step(x);
    return x;
  }

 private:
  py::list steps_;
};

ConvOptions conv_options(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
                         const std::string& activation) {
  return {in, out, kernel, stride, padding, activation_named(activation)};
}

template <class T>
void bind_convolution(py::module_& m, const char* name, const char* text) {
  py::class_<T, Layer, std::shared_ptr<T>>(m, name, text)
      .def(py::init([](int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
                       const std::string& activation, const std::string& device) {
             return std::make_shared<T>(conv_options(in, out, kernel, stride, padding, activation),
                                        next_rng(), parse_device(device));
           }),
           "in_channels"_a, "out_channels"_a, "kernel"_a, "stride"_a = 1, "padding"_a = 0,
           "activation"_a = "none", "device"_a = "cpu");
}

template <class T>
void bind_layer(py::module_& m, const char* name, const char* text) {
  py::class_<T, Layer, std::shared_ptr<T>>(m, name, text)
      .def(py::init([](int64_t in, int64_t out, const std::string& device) {
             return std::make_shared<T>(in, out, next_rng(), parse_device(device));
           }),
           "inputs"_a, "outputs"_a, "device"_a = "cpu");
}

template <class T, class... Arguments, class... Names>
void bind_plain(py::module_& m, const char* name, const char* text, Names... names) {
  py::class_<T, Layer, std::shared_ptr<T>>(m, name, text)
      .def(py::init([](Arguments... arguments, const std::string& device) {
             return std::make_shared<T>(arguments..., parse_device(device));
           }),
           names..., "device"_a = "cpu");
}

void bind_more_layers(py::module_& m) {
  bind_plain<LayerNorm, int64_t>(m, "LayerNorm", "[...,size] -> the same", "size"_a);
  bind_plain<GroupNorm, int64_t, int64_t>(m, "GroupNorm", "[N,H,W,C] -> the same", "groups"_a,
                                          "channels"_a);
  bind_plain<BatchNorm2d, int64_t>(m, "BatchNorm2d", "[N,H,W,C] -> the same", "channels"_a);
  py::class_<Dropout, Layer, std::shared_ptr<Dropout>>(m, "Dropout", "Only while .training.")
      .def(py::init([](float p, const std::string& device) {
             return std::make_shared<Dropout>(p, next_rng(), parse_device(device));
           }),
           "p"_a = 0.5f, "device"_a = "cpu");
  py::class_<MaxPool2d, Layer, std::shared_ptr<MaxPool2d>>(m, "MaxPool2d")
      .def(py::init<int64_t, int64_t, int64_t>(), "kernel"_a, "stride"_a = 0, "padding"_a = 0);
  py::class_<AvgPool2d, Layer, std::shared_ptr<AvgPool2d>>(m, "AvgPool2d")
      .def(py::init<int64_t, int64_t, int64_t>(), "kernel"_a, "stride"_a = 0, "padding"_a = 0);
  py::class_<Embedding, Module, std::shared_ptr<Embedding>>(m, "Embedding",
                                                            "i32 [...] -> [...,size]")
      .def(py::init([](int64_t count, int64_t size, const std::string& device) {
             return std::make_shared<Embedding>(count, size, next_rng(), parse_device(device));
           }),
           "count"_a, "size"_a, "device"_a = "cpu")
      .def("__call__", &Embedding::operator(), "index"_a);
}

py::dict named(const NamedVariables& variables) {
  py::dict all;
  for (const auto& [name, variable] : variables) all[name.c_str()] = variable;
  return all;
}

void bind_module(py::module_& m) {
  py::class_<Module, std::shared_ptr<Module>>(m, "AnyModule", "What all modules share.")
      .def("parameters", &Module::parameters)
      .def("named_parameters", [](const Module& x) { return named(x.named_parameters()); })
      .def("named_buffers", [](const Module& x) { return named(x.named_buffers()); })
      .def_property("training", &Module::training, &Module::set_training,
                    "Matters to dropout, batch normalisation and quantizers.")
      .def_property_readonly("parameter_count", &Module::parameter_count)
      .def(
          "state_dict", [](const Module& x) { return state_dict(x); },
          "Parameters and buffers by name, copies in PyTorch's layout.")
      .def(
          "load_state_dict",
          [](Module& x, const std::map<std::string, Tensor>& tensors) {
            load_state_dict(x, {tensors, {}}, "the given state");
          },
          "tensors"_a)
      .def(
          "load",
          [](Module& x, const std::string& path) {
            load_state_dict(x, read_safetensors(path), path);
          },
          "path"_a)
      .def(
          "save",
          [](const Module& x, const std::string& path) {
            write_safetensors(path, {state_dict(x), {}});
          },
          "path"_a, "To a safetensors file, as PyTorch's twin would.");
  py::class_<OwnModule, Module, std::shared_ptr<OwnModule>>(m, "Module", py::dynamic_attr(),
                                                            "To derive one's own from.")
      .def(py::init<>())
      .def("parameter", &OwnModule::add_parameter, "name"_a, "value"_a,
           "A parameter of that name, as a Variable.")
      .def("buffer", &OwnModule::add_buffer, "name"_a, "value"_a)
      .def("__setattr__",
           [](const py::object& self, const std::string& name, const py::object& value) {
             if (py::isinstance<Module>(value)) {
               auto* const object = reinterpret_cast<py::detail::instance*>(self.ptr());
               check(object->get_value_and_holder().holder_constructed(), "module",
                     "call super().__init__() before parts are set");
               self.cast<OwnModule&>().set_part(name, value);
             }
             const py::object plain = py::module_::import("builtins").attr("object");
             plain.attr("__setattr__")(self, name, value);
           });
  py::class_<Layer, Module, std::shared_ptr<Layer>>(m, "Layer", "Maps one Variable to another.")
      .def(
          "__call__", [](const Layer& layer, const Variable& x) { return layer(x); }, "x"_a,
          Unlocked());
}

AdamParams adam_params(float lr, std::pair<float, float> betas, float eps, float weight_decay,
                       int warmup, int decay) {
  return {lr, betas.first, betas.second, eps, weight_decay, warmup, decay};
}

template <class T>
void bind_steps(py::class_<T>& optimiser) {
  optimiser
      .def(
          "step", [](T& o) { o.step(); }, Unlocked())
      .def("zero_grad", &T::zero_grad, "Forgets the gradients, which would add up.");
}

void bind_optimisers(py::module_& m) {
  py::class_<Adam> adam(m, "Adam", "Adam; with weight_decay AdamW.");
  adam.def(py::init([](std::vector<Variable> parameters, float lr, std::pair<float, float> betas,
                       float eps, float weight_decay, int warmup, int decay) {
             return std::make_unique<Adam>(
                 std::move(parameters), adam_params(lr, betas, eps, weight_decay, warmup, decay));
           }),
           "parameters"_a, "lr"_a = 2e-4f, "betas"_a = std::pair(0.9f, 0.999f), "eps"_a = 1e-8f,
           "weight_decay"_a = 0.f, "warmup"_a = 0, "decay"_a = 0);
  bind_steps(adam);
  py::class_<Sgd> sgd(m, "Sgd", "Gradient descent with momentum.");
  sgd.def(py::init([](std::vector<Variable> parameters, float lr, float momentum,
                      float weight_decay, bool nesterov, int warmup, int decay) {
            return std::make_unique<Sgd>(
                std::move(parameters),
                SgdParams{lr, momentum, weight_decay, nesterov, warmup, decay});
          }),
          "parameters"_a, "lr"_a = 1e-2f, "momentum"_a = 0.f, "weight_decay"_a = 0.f,
          "nesterov"_a = false, "warmup"_a = 0, "decay"_a = 0);
  bind_steps(sgd);
  m.def(
      "clip_gradient_norm",
      [](std::vector<Variable> parameters, float max_norm) {
        return clip_gradient_norm(std::move(parameters), max_norm);
      },
      "parameters"_a, "max_norm"_a, "Scales all gradients; returns their norm from before.");
}

}  // namespace

void bind_nn(py::module_& versor) {
  py::module_ m = versor.def_submodule("nn", "Modules, layers and optimisers.");
  bind_module(m);
  bind_layer<Linear>(m, "Linear", "[R,inputs] -> [R,outputs]");
  bind_layer<ResidualBlock>(m, "ResidualBlock", "Two 3x3 convolutions and a shortcut.");
  bind_convolution<Conv2d>(m, "Conv2d", "[N,H,W,in] -> [N,H',W',out]");
  bind_convolution<ConvTranspose2d>(m, "ConvTranspose2d", "[N,H,W,in] -> [N,H',W',out]");
  bind_more_layers(m);
  py::class_<Steps, OwnModule, std::shared_ptr<Steps>>(
      m, "Sequential", "Modules and functions, one after the other.")
      .def(py::init<const py::args&>())
      .def("__call__", &Steps::operator());
  bind_optimisers(m);
  m.def(
      "load", [](const std::string& path) { return read_safetensors(path).tensors; }, "path"_a,
      "The tensors of a safetensors file by name.");
  m.def(
      "save",
      [](const std::string& path, const std::map<std::string, Tensor>& tensors,
         const std::map<std::string, std::string>& metadata) {
        write_safetensors(path, {tensors, metadata});
      },
      "path"_a, "tensors"_a, "metadata"_a = std::map<std::string, std::string>());
}

}  // namespace versor::python
