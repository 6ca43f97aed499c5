// Scaled dot-product attention of several heads (Vaswani et al. 2017).
#pragma once

#include <algorithm>

#include "tests/reference_array.h"

namespace versor::reference {

// qkv [N,T,3W], y and dy [N,T,W] with H heads of D = W/H: for each sequence n and head h
//   s_tu = q_t k_u / sqrt(D),  p_tu = e^s_tu / sum over v of e^s_tv,  y_t = sum over u of p_tu v_u
// over all places u or, where `causal`, those up to t. Gradients, with dp_tu = dy_t v_u:
//   dv_u = sum over t of p_tu dy_t,  ds_tu = p_tu (dp_tu - sum over v of p_tv dp_tv),
//   dq_t = sum over u of ds_tu k_u / sqrt(D),  dk_u = sum over t of ds_tu q_t / sqrt(D).
struct Attention {
  int64_t heads;
  bool causal;

  Array value(const Array& qkv) const {
    Array y = zeros({qkv.dim(0), qkv.dim(1), qkv.dim(2) / 3});
    each_place(qkv, [&](const Place& at, const std::vector<double>& p) {
      for (int64_t u = 0; u < static_cast<int64_t>(p.size()); ++u)
        for (int64_t d = 0; d < at.D; ++d)
          y[at.of_y(d)] += p[static_cast<size_t>(u)] * qkv[at.of(2, u, d)];
    });
    return y;
  }

  Array gradient(const Array& dy, const Array& qkv) const {
    Array dqkv = zeros(qkv.shape);
    each_place(qkv, [&](const Place& at, const std::vector<double>& p) {
      std::vector<double> dp(p.size());
      double mean = 0.0;
      for (size_t u = 0; u < p.size(); ++u) {
        for (int64_t d = 0; d < at.D; ++d)
          dp[u] += dy[at.of_y(d)] * qkv[at.of(2, static_cast<int64_t>(u), d)];
        mean += p[u] * dp[u];
      }
      for (size_t i = 0; i < p.size(); ++i) {
        const auto u = static_cast<int64_t>(i);
        const double ds = p[i] * (dp[i] - mean) / std::sqrt(static_cast<double>(at.D));
        for (int64_t d = 0; d < at.D; ++d) {
          dqkv[at.of(0, at.t, d)] += ds * qkv[at.of(1, u, d)];
          dqkv[at.of(1, u, d)] += ds * qkv[at.of(0, at.t, d)];
          dqkv[at.of(2, u, d)] += p[i] * dy[at.of_y(d)];
        }
      }
    });
    return dqkv;
  }

 private:
  // Place t of head h of sequence n.
  struct Place {
    int64_t n, h, t, T, W, D;
    // Where element d of q (part 0), k (1) or v (2) of place u lies in qkv.
    int64_t of(int64_t part, int64_t u, int64_t d) const {
      return (n * T + u) * 3 * W + part * W + h * D + d;
    }
    int64_t of_y(int64_t d) const { return (n * T + t) * W + h * D + d; }
  };

  // Calls f(place, p) with the probabilities of the places that it sees.
  template <class F>
  void each_place(const Array& qkv, const F& f) const {
    const int64_t T = qkv.dim(1), W = qkv.dim(2) / 3, D = W / heads;
    for (int64_t n = 0; n < qkv.dim(0); ++n)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t t = 0; t < T; ++t) {
          const Place at{n, h, t, T, W, D};
          std::vector<double> p(static_cast<size_t>(causal ? t + 1 : T));
          for (size_t u = 0; u < p.size(); ++u) {
            for (int64_t d = 0; d < D; ++d)
              p[u] += qkv[at.of(0, t, d)] * qkv[at.of(1, static_cast<int64_t>(u), d)];
            p[u] /= std::sqrt(static_cast<double>(D));
          }
          const double largest = *std::max_element(p.begin(), p.end());
          double total = 0.0;
          for (double& value : p) total += value = std::exp(value - largest);
          for (double& value : p) value /= total;
          f(at, p);
        }
  }
};

}  // namespace versor::reference
