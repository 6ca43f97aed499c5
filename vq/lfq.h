// Lookup-free and binary spherical quantization: the sign of every dimension, so that d dimensions
// give 2^d codes without a table to learn. An entropy loss keeps all of them in use.
//   lfq  codes are the corners (+-1, ..., +-1).  Yu et al., "Language Model Beats Diffusion:
//        Tokenizer is Key to Visual Generation" (2023).
//   bsq  vectors are put on the unit sphere first, and codes are corners of length 1.  Zhao, Xiong,
//        Kraehenbuehl, "Image and Video Tokenization with Binary Spherical Quantization" (2024).
// Index: the first dimension is the highest bit; 0 stands for -1, 1 for +1. A dimension that is
// exactly 0 becomes -1. Loss: entropy_weight * (mean entropy of a row - gamma * entropy of the
// mean) of the probabilities softmax(-|e - c|^2 / temperature) over all codes (vq/losses.h).
#pragma once

#include "vq/lookup.h"

namespace versor {

struct SignOptions {
  int64_t bits = 10;       // d, 1..16
  bool spherical = false;  // bsq
  double entropy_weight = 0.1, gamma = 1, temperature = 0.01;
};

class SignQuantizer final : public LookupQuantizer {
 public:
  SignQuantizer(const SignOptions& options, const EstimatorOptions& estimator, Rng rng,
                Device device);

  // e [R,d]. No codebook loss; lfq has a commitment loss, bsq needs none.
  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  bool needs_batch_means() const override { return options_.entropy_weight > 0; }
  Tensor decode(const Tensor& index) const override {
    return decode_symbol("lfq", corners_, index);
  }
  Vocabulary vocabulary() const override { return {1, corners_.dim(0)}; }

  const Tensor& corners() const { return corners_; }  // [2^d,d], the codes

 private:
  Tensor nearest(const Tensor& z, const Tensor& codes) const override;
  Variable entropy_term(const Variable& z, BatchMeans* means) const;  // z [R,d]

  SignOptions options_;
  Tensor corners_;
  Tensor first_, second_;  // corners in the first half of the dimensions, and in the second
};

}  // namespace versor
