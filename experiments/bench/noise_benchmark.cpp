// The gradient noise scale while a model trains: see noise_benchmark.h.
#include "experiments/bench/noise_benchmark.h"

#include <omp.h>

#include "data/batcher.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr float kBeta = 0.25f;
constexpr int64_t kParts = 8;     // of a batch
constexpr int64_t kBatches = 12;  // that the norms are averaged over

class NoiseTraining {
 public:
  NoiseTraining(const StepConfiguration& what, const Dataset& images)
      : model_(model_of(what), what.device, Rng(1)),
        adam_(model_.flat_parameters()),
        batcher_(images, what.batch, what.device),
        epoch_(batcher_.shuffled(Rng(2), 0)) {
    model_.start_codebooks(batcher_.batches(),
                           [&](int64_t b) { return std::vector{epoch_.batch(b)}; });
  }

  void step() { training_step(model_, adam_, next(), kBeta); }

  NoiseScale measure() {
    double small = 0, large = 0;
    for (int64_t i = 0; i < kBatches; ++i) {
      const Tensor batch = next();
      Tensor mean = model_.flat_parameters().new_flat();
      for (int64_t p = 0; p < kParts; ++p) {
        const BatchPart part = BatchPart::of(batch.dim(0), p, kParts);
        const Tensor g = gradient(batch.rows(part.first, part.first + part.count));
        small += ops::sum_of_squares(g).item() / kParts / kBatches;
        ops::add_to(mean, ops::scaled(g, 1.f / kParts));
      }
      large += ops::sum_of_squares(mean).item() / kBatches;
    }
    const auto images = static_cast<double>(batcher_.batch_size());
    return noise_scale(images / kParts, small, images, large);
  }

 private:
  // Whole batches only.
  Tensor next() {
    if (at_ == batcher_.size() / batcher_.batch_size()) {
      epoch_ = batcher_.shuffled(Rng(2), ++epochs_);
      at_ = 0;
    }
    return epoch_.batch(at_++);
  }
  // [P], of all parameters.
  Tensor gradient(const Tensor& images) {
    adam_.zero_grad();
    backward(vqvae_loss(model_(images), images, kBeta).total);
    return model_.flat_parameters().gather_gradients();
  }

  VqVae model_;
  Adam adam_;
  Batcher batcher_;
  Epoch epoch_;
  int64_t at_ = 0, epochs_ = 0;
};

}  // namespace

void measure_noise(StepConfiguration what, const Dataset& images, int64_t steps,
                   const std::function<void(const NoiseAt&)>& report) {
  what.precision = Precision::fp32;  // rounding is noise too
  check(what.batch % kParts == 0 && what.batch <= images.size(), "scaling",
        "the noise scale needs batches of a multiple of ", kParts, " images, of at most ",
        images.size());
  omp_set_num_threads(what.threads);
  NoiseTraining training(what, images);
  int64_t due = 0;
  for (int64_t step = 0; step <= steps; ++step) {
    if (step == due || step == steps) report({step, training.measure()});
    if (step == due) due = std::max<int64_t>(10, 10 * due);
    training.step();
  }
}

}  // namespace versor
