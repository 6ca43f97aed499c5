// Training steps against PyTorch: every case of tests/golden (made by a float64 twin; its README
// says how) through one_step(), tensor by tensor: forward, losses, gradients, the codebook and its
// buffers, and what Adam did to every parameter.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/training_step.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using nlohmann::json;
using ref::Array;

std::string golden(const std::string& name) {
  return (std::filesystem::path(__FILE__).parent_path().parent_path() / "golden" / name).string();
}

json golden_cases() {
  std::ifstream in(golden("cases.json"));
  REQUIRE(in.good());
  return json::parse(in);
}

OneStepOptions options_of(const json& o) {
  const std::map<std::string, Owner> owners = {
      {"ema", Owner::ema}, {"gradient", Owner::gradient}, {"both", Owner::both}};
  OneStepOptions options;
  options.estimator = parse_estimator(o.at("estimator"));
  options.owner = owners.at(o.at("owner"));
  options.beta = o.at("beta");
  options.decay = o.at("decay");
  options.lr = o.at("lr");
  options.steps = o.at("steps");
  return options;
}

std::set<std::string> names_in(const SafetensorsFile& file) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : file.tensors) names.insert(name);
  return names;
}

// How far the change of a parameter is from the twin's, relative to it, less what f32 cannot
// resolve beside the parameter itself. Adam's first steps are nearly sign(g), hence a bound of its
// own: the sign of a tiny gradient decides about a whole step.
double change_error(const Array& start, const Array& found, const Array& truth, int64_t steps) {
  const double unresolved = 1e-7 * static_cast<double>(steps) * ref::norm(start);
  const double wrong = ref::norm(ref::sub(found, truth)) - unresolved;
  return wrong <= 0 ? 0 : wrong / ref::norm(ref::sub(truth, start));
}

}  // namespace

TEST_CASE("golden: training steps agree with PyTorch, tensor by tensor") {
  const json all = golden_cases();
  const double values = all.at("tolerance").at("values"), change = all.at("tolerance").at("change");
  REQUIRE(values <= 1e-4);
  REQUIRE(change <= 2e-2);
  REQUIRE(all.at("cases").size() >= 13);
  for (const json& c : all.at("cases")) {
    const std::string name = c.at("name");
    CAPTURE(name);
    const std::string weights_path = golden(c.at("weights")), batch_path = golden(c.at("batch"));
    const OneStepOptions options = options_of(c.at("options"));
    const SafetensorsFile weights = read_safetensors(weights_path);
    const SafetensorsFile truth = read_safetensors(golden(c.at("output")));
    const SafetensorsFile found =
        one_step(weights, weights_path, read_safetensors(batch_path), batch_path, options, {});
    CHECK(names_in(found) == names_in(truth));
    for (const auto& [tensor, expected] : truth.tensors) {
      CAPTURE(tensor);
      const Tensor& value = found.at(tensor, name);
      REQUIRE(value.shape() == expected.shape());
      REQUIRE(value.dtype() == expected.dtype());
      const bool is_parameter = tensor.starts_with("encoder.") || tensor.starts_with("decoder.");
      if (tensor == "indices")
        CHECK((bits_of(value) == bits_of(expected)));
      else if (!is_parameter)
        CHECK(error(value, to_array(expected)) <= values);
      if (is_parameter || tensor == "codebook.weight")
        CHECK(change_error(to_array(weights.at(tensor, name)), to_array(value), to_array(expected),
                           options.steps) <= change);
    }
  }
}

TEST_CASE("golden: weights go through our model and back without losing a bit") {
  const std::string path = golden("weights-small.safetensors");
  const SafetensorsFile weights = read_safetensors(path);
  VqVaeOptions options;
  options.codebook.codes = weights.at("codebook.weight", path).dim(0);
  options.codebook.latent = weights.at("codebook.weight", path).dim(1);
  VqVae model(options, {}, Rng(0));
  load_state_dict(model, weights, path);
  const std::map<std::string, Tensor> state = state_dict(model);
  CHECK(state.size() == weights.tensors.size());
  for (const auto& [name, tensor] : weights.tensors) {
    CAPTURE(name);
    REQUIRE(state.contains(name));
    CHECK(state.at(name).shape() == tensor.shape());
    CHECK((bits_of(state.at(name)) == bits_of(tensor)));
  }
}

}  // namespace versor::testing
