// What a device implements for the quantizer, under the rules of tensor/backend.h: the front end
// (vq/ops.h) checks the tensors, outputs are overwritten, results do not depend on the number of
// threads. R rows, K codes, D columns.
#pragma once

#include "tensor/backend.h"
#include "vq/noise.h"
#include "vq/row_math.h"

namespace versor {

class VqBackend {
 public:
  virtual ~VqBackend() = default;

  // index[r] = the k with the smallest sum over d of (e[r,d] - codebook[k,d])^2, evaluated in f64;
  // the lowest k among equals.  (eq. 2)   index i32 [R],  e [R,D],  codebook [K,D].
  // Memory is O(R + K D): there is never an R x K matrix. A row with a NaN gets index 0.
  virtual void nearest_code(Tensor& index, const Tensor& e, const Tensor& codebook) = 0;
  // The nearest corner of the cube of side 2 around 0, by the signs of z: index[r] = the number
  // whose bits, the highest first, are z[r,0] > 0, z[r,1] > 0, ...; 0 for a row with a NaN. index
  // i32 [R],  z [R,d], d <= 16.
  virtual void sign_code(Tensor& index, const Tensor& z) = 0;
  // The nearest point of a grid, found one dimension at a time. Equals nearest_code(z, grid) bit
  // for bit, and takes about d distances per row instead of K.   index i32 [R],  z [R,d],  grid
  // [K,d]: all combinations of levels[i] ascending values in each dimension i, the first dimension
  // running fastest,  levels i32 [d] on the device.
  virtual void grid_code(Tensor& index, const Tensor& z, const Tensor& grid,
                         const Tensor& levels) = 0;
  // x[i] = x[i] + scale * n[i], where n[i] is noise number rng.first + i of the stream
  // rng.split(draw[0]).   x of any shape,  draw i32 [1] stays on the device.
  virtual void add_noise(Tensor& x, Noise noise, float scale, const Tensor& draw, Rng rng) = 0;
  // de[r,:] = the estimator's gradient (row_math.h).   de, dy, e, q [R,D]; de may be dy.
  virtual void estimator_grad(Tensor& de, const Tensor& dy, const Tensor& e, const Tensor& q,
                              Estimator estimator) = 0;
  // y[r,:] = |e[r,:]| * q[r,:]/|q[r,:]|, the value of `published` and `rotation_unscaled`. The two
  // differ where a vector is too short to have a direction (row_math.h).   y, e, q [R,D].
  virtual void unscaled_value(Tensor& y, const Tensor& e, const Tensor& q, Estimator estimator) = 0;
  // stats = largest lambda, mean lambda, mean angle, largest angle (radians) over the rows.
  // stats [4],  e, q [R,D].
  virtual void geometry(Tensor& stats, const Tensor& e, const Tensor& q) = 0;
  // One EMA step, eq. (3)-(5) with Laplace smoothing: with n, s the counts and sums of the batch,
  //   N = decay N + (1-decay) n,   m = decay m + (1-decay) s,
  //   codebook[k] = m[k] / Nhat[k],   Nhat[k] = (N[k]+eps) / (sum N + K eps) * sum N.
  // With unit_length  codebook[k] = m[k] / |m[k]|;  a code with |m[k]| < 1e-30 keeps its value.
  // Does nothing once the guard has found something (find_nonfinite in tensor/backend.h).
  // codebook, m, sums [K,D],  cluster_size N [K],  counts i32 or f32 [K],  guard i32 [2] or
  // undefined.
  virtual void ema_update(Tensor& codebook, Tensor& cluster_size, Tensor& m, const Tensor& counts,
                          const Tensor& sums, const Tensor& guard, double decay, double eps,
                          bool unit_length) = 0;
  // Distinct random rows of a batch of `total`, of which e holds R from row `first` on: y[i,:] =
  // e[j - first,:] with j = rng.split(draw[0]).permute(i, total), or 0 if e does not have row j.
  // y [C,D], C <= total,  e [R,D],  draw i32 [1] stays on the device.
  virtual void draw_rows(Tensor& y, const Tensor& e, int64_t first, int64_t total,
                         const Tensor& draw, Rng rng) = 0;
  // A code with N[k] < fraction * (sum N)/K is dead: the i-th dead code becomes candidates[i,:].
  // Then N[k] = (sum N)/K and m[k] = N[k] codebook[k], with the sum from before any replacement. At
  // most C codes are replaced; replaced i32 [1] is their number. Does nothing (replaced = 0) once
  // the guard has found something.   candidates [C,D],  guard i32 [2] or undefined.
  virtual void replace_dead_codes(Tensor& codebook, Tensor& cluster_size, Tensor& m,
                                  Tensor& replaced, const Tensor& candidates, const Tensor& guard,
                                  double fraction) = 0;
  // y[0] = exp(mean over l of H[l]),  H[l] = - sum over k of p[l,k] log p[l,k],  p[l,:] =
  // counts[l,:] / their sum: the geometric mean of the symbols' perplexities. A symbol that was
  // never counted is left out of the mean; y[0] = 1 if no symbol was counted.
  // y [1],  counts i32 [L,K].
  virtual void perplexity(Tensor& y, const Tensor& counts) = 0;
};

// The quantizer kernels of a device. Throws Error if this build has none.
VqBackend& vq_backend_for(Device device);

}  // namespace versor
