// One training step of the prior and of the denoiser against PyTorch: the files of
// tests/golden/make_transformer_golden.py, tensor by tensor.
#include "experiments/generate/denoiser.h"
#include "experiments/generate/prior.h"
#include "nn/adam.h"
#include "nn/clip.h"
#include "nn/safetensors.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

constexpr double kGoldenTolerance = 1e-4;
constexpr double kChangeTolerance = 1e-3;  // of what the step changes in a parameter

// The tensors whose names begin with `prefix`, without it.
SafetensorsFile part_of(const SafetensorsFile& file, const std::string& prefix) {
  SafetensorsFile part;
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with(prefix)) part.tensors[name.substr(prefix.size())] = tensor;
  return part;
}

std::vector<int32_t> numbers(const SafetensorsFile& inputs, const std::string& name) {
  return inputs.at(name, "inputs").to_vector<int32_t>();
}

// Takes the file's step with the network, whose loss `loss_of` computes from the inputs.
void check_step(const std::string& name, Module& network,
                const std::function<Variable(const SafetensorsFile& inputs)>& loss_of) {
  const std::string path = "tests/golden/" + name + ".safetensors";
  const SafetensorsFile file = read_safetensors(path), before = part_of(file, "before.");
  load_state_dict(network, before, path);
  Adam adam(network.flat_parameters(), {.lr = 1e-3f, .eps = 1e-6f, .weight_decay = 0.1f});
  const Variable loss = loss_of(part_of(file, "input."));
  CHECK(error(loss.value(), to_array(file.at("loss", path))) <= kGoldenTolerance);
  backward(loss);
  const NamedVariables parameters = network.named_parameters();
  for (const auto& [key, parameter] : parameters) {
    CAPTURE(key);
    CHECK(error(parameter.grad(), to_array(file.at("grad." + key, path))) <= kGoldenTolerance);
  }
  clip_gradient_norm(network.flat_parameters(), 0.25f);
  adam.step();
  const auto after = part_of(file, "after.").tensors;
  CHECK(after.size() == parameters.size());
  for (const auto& [key, parameter] : parameters) {
    CAPTURE(key);
    const ref::Array expected = to_array(after.at(key)), first = to_array(before.at(key, path));
    CHECK(error(parameter.value(), expected) <= kGoldenTolerance);
    const ref::Array change = ref::sub(to_array(parameter.value()), first);
    CHECK(ref::relative_error(change, ref::sub(expected, first)) <= kChangeTolerance);
  }
}

}  // namespace

TEST_CASE("transformer: a training step of the prior agrees with PyTorch") {
  TransformerPrior prior(SymbolSequence({{.codes = 11, .height = 3, .width = 3}}),
                         {.layers = 2, .width = 12, .heads = 3, .classes = 2, .dropout = 0}, Rng(1),
                         {});
  check_step("prior", prior, [&](const SafetensorsFile& inputs) {
    return prior.loss(inputs.at("symbols", "inputs"), numbers(inputs, "labels"));
  });
}

TEST_CASE("transformer: a training step of the denoiser agrees with PyTorch") {
  Denoiser denoiser({.latents = {2, 3, 5},
                     .layers = 2,
                     .width = 12,
                     .heads = 3,
                     .classes = 2,
                     .diffusion = {.learned_variance = true, .steps = 40}},
                    Rng(1), {});
  check_step("denoiser", denoiser, [&](const SafetensorsFile& inputs) {
    const Shape shape{4, 2, 3, 5};
    const Tensor x0 = inputs.at("x0", "inputs").reshape(shape),
                 epsilon = inputs.at("epsilon", "inputs").reshape(shape);
    const auto whole = numbers(inputs, "times");
    const std::vector<double> times(whole.begin(), whole.end());
    const Diffusion& diffusion = denoiser.diffusion();
    const Variable output =
        denoiser(diffusion.noisy(x0, epsilon, times), times, numbers(inputs, "labels"));
    return diffusion.loss(output, x0, epsilon, times).total;
  });
}

}  // namespace versor::testing
