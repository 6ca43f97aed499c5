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
    double small = 0, large = 0, images = 0;
    for (int64_t i = 0; i < kBatches; ++i) {
      const Tensor batch = next();
      images = static_cast<double>(batch.dim(0));
      std::vector<double> sum;
      for (int64_t part = 0; part < kParts; ++part) {
        const std::vector<double> g = gradient(part_of(batch, part));
        small += norm2(g) / kParts / kBatches;
        sum.resize(g.size());
        for (size_t j = 0; j < g.size(); ++j) sum[j] += g[j] / kParts;
      }
      large += norm2(sum) / kBatches;
    }
    return noise_scale(images / kParts, small, images, large);
  }

 private:
  static VqVaeOptions model_of(const StepConfiguration& what) {
    VqVaeOptions options;
    options.quantizer.codebook.latent = what.latent;
    options.quantizer.codebook.codes = what.codes;
    return options;
  }
  static double norm2(const std::vector<double>& g) {
    double sum = 0;
    for (const double x : g) sum += x * x;
    return sum;
  }

  // Whole batches only.
  Tensor next() {
    if (at_ == batcher_.size() / batcher_.batch_size()) {
      epoch_ = batcher_.shuffled(Rng(2), ++epochs_);
      at_ = 0;
    }
    return epoch_.batch(at_++);
  }
  static Tensor part_of(const Tensor& batch, int64_t part) {
    const std::vector<float> all = batch.to_vector<float>();
    const int64_t count = batch.dim(0) / kParts, size = batch.numel() / batch.dim(0) * count;
    const auto first = all.begin() + part * size;
    return Tensor::from(std::vector<float>(first, first + size),
                        {count, batch.dim(1), batch.dim(2), batch.dim(3)}, batch.device());
  }
  std::vector<double> gradient(const Tensor& images) {
    adam_.zero_grad();
    backward(vqvae_loss(model_(images), images, kBeta).total);
    std::vector<double> all;
    for (const auto& p : model_.parameters()) {
      const std::vector<float> g = p.grad().to_vector<float>();
      all.insert(all.end(), g.begin(), g.end());
    }
    return all;
  }

  VqVae model_;
  Adam adam_;
  Batcher batcher_;
  Epoch epoch_;
  int64_t at_ = 0, epochs_ = 0;
};

}  // namespace

void measure_noise(const StepConfiguration& what, const Dataset& images, int64_t steps,
                   const std::function<void(const NoiseAt&)>& report) {
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
