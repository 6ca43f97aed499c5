// Adam, AdamW, SGD and clipping against PyTorch (tests/golden/optimizers.json, made by
// make_optimizer_golden.py in float64), also for parameters whose gradients start late or end
// early.
#include <fstream>
#include <nlohmann/json.hpp>

#include "nn/adam.h"
#include "nn/clip.h"
#include "nn/sgd.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using nlohmann::json;

ref::Array array_of(const json& values) {
  return {{static_cast<int64_t>(values.size())}, values.get<std::vector<double>>()};
}

AdamParams adam_params(const json& options) {
  return {.lr = options["lr"],
          .beta1 = options["betas"][0],
          .beta2 = options["betas"][1],
          .eps = options["eps"],
          .weight_decay = options.value("weight_decay", 0.f)};
}

SgdParams sgd_params(const json& options) {
  return {.lr = options["lr"],
          .momentum = options.value("momentum", 0.f),
          .weight_decay = options.value("weight_decay", 0.f),
          .nesterov = options.value("nesterov", false)};
}

// The whole case, with the optimiser made for it.
template <class Optimizer>
void check_case(const json& c, std::vector<Variable>& parameters, Optimizer optimizer) {
  for (size_t step = 0; step < c["gradients"].size(); ++step) {
    CAPTURE(step);
    optimizer.zero_grad();
    for (size_t i = 0; i < parameters.size(); ++i)
      if (const json& g = c["gradients"][step][i]; !g.is_null())
        parameters[i].set_grad(to_tensor(array_of(g)));
    if (!c["max_norm"].is_null())
      CHECK(clip_gradient_norm(parameters, c["max_norm"]).item() ==
            doctest::Approx(c["norms"][step].get<double>()).epsilon(1e-6));
    optimizer.step();
    for (size_t i = 0; i < parameters.size(); ++i)
      CHECK(error(parameters[i].value(), array_of(c["values"][step][i])) <= 1e-6);
  }
}

}  // namespace

TEST_CASE("optimizers: every step is PyTorch's") {
  std::ifstream file("tests/golden/optimizers.json");  // make test runs in the repository's root
  const json cases = json::parse(file).at("cases");
  CHECK(cases.size() == 10);
  for (const json& c : cases) {
    CAPTURE(c["name"].get<std::string>());
    std::vector<Variable> parameters;
    for (const json& start : c["start"]) parameters.emplace_back(to_tensor(array_of(start)), true);
    if (c["optimizer"] == "SGD") {
      check_case(c, parameters, Sgd(parameters, sgd_params(c["options"])));
    } else {
      check_case(c, parameters, Adam(parameters, adam_params(c["options"])));
    }
  }
}

}  // namespace versor::testing
