// Any quantizer of the family from options: which one, in which structure, with which estimator.
#pragma once

#include "vq/codebook.h"
#include "vq/estimators.h"
#include "vq/quantizer.h"

namespace versor {

// vq: learned codes; simvq: frozen codes under a learned map; fsq, lfq, bsq: fixed grids.
enum class QuantizerKind { vq, simvq, fsq, lfq, bsq };

struct QuantizerOptions {
  QuantizerKind kind = QuantizerKind::vq;
  // Of vq; K and D of all others too, but fsq's K is the product of its levels, and lfq and bsq
  // need a power of two.
  CodebookOptions codebook = {};
  EstimatorOptions estimator = {};
  std::vector<int64_t> levels = {8, 5, 5, 5};  // of fsq
  double entropy_weight = 0.1;                 // of lfq and bsq
  // Structure: `groups` parts of the latent, each in `layers` residual steps.
  int64_t groups = 1, layers = 1;
  bool shared = false;         // one codebook for all groups or layers
  bool layer_dropout = false;  // residual layers are dropped at random in training
  // Columns of a code where a projection lies around the quantizer (around each group); 0: none,
  // but grids have as many as they have dimensions.
  int64_t codebook_dim = 0;
};

// Throws Error with the reason where options do not go together.
QuantizerPointer make_quantizer(const QuantizerOptions& options, Rng rng, Device device);

}  // namespace versor
