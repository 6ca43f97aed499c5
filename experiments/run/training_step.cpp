// One training step: see training_step.h.
#include "experiments/run/training_step.h"

#include <algorithm>

#include "autograd/functions.h"
#include "tensor/branch.h"

namespace versor {
namespace {

// What the guard checks of the forward pass, in the order computed: each level's latents, the loss.
std::vector<std::pair<std::string, Tensor>> seen(const VqModel& model, const StepPart& step) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t level = 0; level < model.levels().size(); ++level) {
    const std::string& name = model.levels()[level].name;
    all.emplace_back(name.empty() ? "encoder output" : name + " encoder output",
                     step.output.levels[level].latents.value());
  }
  all.emplace_back("loss", step.loss.total.value());
  return all;
}

std::vector<std::pair<std::string, Tensor>> gradients(const VqModel& model) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& [name, p] : model.named_parameters())
    if (p.grad().defined()) all.emplace_back("the gradient of " + name, p.grad());
  return all;
}

// Whether update() and Adam write different tensors.
bool only_adam_moves_parameters(const VqModel& model) {
  return std::ranges::all_of(model.levels(), [](const VqModel::Level& level) {
    return level.quantizer->parameters().empty();
  });
}

std::vector<VqVaeOutput> outputs(const StepResult& step) {
  std::vector<VqVaeOutput> all;
  for (const StepPart& part : step.parts) all.push_back(part.output);
  return all;
}

}  // namespace

std::vector<BatchPart> Sharing::parts(int64_t images) const {
  std::vector<BatchPart> all;
  for (int64_t a = 0; a < accumulate_; ++a)
    all.push_back(BatchPart::of(images, communicator_.rank() * accumulate_ + a,
                                communicator_.size() * accumulate_));
  return all;
}

TrainingStep::TrainingStep(VqModel& model, Adam& adam, const Sharing& sharing)
    : model_(model), adam_(adam), sharing_(sharing) {
  if (!sharing_.communicator().is_alone())
    sums_ = std::make_unique<GradientSums>(model.parameters(), sharing_.communicator());
}

StepPart TrainingStep::forward(const BatchPart& part, const ImagesOfPart& images_of, float beta,
                               BatchMeans& means) const {
  const Tensor images = images_of(part);
  StepPart done{part, model_(images, {part, &means}), {}};
  done.loss = vqvae_loss(done.output, images, beta);
  return done;
}

// The first sweep over the micro-batches, for terms of the loss that need means over all of them.
void TrainingStep::sweep(const std::vector<BatchPart>& parts, const ImagesOfPart& images_of,
                         BatchMeans& means) const {
  if (!model_.needs_batch_means() || !means.needs_sweep()) return;
  const NoGradGuard no_grad;
  for (const BatchPart& part : parts) {
    means.begin(part, /*is_sweep=*/true);
    model_(images_of(part), {part, &means});
  }
}

StepResult TrainingStep::operator()(int64_t images, const ImagesOfPart& images_of, float beta,
                                    FiniteGuard* guard) {
  adam_.zero_grad();
  const std::vector<BatchPart> parts = sharing_.parts(images);
  BatchMeans means(sharing_.communicator(), sharing_.accumulate());
  sweep(parts, images_of, means);
  StepResult result;
  for (const BatchPart& part : parts) {
    means.begin(part, /*is_sweep=*/false);
    {
      const ParameterCopies copies(model_.flat_parameters(), model_.options().activations);
      result.parts.push_back(forward(part, images_of, beta, means));
    }
    if (guard) guard->watch(seen(model_, result.parts.back()));
    // The gradients of all parts add up to those of the batch's loss.
    const Variable& total = result.loss().total;
    const Variable share = part.is_whole() ? total : scale(total, part.weight());
    if (sums_ && result.parts.size() == parts.size())
      backward(share, sums_->leaf_done());
    else
      backward(share);
  }
  if (guard) guard->watch(gradients(model_));
  if (sums_) sums_->finish();
  if (guard) guard->all_reduce(sharing_.communicator());
  const Tensor state = guard ? guard->state() : Tensor();
  const auto update = [&] {
    return model_.update(outputs(result), state, sharing_.communicator());
  };
  BranchScope branches(result.output().reconstruction.value().backend());
  result.replaced = only_adam_moves_parameters(model_) ? beside(update) : update();
  adam_.step(state);
  branches.join();
  return result;
}

StepResult TrainingStep::evaluate(int64_t images, const ImagesOfPart& images_of, float beta,
                                  bool updates) {
  const NoGradGuard no_grad;
  StepResult result;
  BatchMeans means(sharing_.communicator(), sharing_.accumulate());
  for (const BatchPart& part : sharing_.parts(images))
    result.parts.push_back(forward(part, images_of, beta, means));
  if (updates) result.replaced = model_.update(outputs(result), {}, sharing_.communicator());
  return result;
}

StepResult training_step(VqModel& model, Adam& adam, const Tensor& images, float beta,
                         FiniteGuard* guard) {
  return TrainingStep(model, adam)(
      images.dim(0), [&](const BatchPart&) { return images; }, beta, guard);
}

}  // namespace versor
