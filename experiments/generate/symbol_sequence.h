// The symbols of an image as a sequence: the levels one after the other (the top one first, which
// the bottom one then follows on), in each level the latents row by row, and of each latent its L
// symbols (residual layers, groups), in the order of the quantizer.
#pragma once

#include <vector>

#include "tensor/tensor.h"
#include "vq/model.h"

namespace versor {

// The symbols of a level, of one image: [L,h,w], each from 0 to codes - 1.
struct SymbolLevel {
  int64_t codes = 0, layers = 1, height = 0, width = 0;
  int64_t length() const { return layers * height * width; }
  bool operator==(const SymbolLevel&) const = default;
};

class SymbolSequence {
 public:
  // Throws Error for no levels, or one with an extent < 1 or more than 65536 codes.
  explicit SymbolSequence(std::vector<SymbolLevel> levels);

  const std::vector<SymbolLevel>& levels() const { return levels_; }
  int64_t length() const;             // T of an image
  int64_t first(size_t level) const;  // the place in the sequence where a level begins
  size_t level_at(int64_t place) const;
  // A symbol's number among all symbols of all levels and layers, [0, vocabulary()), is
  // offset_at(its place) + symbol.
  int64_t vocabulary() const;
  int64_t offset_at(int64_t place) const;

  // i32 [N,L,h,w] of each level (study/coding.h) -> i32 [N,T], and back; on the host.
  Tensor flatten(const std::vector<Tensor>& symbols) const;
  std::vector<Tensor> unflatten(const Tensor& sequences) const;

 private:
  std::vector<SymbolLevel> levels_;
};

// That of a model's symbols of images of height x width pixels.
SymbolSequence symbol_sequence(const VqModel& model, int64_t height, int64_t width);

}  // namespace versor
