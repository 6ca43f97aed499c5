// The quantizers that are compared with each other: by results at equal bit-rate (table_quantizers)
// and by cost in a training step (bench --quantizers).
#pragma once

#include <vector>

#include "experiments/run/run_options.h"

namespace versor {

struct QuantizerVariant {
  const char* label;
  const char* what;             // what is special about it, as part of a sentence
  void (*change)(RunOptions&);  // applied to default options with the number of codes set
  bool halves_bits = false;     // has two symbols of half the bits: needs an even number of bits
  bool grouped = false;         // differs from the plain one only in its groups
  bool two_levels = false;      // VQ-VAE-2: 80 symbols in place of 64
};

// The first is the plain one. Estimators whose value has the length of e are left out: that length,
// a real number per latent, is not contained in the symbols.
const std::vector<QuantizerVariant>& quantizer_variants();

}  // namespace versor
