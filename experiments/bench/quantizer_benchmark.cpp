// What every quantizer costs: see quantizer_benchmark.h.
#include "experiments/bench/quantizer_benchmark.h"

#include "autograd/functions.h"
#include "experiments/run/quantizer_variants.h"
#include "vq/losses.h"

namespace versor {
namespace {

constexpr int64_t kAloneTimes = 5;  // measurements per step, which takes much longer
constexpr float kBeta = 0.25f;

// A step's benchmark, and its quantizer alone on the latents of the step's images.
class VariantBenchmark {
 public:
  VariantBenchmark(const StepConfiguration& what, const QuantizerVariant& variant)
      : backend_(backend_for(what.device)),
        step_(what,
              [&] {
                RunOptions o;
                o.codes = what.codes;
                o.latent = what.latent;
                o.downsampling = what.downsampling;
                o.precision = what.precision;
                variant.change(o);
                apply_preset(o);
                return make_model(o, 3, what.device, Rng(1));
              }),
        latents_(latents()) {
    alone();
  }

  double step() { return step_.time(); }

  double alone() {
    return seconds_of([&] {
      quantizer_step();
      backend_.synchronize();
    });
  }

  size_t peak_bytes() {
    const size_t before = backend_.pool().current_bytes();
    backend_.pool().reset_peak();
    quantizer_step();
    return backend_.pool().peak_bytes() - before;
  }

  int64_t rows() const { return latents_.dim(0); }
  Vocabulary vocabulary() const { return quantizer().vocabulary(); }

 private:
  Quantizer& quantizer() const { return *step_.model().levels()[0].quantizer; }

  Tensor latents() const {
    const NoGradGuard no_grad;
    return step_.model()(step_.images()).latents().value().flat_rows();
  }

  void quantizer_step() {
    const Variable e(latents_, /*requires_grad=*/true);
    const Quantized out = quantizer()(e, /*training=*/true);
    Variable loss = add_terms(mean(square(out.value)), out.codebook_loss);
    if (out.commitment_loss.defined()) loss = loss + kBeta * out.commitment_loss;
    backward(add_terms(loss, out.auxiliary_loss));
    quantizer().update({out});
    for (Variable& p : quantizer().parameters()) p.zero_grad();
  }

  Backend& backend_;
  StepBenchmark step_;
  Tensor latents_;  // [R,D]
};

}  // namespace

void measure_quantizers(const StepConfiguration& what, int64_t repeats,
                        const std::function<void(const QuantizerMeasurement&)>& each) {
  VariantBenchmark plain(what, quantizer_variants().front());
  for (const QuantizerVariant& variant : quantizer_variants()) {
    if (variant.two_levels) continue;
    VariantBenchmark other(what, variant);
    const TimeRatio step =
        measure_ratio([&] { return other.step(); }, [&] { return plain.step(); }, repeats);
    const TimeRatio alone = measure_ratio([&] { return other.alone(); },
                                          [&] { return plain.alone(); }, kAloneTimes * repeats);
    const Vocabulary vocabulary = other.vocabulary();
    each({.name = variant.label,
          .symbols = vocabulary.symbols,
          .codes = vocabulary.codes,
          .seconds = alone.seconds,
          .to_plain = alone.ratio,
          .step_seconds = step.seconds,
          .step_to_plain = step.ratio,
          .step_by_parts = 1 + alone.seconds * (1 - 1 / alone.ratio) * step.ratio / step.seconds,
          .peak_bytes = other.peak_bytes(),
          .score_bytes = sizeof(float) * static_cast<size_t>(other.rows() * what.codes)});
  }
}

}  // namespace versor
