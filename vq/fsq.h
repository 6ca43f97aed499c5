// Finite scalar quantization: every one of a few dimensions is bounded and rounded to a few levels;
// the codes are all combinations, a grid that needs no learning, no losses and no care for dead
// codes. Mentzer, Minnen, Agustsson, Tschannen, "Finite Scalar Quantization: VQ-VAE Made Simple"
// (2023).
//
// A dimension with l levels:  b = tanh(z + s) h - o  reaches just beyond the outermost levels,
//   h = (l-1)(1+1e-3)/2,  o = 1/2 if l is even else 0,  s = atanh(o/h), so that b(0) = 0.
// Levels are the integers -floor(l/2) .. ceil(l/2)-1, divided by floor(l/2) to fill -1..1. The
// nearest point of a grid is the nearest level in every dimension, so that rounding is a search
// like any other's, and estimators see a vector and its code.
//   index = sum over i of (level_i + floor(l_i/2)) * (l_0 * ... * l_(i-1)): the first runs fastest
#pragma once

#include "vq/lookup.h"

namespace versor {

class FiniteScalarQuantizer final : public LookupQuantizer {
 public:
  // levels: at least 2 each, at most 2^16 combinations. The rows have as many columns.
  FiniteScalarQuantizer(const std::vector<int64_t>& levels, const EstimatorOptions& estimator,
                        Rng rng, Device device);

  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor decode(const Tensor& index) const override { return decode_symbol("fsq", grid_, index); }
  Alphabet alphabet() const override { return {1, grid_.dim(0)}; }

  // b, divided by floor(l/2).   z [R,d].
  Variable bounded(const Variable& z) const;
  const Tensor& grid() const { return grid_; }  // [K,d], the codes

 private:
  Tensor grid_;
  Tensor shift_, scale_, offset_;  // [d]: s, h / floor(l/2), -o / floor(l/2)
};

}  // namespace versor
