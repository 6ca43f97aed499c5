// Finite scalar quantization: each of a few dimensions is bounded and rounded to a few levels. The
// codes are all combinations of levels: a grid that is not learned, needs no losses and has no dead
// codes to replace. Mentzer, Minnen, Agustsson, Tschannen, "Finite Scalar Quantization: VQ-VAE Made
// Simple" (2023).
//
// A dimension with l > 2 levels, as published:
//   b = tanh(z + s) h - o,  h = (l-1)(1+1e-3)/2,  o = 1/2 if l is even else 0,  s = atanh(o/h),
// which reaches just beyond the outermost levels and has b(0) = 0. Levels are the integers
// -floor(l/2) .. ceil(l/2)-1, divided by floor(l/2) to fill -1..1. So an even number of levels is
// not symmetric: 0 is a level, and one more lies below it than above.
//
// With l = 2 that formula breaks down: o/h = 1/1.001 makes s 3.8, where tanh is flat. The threshold
// between -1 and 0 would lie at z = -3.8, N(0,1) would fall on level 0 in 99.99 % of the cases, and
// the gradient at 0 would be 0.001. Two levels are therefore
//   b = tanh(z),  levels -1 and 1:
// the sign of z, with the threshold at 0 and gradient 1 there, as in lfq.h and in the symmetric
// form of vector-quantize-pytorch, which allows two levels in no other form.
//
//   index = sum over i of j_i * (l_0 * ... * l_(i-1)),  j_i = 0 .. l_i - 1 the number of the level
//   from below: the first dimension runs fastest
// A value exactly between two levels takes the lower one.
#pragma once

#include "vq/lookup.h"

namespace versor {

class FiniteScalarQuantizer final : public LookupQuantizer {
 public:
  // levels: at least 2 each, at most 2^16 combinations. Rows have one column per dimension.
  FiniteScalarQuantizer(const std::vector<int64_t>& levels, const EstimatorOptions& estimator,
                        Rng rng, Device device);

  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor decode(const Tensor& index) const override { return decode_symbol("fsq", grid_, index); }
  Vocabulary vocabulary() const override { return {1, grid_.dim(0)}; }

  // b, divided by floor(l/2).   z [R,d].
  Variable bounded(const Variable& z) const;
  const Tensor& grid() const { return grid_; }  // [K,d], the codes

 private:
  Tensor nearest(const Tensor& z, const Tensor& codes) const override;

  Tensor levels_;  // i32 [d]
  Tensor grid_;
  Tensor shift_, scale_, offset_;  // [d]: s, h / floor(l/2), -o / floor(l/2)
};

}  // namespace versor
