// The floor of a training step: only the matrix work of direct convolution, which a step can go
// below only with fewer multiplications (tensor/cpu/WINOGRAD.md).
//   on the CPU  each convolution as a bare oneDNN primitive, without reorders and bias, in the
//               faster of plain NHWC and the format that the library prefers
//   on a GPU    the step's cuDNN convolutions and the cuBLAS product of the nearest-code search,
//               captured as one CUDA graph
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

enum class Pass { forward, grad_input, grad_weight };

// One convolution pass of the step: x [N,H,W,I], weight [O,k,k,I].
struct StepConvolution {
  const char* layer;
  int64_t N, H, W, I, O, k, stride, padding;
  Pass pass;
  int64_t count;  // times per step

  int64_t out_h() const { return (H + 2 * padding - k) / stride + 1; }
  int64_t out_w() const { return (W + 2 * padding - k) / stride + 1; }
  double flops() const;                   // multiplications and additions of one
  double bytes(DType activations) const;  // of its two factors and its result
  std::string name() const;               // "block 3x3 256->256 forward"
};

// The convolutions of one step of the VQ-VAE. A transposed convolution's passes are those of the
// convolution whose input gradient it is, in other roles: its forward pass is an input gradient.
std::vector<StepConvolution> step_convolutions(int64_t batch, int64_t image_size, int64_t latent,
                                               int64_t downsampling = 4);

struct FloorItem {
  StepConvolution conv;
  double plain_seconds;  // median, x and y plain NHWC
  double any_seconds;    // median, in the library's formats (on a GPU the same)
  double bytes;          // of its tensors, without the padding of the library's format
};

class Floor {
 public:
  virtual ~Floor() = default;
  virtual void measure_once() = 0;
  virtual std::vector<FloorItem> items() const = 0;
  virtual double seconds() const = 0;  // of one step, from the medians so far
};

// `activations`: images and weights are f32 or bf16, as in a step of that precision; the gradient
// of the weights is f32 in both. Throws Error in a build without oneDNN.
std::unique_ptr<Floor> onednn_floor(const std::vector<StepConvolution>& list, DType activations);
// `activations`: f32 or bf16; the product is [rows,latent] by [latent,codes].
std::unique_ptr<Floor> device_floor(const std::vector<StepConvolution>& list, int64_t rows,
                                    int64_t codes, int64_t latent, DType activations,
                                    Device device);

}  // namespace versor
