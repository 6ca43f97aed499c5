// The VQ-VAE of the paper (section 2.1-2.3), sizes as in the published runs. Tensor names are those
// of the PyTorch twin, so that weights go both ways.
//   encoder  conv 4x4 s2 (C -> D/2), ReLU, conv 4x4 s2 (D/2 -> D), ReLU, two residual blocks
//   decoder  two residual blocks, transposed conv 4x4 s2 (D -> D/2), ReLU, and (D/2 -> C), tanh
// The published code has none of the pooling layers that the paper's text speaks of.
#pragma once

#include "nn/layers.h"
#include "vq/quantizer.h"

namespace versor {

struct VqVaeOptions {
  CodebookOptions codebook;
  Estimator estimator = Estimator::rotation;
  int64_t image_channels = 3;
  int64_t hidden = 0;  // channels between image and latent; 0: D/2
  // Type of the activations between the images and the latents, and between the codes and the
  // reconstruction: f32, or bf16 (mixed precision). Everything else is f32.
  DType activations = DType::f32;
};

struct VqVaeOutput {
  Variable reconstruction;   // [N,H,W,C] in [-1,1]
  Variable latents;          // [N,H/4,W/4,D] z_e
  Variable codebook_loss;    // [1]
  Variable commitment_loss;  // [1]
  Quantized quantized;       // rows of [N*H/4*W/4, D]
};

class VqVae : public Module {
 public:
  VqVae(const VqVaeOptions& options, Device device, Rng rng);

  // images [N,H,W,C], H and W multiples of 4. Training mode (the default) updates the codebook; see
  // VectorQuantizer for the guard.
  VqVaeOutput operator()(const Tensor& images, FiniteGuard* guard = nullptr);
  Variable encode(const Tensor& images) const;     // [N,H/4,W/4,D]
  Variable decode(const Variable& latents) const;  // [N,h,w,D] -> [N,4h,4w,C]

  void set_training(bool training) { training_ = training; }
  Codebook& codebook() { return quantizer_.codebook(); }
  const VqVaeOptions& options() const { return options_; }

 private:
  VqVaeOptions options_;
  bool training_ = true;
  Sequential encoder_, decoder_;
  VectorQuantizer quantizer_;
};

// Total loss, eq. (7): mse(reconstruction, images) + codebook loss + beta * commitment loss.
struct VqVaeLoss {
  Variable total, reconstruction;  // [1]
};
VqVaeLoss vqvae_loss(const VqVaeOutput& output, const Tensor& images, float beta);

}  // namespace versor
