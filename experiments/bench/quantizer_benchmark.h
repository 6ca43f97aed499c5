// What every quantizer costs compared with the plain one with as many codes: in a whole training
// step, and alone. A quantizer is a few per cent of a step, and on a noisy machine two steps differ
// by more: step_by_parts, computed from the quantizer's time alone, is then more accurate.
#pragma once

#include "experiments/bench/step_benchmark.h"

namespace versor {

struct QuantizerMeasurement {
  std::string name;        // of quantizer_variants()
  int64_t symbols, codes;  // L and K; FSQ's K is the product of its levels
  double seconds;          // of the quantizer alone, forward and backward, median
  double to_plain;         // relative to the plain quantizer's
  double step_seconds;     // of a training step, median
  double step_to_plain;    // relative to the plain quantizer's: alternating, median of ratios
  double step_by_parts;    // the same as (plain step + alone - plain alone) / plain step
  size_t peak_bytes;       // most live in forward and backward of the quantizer alone
  size_t score_bytes;      // of a matrix f32 [R,K], for comparison
};

// Measures all variants that are quantizers (not VQ-VAE-2), with K = what.codes, a power of two, in
// each symbol: `repeats` steps each, and the quantizer alone several times as often.
void measure_quantizers(const StepConfiguration& what, int64_t repeats,
                        const std::function<void(const QuantizerMeasurement&)>& each);

}  // namespace versor
