// Finite scalar quantization: see fsq.h.
#include "vq/fsq.h"

#include <cmath>

#include "autograd/functions.h"
#include "vq/ops.h"

namespace versor {
namespace {

constexpr int64_t kMostCodes = 1 << 16;

// One dimension: level j of l is (first + j * step) / floor(l/2); s, h and o as in fsq.h.
struct Dimension {
  double first, step, s, h, o;

  explicit Dimension(int64_t l)
      : first(-static_cast<double>(l / 2)), step(l == 2 ? 2 : 1), s(0), h(1), o(0) {
    if (l == 2) return;
    h = static_cast<double>(l - 1) * (1 + 1e-3) / 2;
    o = l % 2 == 0 ? 0.5 : 0.0;
    s = std::atanh(o / h);
  }
};

}  // namespace

FiniteScalarQuantizer::FiniteScalarQuantizer(const std::vector<int64_t>& levels,
                                             const EstimatorOptions& estimator, Rng rng,
                                             Device device)
    : LookupQuantizer(estimator, rng, device) {
  check(!levels.empty(), "fsq", "there are no levels");
  int64_t K = 1;
  for (int64_t l : levels) {
    check(l >= 2, "fsq", "a dimension needs at least 2 levels, got ", l);
    check(l <= kMostCodes / K, "fsq", "the levels make more than ", kMostCodes,
          " codes; group several quantizers");
    K *= l;
  }
  const auto d = static_cast<int64_t>(levels.size());
  std::vector<float> grid(static_cast<size_t>(K * d)), shift, scale, offset;
  int64_t step = 1;  // by which the index grows from one level of this dimension to the next
  for (int64_t i = 0; i < d; ++i) {
    const int64_t l = levels[static_cast<size_t>(i)];
    const Dimension of(l);
    const auto half_width = static_cast<double>(l / 2);
    for (int64_t k = 0; k < K; ++k) {
      const auto j = static_cast<double>(k / step % l);
      grid[static_cast<size_t>(k * d + i)] =
          static_cast<float>((of.first + j * of.step) / half_width);
    }
    step *= l;
    shift.push_back(static_cast<float>(of.s));
    scale.push_back(static_cast<float>(of.h / half_width));
    offset.push_back(static_cast<float>(-of.o / half_width));
  }
  levels_ = Tensor::from(std::vector<int32_t>(levels.begin(), levels.end()), {d}, device);
  grid_ = Tensor::from(grid, {K, d}, device);
  shift_ = Tensor::from(shift, {d}, device);
  scale_ = Tensor::from(scale, {d}, device);
  offset_ = Tensor::from(offset, {d}, device);
}

Variable FiniteScalarQuantizer::bounded(const Variable& z) const {
  const Variable wide = scale_columns(tanh(add_bias(z, Variable(shift_))), Variable(scale_));
  return add_bias(wide, Variable(offset_));
}

Tensor FiniteScalarQuantizer::nearest(const Tensor& z, const Tensor& codes) const {
  return vq::grid_code(z, codes, levels_);
}

// A fixed grid has no use for a codebook loss, and bounded vectors need no commitment loss.
Quantized FiniteScalarQuantizer::operator()(const Variable& e, ForwardPass pass) const {
  Quantized out = look_up(bounded(e), Variable(grid_), pass);
  out.codebook_loss = out.commitment_loss = {};
  return out;
}

}  // namespace versor
