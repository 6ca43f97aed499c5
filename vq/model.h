// The interface that training uses, and what all models share: an encoder, one or several levels of
// latents with a quantizer each, a decoder, and the loss.
//   vqvae.h   one level: the VQ-VAE of the paper
//   vqvae2.h  two levels: VQ-VAE-2
#pragma once

#include <functional>

#include "vq/family.h"

namespace versor {

struct VqVaeOptions {
  QuantizerOptions quantizer = {};  // for each level
  int64_t image_channels = 3;
  int64_t hidden = 0;  // channels between image and latent; 0: D/2
  // Pixels of the image per latent in each direction (in the bottom level): 4, 8 or 16. It gives
  // the depth of the network (vqvae.h).
  int64_t downsampling = 4;
  // The type of the activations in the encoder and the decoder: f32, or bf16 (mixed precision).
  // Everything else, latents and codes included, is f32.
  DType activations = DType::f32;
};

// One level of latents, and what its quantizer made of them as R = N*h*w rows.
struct QuantizedLatents {
  Variable latents;  // [N,h,w,D] z_e
  Quantized quantized;
};

struct VqVaeOutput {
  Variable reconstruction;               // [N,H,W,C] in [-1,1]
  std::vector<QuantizedLatents> levels;  // in the order in which they are quantized

  // Those of the last level, which in a model of one level is the only one.
  const Variable& latents() const { return levels.back().latents; }
  const Quantized& quantized() const { return levels.back().quantized; }
  std::vector<Tensor> symbols() const;  // i32 [L,R] of each level; R differs between levels
  Tensor counts() const;                // i32 [sum of L, K] of all levels
};

// Which part of a batch a forward pass gets. The default: all of it.
struct BatchShare {
  BatchPart part = {};
  BatchMeans* means = nullptr;  // of the step; needed if needs_batch_means()
};

class VqModel : public Module {
 public:
  struct Level {
    std::string name;  // prefix of the names of the quantizer's tensors; may be empty
    QuantizerPointer quantizer;
  };

  // images [N,H,W,C]: a batch, or the part of it that `share` says.
  virtual VqVaeOutput operator()(const Tensor& images, const BatchShare& share = {}) const = 0;
  // Updates the quantizer of each level from the passes since the last update: see Quantizer.
  Tensor update(const std::vector<VqVaeOutput>& passes, const Tensor& guard = {},
                Communicator& communicator = alone());
  // The latents [N,h,w,D] of a level, given what the levels before it pass on in evaluation.
  virtual Variable latents_of(size_t level, const Tensor& images) const = 0;
  // Decodes the symbols of all levels into images of the given shape: the reconstruction that
  // evaluation gives, bit for bit.
  virtual Tensor decode_symbols(const std::vector<Tensor>& symbols, const Shape& images) const = 0;

  // Starts the codebooks that start from latents (Quantizer::start_rows), one level after the
  // other: each gets the latents of as many first batches as it needs, computed with the levels
  // before it. images_of(b) are this process's parts of batch b, none of them empty; the latents of
  // all processes are put together.
  void start_codebooks(int64_t batches,
                       const std::function<std::vector<Tensor>(int64_t)>& images_of,
                       Communicator& communicator = alone());

  // In the order in which they quantize.
  const std::vector<Level>& levels() const { return levels_; }
  // The symbols of all levels added up, although the number of rows differs between levels.
  Vocabulary vocabulary() const;
  // Counters on the device that a checkpoint must hold besides parameters and buffers.
  std::vector<std::pair<std::string, Tensor>> counters() const;
  // Whether a step can be captured once and replayed.
  bool capturable() const;
  // Whether a pass over a part of a batch needs BatchMeans.
  bool needs_batch_means() const;
  int64_t latent() const { return options_.quantizer.codebook.latent; }  // D
  // How many pixels a latent of a level covers each way. The last level has the most latents.
  int64_t pixels_per_latent(size_t level) const {
    return options_.downsampling << (levels_.size() - 1 - level);
  }
  const VqVaeOptions& options() const { return options_; }

 protected:
  explicit VqModel(const VqVaeOptions& options);

  void add_level(std::string name, QuantizerPointer quantizer);
  Quantizer& quantizer_of(size_t level) const { return *levels_[level].quantizer; }
  // Quantizes latents [N,h,w,D], appends the level to the output and returns the values [N,h,w,D].
  Variable quantize(size_t level, const Variable& latents, const BatchShare& share,
                    VqVaeOutput& output) const;
  // Throws Error unless images are [N,H,W,C] with H and W multiples of `factor`.
  void check_images(const char* who, const Tensor& images, int64_t factor) const;
  // Codes [R,D] of images of the given shape, as the latents [N,H/factor,W/factor,D].
  Variable latent_image(const Tensor& codes, const Shape& images, int64_t factor) const;

 private:
  VqVaeOptions options_;
  std::vector<Level> levels_;
};

// Total loss, eq. (7): mse(reconstruction, images) + codebook loss + beta * commitment loss
// + auxiliary loss. The quantizers' losses are summed over the levels; one that no quantizer has is
// undefined.
struct VqVaeLoss {
  Variable total, reconstruction, codebook, commitment;  // [1]
};
VqVaeLoss vqvae_loss(const VqVaeOutput& output, const Tensor& images, float beta);

}  // namespace versor
