// Evaluation of a model: see evaluation.h.
#include "experiments/study/evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/batcher.h"
#include "data/ssim.h"
#include "tensor/ops.h"
#include "vq/usage.h"

namespace versor {
namespace {

using Json = nlohmann::ordered_json;

// The sums over batches that a CodesQuality is made of.
class QualitySums {
 public:
  explicit QualitySums(const Vocabulary& vocabulary) : histogram_(vocabulary) {}

  void add(const Tensor& images, const Tensor& made, const Tensor& counts) {
    const Tensor x = images.to({}), y = made.to({});
    const auto *a = x.data<float>(), *b = y.data<float>();
    double squares = 0;
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double difference = static_cast<double>(a[i]) - b[i];
      squares += difference * difference;
    }
    squared_ += squares / static_cast<double>(x.numel() / x.dim(0));
    for (double value : ssim(x, y)) ssim_ += value;
    histogram_.add(counts);
    images_ += x.dim(0);
  }

  CodesQuality quality() const {
    CodesQuality q;
    q.mse = squared_ / static_cast<double>(images_);
    q.psnr = 10 * std::log10(4 / q.mse);
    q.ssim = ssim_ / static_cast<double>(images_);
    q.usage = histogram_.usage();
    q.perplexity = histogram_.perplexity();
    q.codes_used = histogram_.used();
    return q;
  }

 private:
  double squared_ = 0, ssim_ = 0;
  int64_t images_ = 0;
  UsageHistogram histogram_;
};

// i32 [L,K] from symbols i32 [L,R].
Tensor counts_of(const Tensor& symbols, int64_t codes) {
  Tensor counts({symbols.dim(0), codes}, DType::i32, symbols.device());
  for (int64_t l = 0; l < symbols.dim(0); ++l) {
    Tensor row = counts.rows(l, l + 1).reshape({codes});
    ops::copy(row, ops::bincount(symbols.rows(l, l + 1).reshape({symbols.dim(1)}), codes));
  }
  return counts;
}

Json to_json(const CodesQuality& q) {
  return {{"mse", q.mse},
          {"psnr", q.psnr},
          {"ssim", q.ssim},
          {"usage", q.usage},
          {"perplexity", q.perplexity},
          {"codes_used", q.codes_used}};
}

}  // namespace

int64_t images_at_once(const Dataset& set, int64_t small) {
  const int64_t pixels = set.images.dim(1) * set.images.dim(2);
  return std::clamp<int64_t>(small * 32 * 32 / pixels, 1, std::min(small, set.size()));
}

Evaluation evaluate(VqModel& model, const Dataset& set, int64_t batch, Device device,
                    const std::optional<RefineOptions>& refine) {
  const auto* one_level = dynamic_cast<const VqVae*>(&model);
  check(!refine || one_level != nullptr, "evaluate", "codes are searched for one level only");
  model.set_training(false);
  const Epoch epoch = Batcher(set, std::min(batch, set.size()), device).in_order();
  QualitySums one_pass(model.vocabulary()), refined(model.vocabulary());
  int64_t changed = 0, symbols = 0;
  Evaluation all;
  for (int64_t b = 0; b < epoch.batches(); ++b) {
    const Tensor images = epoch.batch(b);
    {
      const NoGradGuard no_grad;
      const VqVaeOutput out = model(images);
      one_pass.add(images, out.reconstruction.value(), out.counts());
    }
    if (!refine) continue;
    const auto start = std::chrono::steady_clock::now();
    const RefinedCodes found = refine_codes(*one_level, images, *refine);
    all.refine_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    refined.add(images, found.reconstruction, counts_of(found.symbols, model.vocabulary().codes));
    changed += found.changed;
    symbols += found.symbols.numel();
  }
  all.images = set.size();
  all.one_pass = one_pass.quality();
  if (!refine) return all;
  all.refined = refined.quality();
  all.changed = static_cast<double>(changed) / static_cast<double>(symbols);
  return all;
}

Json to_json(const Evaluation& evaluation) {
  Json json = {{"images", evaluation.images}, {"one_pass", to_json(evaluation.one_pass)}};
  if (evaluation.refined) {
    json["refined"] = to_json(*evaluation.refined);
    json["refined"]["changed_symbols"] = evaluation.changed;
  }
  return json;
}

}  // namespace versor
