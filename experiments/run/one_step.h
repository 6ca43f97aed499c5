// Training steps from given weights on a given batch, with every result: bin/one_step writes them
// for the comparison with PyTorch, tensor by tensor (tests/golden/compare_one_step.py).
#pragma once

#include "nn/safetensors.h"
#include "vq/model.h"

namespace versor {

struct OneStepOptions {
  EstimatorOptions estimator = {};
  CodebookLearning learning = CodebookLearning::ema;
  double beta = 0.25, decay = 0.99, lr = 2e-4;
  int64_t steps = 1;
  DType activations = DType::f32;
};

// Makes `steps` training steps on one batch from given weights and buffers, with Adam starting from
// zero moments. All tensors are in PyTorch's layout. `weights`: the model's state, whose shapes
// give D, K and the channels; `batch`: images [N,C,H,W] in [-1,1]. Returns the last step's
// reconstruction, z_e [N,D,h,w], indices i32 [N,h,w], the scalars loss, reconstruction_loss,
// codebook_loss, commitment_loss, perplexity, grad.<name> of every parameter, and every parameter
// and buffer after the last step. Throws Error, naming the file by its path and the tensor, for a
// tensor that is missing, has another shape, holds integers, or holds a NaN or infinity (whose
// position it names).
SafetensorsFile one_step(const SafetensorsFile& weights, const std::string& weights_path,
                         const SafetensorsFile& batch, const std::string& batch_path,
                         const OneStepOptions& options, Device device);

}  // namespace versor
