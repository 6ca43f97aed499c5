// Exact t-SNE: maps points of many dimensions to two, so that neighbours stay neighbours.
// Equation numbers refer to van der Maaten and Hinton, "Visualizing Data using t-SNE" (JMLR 9,
// 2008). What the paper leaves open (start, gains, resetting the velocity) is as in scikit-learn's
// method "exact", so that Kullback-Leibler divergences can be compared.
// Legend: n points, D their length; p [n,n] row-major, zero diagonal. Read next: embedding.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

struct TsneOptions {
  double perplexity = 30;  // effective number of neighbours, >= 1
  double learning_rate = 200;
  int iterations = 1000;          // the first 250 with P exaggerated 12 times and momentum 0.5
  double start_deviation = 1e-4;  // of the random start; added to a given start as well
  uint64_t seed = 1;
};

struct Embedding {
  std::vector<double> xy;               // [n,2]
  double kl = 0;                        // sum P log(P/Q) of this layout, in nats; P not exaggerated
  double entropy_error = 0;             // largest |entropy of a row - log(perplexity)|, in nats
  double perplexity = 0;                // the one used: at most (distinct - 1) / 3, at least 1
  int64_t distinct = 0;                 // points that differ from all before them
  std::vector<int64_t> representative;  // [n] index of a point's first copy; its own if none
};

// Embeds points f32 [n,D], on any device. Only the first of equal points is embedded and the others
// share its place: a row with more duplicates than the perplexity could not reach its entropy.
// Fewer than 4 distinct points are put on a line. entropy_error stays large where more points than
// the perplexity are equally near, as the corners of a simplex are.
// Takes tsne_bytes() of memory; where there is less, it refuses before it starts.
// `start` [n,2] is the initial layout, e.g. an earlier result; the deviation separates points that
// start at the same place. The bits depend on neither the number of threads nor the device.
// Throws Error: not f32 or not two axes, NaN or infinity in points or start, options out of range,
// too little memory, a learning rate so large that the layout diverges.
Embedding tsne(const Tensor& points, const TsneOptions& options = {},
               std::span<const double> start = {});

// The memory that `distinct` points [distinct,D] take, in bytes: P is a matrix of doubles.
size_t tsne_bytes(int64_t distinct, int64_t d);

// ---- the steps of tsne(), one by one ----

// d[i,j] = |x_i - x_j|^2.   points [n,D] -> [n,n]
std::vector<double> squared_distances(std::span<const double> points, int64_t n);

// Replaces squared distances by p(j|i) = exp(-b_i d[i,j]) / sum over k != i (eq. 1), where the
// precision b_i is bisected until the row's entropy is within 1e-5 of log(perplexity).
// Returns the largest |entropy - log(perplexity)|. n >= 2.
double to_conditional(std::vector<double>& distances, int64_t n, double perplexity);

// p_ij = (p(j|i) + p(i|j)) / 2n, so that they sum to 1.
void to_joint(std::vector<double>& conditional, int64_t n);

struct Layout {
  std::vector<double> x, y;  // [n] each
};

// C = sum over i != j of p_ij log(p_ij / q_ij), q_ij = w_ij / sum w, w_ij = 1 / (1 + |y_i - y_j|^2)
// (eq. 4).
double kl_divergence(const std::vector<double>& p, const Layout& y);

// dC/dy_i = 4 sum over j of (a p_ij - q_ij) w_ij (y_i - y_j) (eq. 5); a: the exaggeration.
Layout kl_gradient(const std::vector<double>& p, const Layout& y, double exaggeration);

}  // namespace versor
