// What all models have in common: an encoder, one or several levels of latents with a quantizer
// each, a decoder; the loss; and what a training needs of a model, whichever it is.
//   vqvae.h   one level: the VQ-VAE of the paper
//   vqvae2.h  two levels: VQ-VAE-2
#pragma once

#include <functional>

#include "nn/finite_guard.h"
#include "nn/layers.h"
#include "vq/family.h"

namespace versor {

struct VqVaeOptions {
  QuantizerOptions quantizer = {};  // of each level
  int64_t image_channels = 3;
  int64_t hidden = 0;  // channels between image and latent; 0: D/2
  // Type of the activations between the images and the latents, and between the codes and the
  // reconstruction: f32, or bf16 (mixed precision). Everything else is f32.
  DType activations = DType::f32;
};

struct VqVaeOutput {
  Variable reconstruction;  // [N,H,W,C] in [-1,1]
  Variable latents;         // [N,H/4,W/4,D] z_e, of the last level
  // Rows of [N*H/4*W/4, D], and the losses. Of several levels: losses, counts [sum of L, K] and
  // replaced codes of all of them, the first level first; everything else is the last one's.
  Quantized quantized;
  std::vector<Tensor> symbols;  // i32 [L,R] of each level; they differ in R
};

class VqModel : public Module {
 public:
  struct Level {
    std::string name;  // before the names of the quantizer's tensors; may be empty
    QuantizerPointer quantizer;
  };

  // images [N,H,W,C]. Training mode (the default) updates the codebooks, unless the guard (may be
  // null), which looks at the latents of each level first, has found something.
  virtual VqVaeOutput operator()(const Tensor& images, FiniteGuard* guard = nullptr) = 0;
  // The images, of this shape, that the symbols of all levels stand for: the reconstruction of
  // evaluation, bit for bit.
  virtual Tensor decode_symbols(const std::vector<Tensor>& symbols, const Shape& images) const = 0;

  // Starts the codebooks that want latents to start from, one level after the other, each from the
  // latents that the levels before it give: those of the first batches, as many as it wants.
  void start_codebooks(int64_t batches, const std::function<Tensor(int64_t)>& images_of);

  void set_training(bool training) { training_ = training; }
  bool training() const { return training_; }
  // While frozen a pass changes nothing, in training either: for a look at a batch.
  void freeze(bool frozen);

  // In the order in which they quantize.
  const std::vector<Level>& levels() const { return levels_; }
  // Symbols of all levels; each level has a number of rows of its own.
  Alphabet alphabet() const;
  // Counters on the device that a checkpoint must hold beside parameters and buffers.
  std::vector<std::pair<std::string, Tensor>> counters() const;
  // Whether a step can be captured once and replayed.
  bool capturable() const;
  int64_t latent() const { return options_.quantizer.codebook.latent; }  // D
  const VqVaeOptions& options() const { return options_; }

 protected:
  explicit VqModel(const VqVaeOptions& options);

  // The latents [N,h,w,D] of a level, by what the levels before it give in evaluation.
  virtual Variable latents_of(size_t level, const Tensor& images) const = 0;

  void add_level(std::string name, QuantizerPointer quantizer);
  Quantizer& quantizer_of(size_t level) const { return *levels_[level].quantizer; }
  // Quantizes latents [N,h,w,D], after the guard has seen them under the name `what`.
  Quantized quantize(size_t level, const Variable& latents, FiniteGuard* guard, const char* what);
  // Refuses what is not [N,H,W,C] with H and W multiples of `factor`.
  void check_images(const char* who, const Tensor& images, int64_t factor) const;

  // A convolution, or a transposed one, 4x4 with stride 2.
  static ConvOptions halving(int64_t in, int64_t out, Activation activation);
  // The layers between the images and a quarter of their size, and back:
  //   encoder  conv 4x4 s2 (C -> hidden), ReLU, conv 4x4 s2 (hidden -> D), ReLU,
  //            two residual blocks
  //   decoder  two residual blocks, transposed conv 4x4 s2 (D -> hidden), ReLU, and (hidden -> C)
  void add_encoder(Sequential& encoder, Rng rng, Device device) const;
  void add_decoder(Sequential& decoder, Rng rng, Device device) const;

 private:
  VqVaeOptions options_;
  bool training_ = true;
  std::vector<Level> levels_;
};

// Total loss, eq. (7): mse(reconstruction, images) + codebook loss + beta * commitment loss, and
// the auxiliary loss; those that the quantizers have, summed over the levels.
struct VqVaeLoss {
  Variable total, reconstruction;  // [1]
};
VqVaeLoss vqvae_loss(const VqVaeOutput& output, const Tensor& images, float beta);

}  // namespace versor
