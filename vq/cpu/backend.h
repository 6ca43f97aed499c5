// The quantizer's kernels on the CPU: nearest.cpp, grids.cpp, estimators.cpp, codebook.cpp.
#pragma once

#include "vq/backend.h"

namespace versor {

class CpuVqBackend final : public VqBackend {
 public:
  void nearest_code(Tensor& index, const Tensor& e, const Tensor& codebook) override;
  void sign_code(Tensor& index, const Tensor& z) override;
  void grid_code(Tensor& index, const Tensor& z, const Tensor& grid, const Tensor& levels) override;
  void add_noise(Tensor& x, Noise noise, float scale, const Tensor& draw, Rng rng) override;
  void estimator_grad(Tensor& de, const Tensor& dy, const Tensor& e, const Tensor& q,
                      Estimator estimator) override;
  void unscaled_value(Tensor& y, const Tensor& e, const Tensor& q, Estimator estimator) override;
  void geometry(Tensor& stats, const Tensor& e, const Tensor& q) override;
  void ema_update(Tensor& codebook, Tensor& cluster_size, Tensor& m, const Tensor& counts,
                  const Tensor& sums, const Tensor& guard, double decay, double eps,
                  bool unit_length) override;
  void draw_rows(Tensor& y, const Tensor& e, int64_t first, int64_t total, const Tensor& draw,
                 Rng rng) override;
  void replace_dead_codes(Tensor& codebook, Tensor& cluster_size, Tensor& m, Tensor& replaced,
                          const Tensor& candidates, const Tensor& guard, double fraction) override;
  void perplexity(Tensor& y, const Tensor& counts) override;
};

}  // namespace versor
