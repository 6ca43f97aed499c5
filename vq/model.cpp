// What all models share: see model.h.
#include "vq/model.h"

#include <algorithm>

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/composed.h"
#include "vq/losses.h"

namespace versor {

VqModel::VqModel(const VqVaeOptions& options) : options_(options) {
  if (options_.hidden == 0) options_.hidden = latent() / 2;
  check(options_.hidden > 0, "vqvae", "latent size ", latent(),
        " is too small: it is halved between the layers");
  const int64_t factor = options_.downsampling;
  check(factor == 4 || factor == 8 || factor == 16, "vqvae", "downsampling by ", factor,
        " is none of 4, 8 and 16");
}

void VqModel::add_level(std::string name, QuantizerPointer quantizer) {
  check(levels_.empty() || quantizer->vocabulary().codes == vocabulary().codes, "model",
        "all levels must have the same number of codes");
  register_module(name, *quantizer);
  levels_.push_back({std::move(name), std::move(quantizer)});
}

void VqModel::check_images(const char* who, const Tensor& images, int64_t factor) const {
  check(images.shape().rank() == 4 && images.dim(1) % factor == 0 && images.dim(2) % factor == 0 &&
            images.dim(1) > 0 && images.dim(2) > 0,
        who, "needs images [N,H,W,C] with H and W multiples of ", factor, ", got ", images.shape());
  check(images.dtype() == DType::f32, who, "needs images as f32 in [-1,1], got ", images.dtype());
}

Variable VqModel::latent_image(const Tensor& codes, const Shape& images, int64_t factor) const {
  return Variable(codes.reshape({images[0], images[1] / factor, images[2] / factor, latent()}));
}

Variable VqModel::quantize(size_t level, const Variable& latents, const BatchShare& share,
                           VqVaeOutput& output) const {
  ForwardPass pass(training());
  if (!share.part.is_whole()) {
    pass.rows = RowPart(share.part, latents.shape()[1] * latents.shape()[2]);
    pass.means = share.means;
  }
  output.levels.push_back({latents, quantizer_of(level)(rows(latents), pass)});
  return reshape(output.quantized().value, latents.shape());
}

Tensor VqModel::update(const std::vector<VqVaeOutput>& passes, const Tensor& guard,
                       Communicator& communicator) {
  Tensor replaced;
  for (size_t level = 0; level < levels_.size(); ++level) {
    std::vector<Quantized> of_level;
    of_level.reserve(passes.size());
    for (const VqVaeOutput& pass : passes) of_level.push_back(pass.levels[level].quantized);
    replaced = sum_of_replaced(replaced, quantizer_of(level).update(of_level, guard, communicator));
  }
  return replaced;
}

void VqModel::start_codebooks(int64_t batches,
                              const std::function<std::vector<Tensor>(int64_t)>& images_of,
                              Communicator& communicator) {
  const NoGradGuard no_grad;
  for (size_t level = 0; level < levels_.size(); ++level) {
    const int64_t wanted = quantizer_of(level).start_rows();
    if (wanted == 0) continue;
    std::vector<float> latents;
    const Device device = parameters()[0].value().device();
    const auto count = [&] { return static_cast<int64_t>(latents.size()) / latent(); };
    for (int64_t b = 0; b < batches && count() < wanted; ++b) {
      std::vector<float> own;
      for (const Tensor& images : images_of(b)) {
        const auto part = latents_of(level, images).value().to_vector<float>();
        own.insert(own.end(), part.begin(), part.end());
      }
      const auto own_count = static_cast<int64_t>(own.size()) / latent();
      const auto batch =
          communicator.all_gather_rows(Tensor::from(own, {own_count, latent()})).to_vector<float>();
      latents.insert(latents.end(), batch.begin(), batch.end());
    }
    quantizer_of(level).start_from(Tensor::from(latents, {count(), latent()}, device));
  }
}

Vocabulary VqModel::vocabulary() const {
  Vocabulary all = quantizer_of(0).vocabulary();
  for (size_t level = 1; level < levels_.size(); ++level)
    all.symbols += quantizer_of(level).vocabulary().symbols;
  return all;
}

std::vector<std::pair<std::string, Tensor>> VqModel::counters() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Level& level : levels_)
    for (auto& [name, counter] : level.quantizer->counters())
      all.emplace_back(level.name.empty() ? name : level.name + "." + name, counter);
  return all;
}

bool VqModel::needs_batch_means() const {
  return std::ranges::any_of(
      levels_, [](const Level& level) { return level.quantizer->needs_batch_means(); });
}

bool VqModel::capturable() const {
  for (const Level& level : levels_)
    if (!level.quantizer->capturable()) return false;
  return true;
}

std::vector<Tensor> VqVaeOutput::symbols() const {
  std::vector<Tensor> all;
  for (const QuantizedLatents& level : levels) all.push_back(level.quantized.index);
  return all;
}

Tensor VqVaeOutput::counts() const {
  if (levels.size() == 1) return quantized().counts;
  int64_t symbols = 0;
  for (const QuantizedLatents& level : levels) symbols += level.quantized.counts.dim(0);
  const Tensor& last = quantized().counts;
  Tensor all({symbols, last.dim(1)}, DType::i32, last.device());
  int64_t at = 0;
  for (const QuantizedLatents& level : levels) {
    Tensor here = all.rows(at, at + level.quantized.counts.dim(0));
    ops::copy(here, level.quantized.counts);
    at += here.dim(0);
  }
  return all;
}

VqVaeLoss vqvae_loss(const VqVaeOutput& output, const Tensor& images, float beta) {
  VqVaeLoss loss;
  Variable auxiliary;
  for (const QuantizedLatents& level : output.levels) {
    loss.codebook = add_terms(loss.codebook, level.quantized.codebook_loss);
    loss.commitment = add_terms(loss.commitment, level.quantized.commitment_loss);
    auxiliary = add_terms(auxiliary, level.quantized.auxiliary_loss);
  }
  loss.reconstruction = mse(output.reconstruction, Variable(images));
  loss.total = add_terms(loss.reconstruction, loss.codebook);
  if (loss.commitment.defined()) loss.total = loss.total + beta * loss.commitment;
  loss.total = add_terms(loss.total, auxiliary);
  return loss;
}

}  // namespace versor
