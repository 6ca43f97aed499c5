// What every quantizer costs, against the plain one with as many codes: of a whole training step,
// and by itself. A quantizer is a few per cent of a step, and two steps in turn differ by more on a
// noisy machine: what it adds to a step is known better from its time alone (step_by_parts).
#pragma once

#include "experiments/bench/step_benchmark.h"

namespace versor {

struct QuantizerMeasurement {
  std::string name;        // of quantizer_variants()
  int64_t symbols, codes;  // L and K; FSQ's K is the product of its levels
  double seconds;          // of the quantizer alone, forward and backward, median
  double to_plain;         // that, against the plain quantizer's
  double step_seconds;     // of a training step, median
  double step_to_plain;    // against the plain quantizer's: the two in turn, median of ratios
  double step_by_parts;    // the same as (plain step + alone - plain alone) / plain step
  size_t peak_bytes;       // most live in forward and backward of the quantizer alone
  size_t score_bytes;      // f32 [R,K] would take so many
};

// All variants that are quantizers (not VQ-VAE-2) with K = what.codes, a power of two, in each
// symbol. `repeats` steps each; the quantizer by itself several times as often.
void measure_quantizers(const StepConfiguration& what, int64_t repeats,
                        const std::function<void(const QuantizerMeasurement&)>& each);

}  // namespace versor
