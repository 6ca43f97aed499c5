// What surrounds the quantizer: the losses (eq. 7), the moving averages that update the codebook
// (eq. 3-5), a k-means step for its initialisation, usage of codes, and Adam.
// Losses are means over all elements. This is the reference's last file.
#pragma once

#include "tests/reference_elementwise.h"
#include "tests/reference_layout.h"
#include "tests/reference_vq.h"

namespace versor::reference {

// ---- losses ----

struct Losses {
  double reconstruction, codebook, commitment, total;  // commitment is not yet times beta
};

// total = mse(x_hat, x) + mse(sg[e], q) + beta mse(e, sg[q]).   x_hat, x any shape; e, q [R,D].
inline Losses losses(const Array& x_hat, const Array& x, const Array& e, const Array& q,
                     double beta) {
  Losses l{mse(x_hat, x), mse(e, q), mse(e, q), 0.0};
  l.total = l.reconstruction + l.codebook + beta * l.commitment;
  return l;
}

struct LossGradients {
  Array x_hat, e, q;
};

// Because of the stopped gradients, only q gets the gradient of the codebook loss and only e that
// of the commitment loss. The decoder's gradient, which reaches e through the estimator, is not
// included.
inline LossGradients losses_grad(const Array& x_hat, const Array& x, const Array& e, const Array& q,
                                 double beta) {
  return {mse_grad(1.0, x_hat, x).first, mse_grad(beta, e, q).first, mse_grad(1.0, e, q).second};
}

// ---- moving averages ----

struct Codebook {
  Array codes;  // c [K,D]
  Array count;  // N [K]
  Array sum;    // m [K,D]
};

// N = 1, m = c: a code does not move until it is used.
inline Codebook warm_codebook(const Array& codes) {
  return {codes, filled({codes.dim(0)}, 1.0), codes};
}

// N = 0, m = 0 (the published runs): a code unused in the first step becomes the zero vector.
inline Codebook zero_codebook(const Array& codes) {
  return {codes, zeros({codes.dim(0)}), zeros(codes.shape)};
}

// The running mean [D]: sum of m / sum of N over the codes; 0 where nothing has been counted.
inline Array mean_of(const Codebook& codebook) {
  double total = 0.0;
  for (double n : codebook.count.data) total += n;
  Array mean = zeros({codebook.sum.dim(1)});
  if (total == 0.0) return mean;
  for (int64_t k = 0; k < codebook.sum.dim(0); ++k)
    for (int64_t d = 0; d < codebook.sum.dim(1); ++d) mean[d] += codebook.sum.at(k, d) / total;
  return mean;
}

// With n_i and s_i the count and sum of the rows of e on code i:
//   N <- decay N + (1 - decay) n,   m <- decay m + (1 - decay) s             (eq. 3, 4)
//   c_i = m_i / N'_i,   N'_i = (N_i + epsilon) / (sum N + K epsilon) sum N   (eq. 5, smoothed)
// e [R,D], indices [R].
inline Codebook ema_update(const Codebook& before, const Array& e, const Indices& indices,
                           double decay, double epsilon) {
  const int64_t codes = before.codes.dim(0);
  const Array n = bincount(indices, codes);
  const Array s = segment_sum(e, indices, codes);
  Codebook after = before;
  for (int64_t i = 0; i < codes; ++i) {
    after.count[i] = decay * before.count[i] + (1.0 - decay) * n[i];
    for (int64_t d = 0; d < e.dim(1); ++d)
      after.sum.at(i, d) = decay * before.sum.at(i, d) + (1.0 - decay) * s.at(i, d);
  }
  const double total = sum(after.count);
  for (int64_t i = 0; i < codes; ++i) {
    const double smoothed =
        (after.count[i] + epsilon) / (total + static_cast<double>(codes) * epsilon) * total;
    for (int64_t d = 0; d < e.dim(1); ++d) after.codes.at(i, d) = after.sum.at(i, d) / smoothed;
  }
  return after;
}

// ---- k-means ----

// One Lloyd step: every center moves to the mean of its nearest points. Centers without points are
// replaced, in index order, by the rows of points named in `spare`.
// points [R,D], centers [K,D]; result [K,D].
inline Array kmeans_step(const Array& points, const Array& centers, const Indices& spare) {
  const Indices nearest = nearest_code(points, centers);
  const Array n = bincount(nearest, centers.dim(0));
  Array moved = segment_sum(points, nearest, centers.dim(0));
  size_t taken = 0;
  for (int64_t i = 0; i < centers.dim(0); ++i) {
    const int64_t row = n[i] == 0.0 ? spare.at(taken++) : -1;
    for (int64_t d = 0; d < centers.dim(1); ++d)
      moved.at(i, d) = row >= 0 ? points.at(row, d) : moved.at(i, d) / n[i];
  }
  return moved;
}

// ---- usage ----

// exp(-sum over i of p_i log p_i), p = count / total; a code with p = 0 adds nothing.   count [K].
inline double perplexity(const Array& count) {
  const double total = sum(count);
  double entropy = 0.0;
  for (double n : count.data)
    if (n > 0.0) entropy -= n / total * std::log(n / total);
  return std::exp(entropy);
}

// The share of codes that have at least `percent` of the uniform count total / K.   count [K].
// Compares products of integers, so that a count exactly on the border is included.
inline double usage(const Array& count, double percent = 10.0) {
  const double total = sum(count);
  const double codes = static_cast<double>(count.count());
  double used = 0.0;
  for (double n : count.data)
    if (100.0 * n * codes >= percent * total) used += 1.0;
  return used / codes;
}

// ---- Adam ----

struct AdamState {
  Array parameter, m, v;  // equal shapes
};

struct AdamOptions {
  double lr = 2e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

// Step t = 1, 2, ... (Kingma and Ba 2015, as PyTorch computes it):
//   m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
//   p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
inline AdamState adam_step(const AdamState& before, const Array& g, int64_t t,
                           const AdamOptions& o) {
  require(g.shape == before.parameter.shape && t >= 1, "adam_step shapes or step");
  AdamState after = before;
  const double m_correction = 1.0 - std::pow(o.beta1, static_cast<double>(t));
  const double v_correction = 1.0 - std::pow(o.beta2, static_cast<double>(t));
  for (int64_t i = 0; i < g.count(); ++i) {
    after.m[i] = o.beta1 * before.m[i] + (1.0 - o.beta1) * g[i];
    after.v[i] = o.beta2 * before.v[i] + (1.0 - o.beta2) * g[i] * g[i];
    const double m_hat = after.m[i] / m_correction;
    const double v_hat = after.v[i] / v_correction;
    after.parameter[i] -= o.lr * m_hat / (std::sqrt(v_hat) + o.epsilon);
  }
  return after;
}

}  // namespace versor::reference
