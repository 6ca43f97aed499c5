// Every convolution of a training step on the CPU, as the backend computes it (with fewer
// multiplications, tensor/cpu/winograd.h, where that pays) and as one convolution of oneDNN: time
// and error. Input gradients of few channels are another product of oneDNN in the backend
// (conv.cpp).
#pragma once

#include "experiments/bench/step_benchmark.h"

namespace versor {

struct ConvolutionMeasurement {
  StepConvolution conv;
  double seconds, direct_seconds;  // medians, both on plain NHWC tensors
  // ||computed - exact|| / ||exact|| of some elements of the result, where exact is the sum in f64
  // of the same f32 or bf16 numbers.
  double error, direct_error;
  size_t scratch_bytes, direct_scratch_bytes;  // most memory beyond operands and result
};

// Measures both alternately, `repeats` times each. Throws Error in a build without oneDNN, and for
// bf16 on a processor without instructions for it.
ConvolutionMeasurement measure_convolution(const StepConvolution& conv, DType type,
                                           int64_t repeats);

}  // namespace versor
