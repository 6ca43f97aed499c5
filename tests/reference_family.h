// The rest of the quantizer family in double: probabilities of codes, losses on their usage, grids,
// and sampling noise. Independent of the library, like reference.h; its gradients are finite
// differences. R rows, K codes, D columns.
#pragma once

#include "tests/reference.h"

namespace versor::reference {

// p[r,k] = softmax over k of (-|e_r - c_k|^2 / t + noise[r,k]).   e [R,D], codes [K,D], noise [R,K]
// or Array{}: none.
inline Array code_probabilities(const Array& e, const Array& codes, double t,
                                const Array& noise = {}) {
  Array scores = zeros({e.dim(0), codes.dim(0)});
  for (int64_t r = 0; r < e.dim(0); ++r)
    for (int64_t k = 0; k < codes.dim(0); ++k) {
      double squares = 0;
      for (int64_t d = 0; d < e.dim(1); ++d) squares += std::pow(e.at(r, d) - codes.at(k, d), 2);
      scores.at(r, k) = -squares / t + (noise.count() > 0 ? noise.at(r, k) : 0.0);
    }
  return softmax(scores);
}

// -sum p log p of each row of p [R,K], in nats; 0 log 0 = 0.
inline Array entropies(const Array& p) {
  Array h = zeros({p.dim(0)});
  for (int64_t r = 0; r < p.dim(0); ++r)
    for (int64_t k = 0; k < p.dim(1); ++k)
      if (p.at(r, k) > 0) h[r] -= p.at(r, k) * std::log(p.at(r, k));
  return h;
}

// The mean of the rows, [R,K] -> [1,K].
inline Array mean_row(const Array& p) {
  Array m = zeros({1, p.dim(1)});
  for (int64_t r = 0; r < p.dim(0); ++r)
    for (int64_t k = 0; k < p.dim(1); ++k) m[k] += p.at(r, k) / static_cast<double>(p.dim(0));
  return m;
}

// mean H(p_r) - gamma H(mean p).
inline double entropy_loss(const Array& p, double gamma) {
  return mean(entropies(p)) - gamma * entropies(mean_row(p))[0];
}

// log K - H(mean p).
inline double diversity_loss(const Array& p) {
  return std::log(static_cast<double>(p.dim(1))) - entropies(mean_row(p))[0];
}

// mean over all pairs of (cos(c_j, c_k) - [j = k])^2.
inline double orthogonality_loss(const Array& codes) {
  const int64_t K = codes.dim(0);
  double squares = 0;
  for (int64_t j = 0; j < K; ++j)
    for (int64_t k = 0; k < K; ++k) {
      const Array a = row_of(codes, j), b = row_of(codes, k);
      squares += std::pow(dot(a, b) / (norm(a) * norm(b)) - (j == k ? 1.0 : 0.0), 2);
    }
  return squares / static_cast<double>(K * K);
}

// Rows of length 1; no row may be near zero.
inline Array unit_rows(const Array& x) {
  return normalize_rows(x, 0.0);
}

// Finite scalar quantization before the rounding, in units of floor(l/2):
//   (h tanh(z + atanh(o/h)) - o) / floor(l/2),  h = (l-1)(1+1e-3)/2,  o = 1/2 for even l;  tanh z
//   for l = 2.   z [R,d].
inline Array fsq_bounded(const Array& z, const std::vector<int64_t>& levels) {
  Array b = z;
  for (int64_t r = 0; r < z.dim(0); ++r)
    for (int64_t d = 0; d < z.dim(1); ++d) {
      const auto l = static_cast<double>(levels.at(static_cast<size_t>(d)));
      if (l == 2) {
        b.at(r, d) = std::tanh(z.at(r, d));
        continue;
      }
      const double h = (l - 1) * 1.001 / 2, o = std::fmod(l, 2) == 0 ? 0.5 : 0.0;
      b.at(r, d) = (h * std::tanh(z.at(r, d) + std::atanh(o / h)) - o) / std::floor(l / 2);
    }
  return b;
}

// Its codes [K,d]: all combinations of levels, the first dimension's running fastest.
inline Array fsq_grid(const std::vector<int64_t>& levels) {
  int64_t K = 1;
  for (int64_t l : levels) K *= l;
  Array grid = zeros({K, static_cast<int64_t>(levels.size())});
  for (int64_t k = 0; k < K; ++k) {
    int64_t rest = k;
    for (int64_t d = 0; d < grid.dim(1); ++d) {
      const int64_t l = levels[static_cast<size_t>(d)];
      grid.at(k, d) = l == 2 ? static_cast<double>(2 * (rest % 2) - 1)
                             : static_cast<double>(rest % l - l / 2) / static_cast<double>(l / 2);
      rest /= l;
    }
  }
  return grid;
}

// All corners (+-length)^d in the order of their binary numbers, the first dimension highest.
inline Array sign_corners(int64_t bits, double length) {
  Array corners = zeros({int64_t{1} << bits, bits});
  for (int64_t k = 0; k < corners.dim(0); ++k)
    for (int64_t i = 0; i < bits; ++i)
      corners.at(k, i) = (k >> (bits - 1 - i)) % 2 == 1 ? length : -length;
  return corners;
}

}  // namespace versor::reference
