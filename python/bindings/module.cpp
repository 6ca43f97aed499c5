// The module itself: its exception, its random numbers, and the order in which the rest is bound.
#include "experiments/cli/options.h"
#include "experiments/cli/version.h"
#include "python/bindings/bindings.h"

namespace versor::python {
namespace {

struct Generator {
  Rng rng = Rng(1);
  uint64_t next = 0;
};
Generator generator;

}  // namespace

Rng next_rng() {
  return generator.rng.split(generator.next++);
}

PYBIND11_MODULE(versor, m) {
  m.doc() = "Tensors, reverse-mode differentiation, vector quantizers and their training.";
  m.attr("__version__") = version();
  py::register_exception<Error>(m, "Error", PyExc_RuntimeError);
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const UsageError& e) {  // "--beta: ..." as "beta: ..."
      const std::string text = e.what();
      PyErr_SetString(py::module_::import("versor").attr("Error").ptr(),
                      text.c_str() + (text.starts_with("--") ? 2 : 0));
    }
  });
  m.def(
      "manual_seed", [](uint64_t seed) { generator = {.rng = Rng(seed)}; }, "seed"_a,
      "All random numbers of layers and quantizers made from now on follow from it; 1 at first.");
  bind_tensor(m);
  bind_autograd(m);
  bind_nn(m);
  bind_vq(m);
  bind_training(m);
  // so that `import versor.nn` works too
  const py::dict modules = py::module_::import("sys").attr("modules");
  for (const char* name : {"nn", "vq"})
    modules[(std::string("versor.") + name).c_str()] = m.attr(name);
}

}  // namespace versor::python
