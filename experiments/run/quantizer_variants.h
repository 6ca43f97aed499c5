// The quantizers that are compared with one another: by their results at equal rate
// (table_quantizers) and by what they cost in a step (bench --quantizers).
#pragma once

#include <vector>

#include "experiments/run/run_options.h"

namespace versor {

struct QuantizerVariant {
  const char* label;
  const char* what;             // what it needs or spares, for a sentence
  void (*change)(RunOptions&);  // from options with the number of codes and all else as by default
  bool halves_bits = false;     // two symbols of half the bits: needs an even number of them
  bool grouped = false;         // it differs from the plain one in groups alone
  bool two_levels = false;      // VQ-VAE-2: 80 symbols in place of 64
};

// The first is the plain one. Estimators whose value keeps the encoder's length are not among them:
// that real number per latent is no part of the symbols.
const std::vector<QuantizerVariant>& quantizer_variants();

}  // namespace versor
