// One training step: see training_step.h.
#include "experiments/run/training_step.h"

namespace versor {
namespace {

std::vector<std::pair<std::string, Tensor>> gradients(const VqModel& model) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& [name, p] : model.named_parameters())
    if (p.grad().defined()) all.emplace_back("the gradient of " + name, p.grad());
  return all;
}

}  // namespace

StepResult training_step(VqModel& model, Adam& adam, const Tensor& images, float beta,
                         FiniteGuard* guard) {
  adam.zero_grad();
  StepResult result;
  result.output = model(images, guard);
  result.loss = vqvae_loss(result.output, images, beta);
  if (guard) guard->watch({{"loss", result.loss.total.value()}});
  backward(result.loss.total);
  if (guard) guard->watch(gradients(model));
  adam.step(guard ? guard->state() : Tensor());
  return result;
}

}  // namespace versor
