// Makes any quantizer of the family from options: its kind, its structure and its estimator.
#pragma once

#include "vq/codebook.h"
#include "vq/estimators.h"
#include "vq/quantizer.h"

namespace versor {

// vq: learned codes; simvq: frozen codes under a learned map; fsq, lfq, bsq: fixed grids.
enum class QuantizerKind { vq, simvq, fsq, lfq, bsq };

struct QuantizerOptions {
  QuantizerKind kind = QuantizerKind::vq;
  // For vq. All other kinds take K and D from it, except that fsq's K is the product of its levels;
  // lfq and bsq need a power of two.
  CodebookOptions codebook = {};
  EstimatorOptions estimator = {};
  std::vector<int64_t> levels = {8, 5, 5, 5};  // for fsq
  double entropy_weight = 0.1;                 // for lfq and bsq
  // Structure: the latent is cut into `groups` parts, each quantized in `layers` residual steps.
  int64_t groups = 1, layers = 1;
  bool shared = false;         // one codebook for all groups or layers
  bool layer_dropout = false;  // residual layers are dropped at random in training
  // Columns of a code if a projection surrounds the quantizer (each group's); 0: no projection,
  // except around grids, whose codes have as many columns as the grid has dimensions.
  int64_t codebook_dim = 0;
};

// Throws Error, giving the reason, for options that do not go together.
QuantizerPointer make_quantizer(const QuantizerOptions& options, Rng rng, Device device);

}  // namespace versor
