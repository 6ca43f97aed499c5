// The quantizers that are compared: see quantizer_variants.h.
#include "experiments/run/quantizer_variants.h"

namespace versor {
namespace {

// FSQ levels whose product is `codes` or a little less: those of Mentzer et al. (2023), table 1,
// which starts at 2^8; for sizes that it does not list, eights and one remaining factor.
std::vector<int64_t> levels_for(int64_t codes) {
  switch (codes) {
    case int64_t{1} << 8:
      return {8, 6, 5};
    case int64_t{1} << 10:
      return {8, 5, 5, 5};
    case int64_t{1} << 12:
      return {7, 5, 5, 5, 5};
    case int64_t{1} << 14:
      return {8, 8, 8, 6, 5};
    case int64_t{1} << 16:
      return {8, 8, 8, 5, 5, 5};
  }
  std::vector<int64_t> levels;
  for (; codes > 8; codes /= 8) levels.push_back(8);
  levels.push_back(codes);
  return levels;
}

}  // namespace

const std::vector<QuantizerVariant>& quantizer_variants() {
  static const std::vector<QuantizerVariant> all = {
      {"ste", "the plain straight-through estimator",
       [](RunOptions& o) { o.estimator = Estimator::ste; }},
      {"rotation", "the rotation trick", [](RunOptions& o) { o.estimator = Estimator::rotation; }},
      {"reflection", "the paper's reflection",
       [](RunOptions& o) { o.estimator = Estimator::reflection; }},
      {"gradient", "a codebook trained by its loss",
       [](RunOptions& o) {
         o.estimator = Estimator::ste, o.learning = CodebookLearning::gradient;
       }},
      {"gumbel", "drawn codes at temperature 0.01, a codebook trained by gradients",
       [](RunOptions& o) { o.estimator = Estimator::gumbel; }},
      {"diveq", "noise in place of codebook and commitment loss",
       [](RunOptions& o) { o.estimator = Estimator::diveq; }},
      {"cosine", "codes on the unit sphere",
       [](RunOptions& o) { o.estimator = Estimator::ste, o.cosine = true; }},
      {"projected", "codes of 8 dimensions on the unit sphere behind a projection",
       [](RunOptions& o) { o.estimator = Estimator::ste, o.cosine = true, o.codebook_dim = 8; }},
      {"soft_em", "averages over assignments at temperature 0.1",
       [](RunOptions& o) { o.estimator = Estimator::ste, o.soft_em = 0.1; }},
      {"simvq", "frozen codes under one learned map",
       [](RunOptions& o) { o.quantizer = QuantizerKind::simvq, o.estimator = Estimator::ste; }},
      {"fsq", "a fixed grid: no codebook, no losses, nothing to tune",
       [](RunOptions& o) { o.quantizer = QuantizerKind::fsq, o.levels = levels_for(o.codes); }},
      {"lfq", "a fixed grid of signs with an entropy loss",
       [](RunOptions& o) { o.quantizer = QuantizerKind::lfq; }},
      {"bsq", "signs on the unit sphere with an entropy loss",
       [](RunOptions& o) { o.quantizer = QuantizerKind::bsq; }},
      {"residual", "two small codebooks, the second for what the first leaves over",
       [](RunOptions& o) { o.estimator = Estimator::ste, o.layers = 2; }, true},
      {"residual_shared", "one small codebook used twice",
       [](RunOptions& o) { o.estimator = Estimator::ste, o.layers = 2, o.shared_codebook = true; },
       true},
      {"grouped", "two small codebooks, each for half of the latent",
       [](RunOptions& o) { o.estimator = Estimator::ste, o.groups = 2; }, true, true},
      // 80 symbols: 16 in the top level, 64 in the bottom one.
      {"vqvae2", "two levels of symbols, a model of its own with more layers",
       [](RunOptions& o) { o.model = ModelKind::vqvae2, o.estimator = Estimator::ste; }, false,
       false, true},
  };
  return all;
}

}  // namespace versor
