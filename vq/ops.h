// The checked front end of the quantizer's kernels, as tensor/ops.h is for the network's: it checks
// shapes, allocates outputs and traces the work. The formulas are in vq/backend.h.
#pragma once

#include "vq/backend.h"

namespace versor::vq {

Tensor nearest_code(const Tensor& e, const Tensor& codebook);                 // i32 [R]
Tensor sign_code(const Tensor& z);                                            // i32 [R]
Tensor grid_code(const Tensor& z, const Tensor& grid, const Tensor& levels);  // i32 [R]
// In place. draw i32 [1]: the number of the draw, on the device.
void add_noise(Tensor& x, Noise noise, float scale, const Tensor& draw, Rng rng);
Tensor estimator_grad(Tensor dy, const Tensor& e, const Tensor& q, Estimator estimator);
Tensor unscaled_value(const Tensor& e, const Tensor& q, Estimator estimator);
Tensor geometry(const Tensor& e, const Tensor& q);  // [4]
void ema_update(Tensor& codebook, Tensor& cluster_size, Tensor& m, const Tensor& counts,
                const Tensor& sums, const Tensor& guard, double decay, double eps,
                bool unit_length = false);
// [count,D]; e is a batch of `total` rows from row `first` on.
Tensor draw_rows(const Tensor& e, int64_t count, int64_t first, int64_t total, const Tensor& draw,
                 Rng rng);
Tensor replace_dead_codes(Tensor& codebook, Tensor& cluster_size, Tensor& m,
                          const Tensor& candidates, const Tensor& guard,
                          double fraction);  // i32 [1]
// a + b, i32 [K].
Tensor sum_of_counts(const Tensor& a, const Tensor& b);
// [1] from counts i32 [K]; from counts [L,K] the geometric mean over the symbols that were counted.
Tensor perplexity(const Tensor& counts);

}  // namespace versor::vq
