// Softmax and argmax of every row.
#pragma once

#include <algorithm>

#include "tests/reference_array.h"

namespace versor::reference {

// y[r,k] = e^x[r,k] / sum over j of e^x[r,j], with x less the largest of its row, which cancels;
// dx[r,k] = y[r,k] (dy[r,k] - sum over j of dy[r,j] y[r,j]).
inline Array softmax(const Array& x) {
  Array y = x;
  for (int64_t r = 0; r < x.dim(0); ++r) {
    const Array row = row_of(x, r);
    const double largest = *std::max_element(row.data.begin(), row.data.end());
    double total = 0.0;
    for (double value : row.data) total += std::exp(value - largest);
    for (int64_t k = 0; k < x.dim(1); ++k) y.at(r, k) = std::exp(row[k] - largest) / total;
  }
  return y;
}
inline Array softmax_grad(const Array& dy, const Array& y) {
  Array dx = dy;
  for (int64_t r = 0; r < y.dim(0); ++r) {
    const double mean = dot(row_of(dy, r), row_of(y, r));
    for (int64_t k = 0; k < y.dim(1); ++k) dx.at(r, k) = y.at(r, k) * (dy.at(r, k) - mean);
  }
  return dx;
}

// y[r,k] = x[r,k] - log(sum over j of e^x[r,j]);  dx[r,k] = dy[r,k] - e^y[r,k] * sum over j of
// dy[r,j].
inline Array log_softmax(const Array& x) {
  Array y = x;
  for (int64_t r = 0; r < x.dim(0); ++r) {
    const Array row = row_of(x, r);
    const double largest = *std::max_element(row.data.begin(), row.data.end());
    double total = 0.0;
    for (double value : row.data) total += std::exp(value - largest);
    for (int64_t k = 0; k < x.dim(1); ++k) y.at(r, k) = row[k] - largest - std::log(total);
  }
  return y;
}
inline Array log_softmax_grad(const Array& dy, const Array& y) {
  Array dx = dy;
  for (int64_t r = 0; r < y.dim(0); ++r) {
    double total = 0.0;
    for (double d : row_of(dy, r).data) total += d;
    for (int64_t k = 0; k < y.dim(1); ++k) dx.at(r, k) -= std::exp(y.at(r, k)) * total;
  }
  return dx;
}

// y[r] = x[r,index[r]];  dx[r,index[r]] = dy[r], 0 elsewhere.
inline Array pick(const Array& x, const Indices& index) {
  Array y = zeros({x.dim(0)});
  for (int64_t r = 0; r < x.dim(0); ++r) y[r] = x.at(r, index.at(static_cast<size_t>(r)));
  return y;
}
inline Array pick_grad(const Array& dy, const Indices& index, int64_t columns) {
  Array dx = zeros({dy.dim(0), columns});
  for (int64_t r = 0; r < dy.dim(0); ++r) dx.at(r, index.at(static_cast<size_t>(r))) = dy[r];
  return dx;
}

// y = mean over r of -log softmax(x)[r,label[r]];  dx[r,k] = dy (softmax(x)[r,k] - [k = label[r]])
// / R.
inline double cross_entropy(const Array& x, const Indices& labels) {
  double total = 0.0;
  for (double value : pick(log_softmax(x), labels).data) total -= value;
  return total / static_cast<double>(x.dim(0));
}
inline Array cross_entropy_grad(double dy, const Array& x, const Indices& labels) {
  Array dx = softmax(x);
  for (int64_t r = 0; r < x.dim(0); ++r) dx.at(r, labels.at(static_cast<size_t>(r))) -= 1.0;
  for (double& d : dx.data) d *= dy / static_cast<double>(x.dim(0));
  return dx;
}

// The k of the largest x[r,k], the lowest of equals; a NaN is less than all numbers.
inline Indices argmax(const Array& x) {
  Indices index;
  for (int64_t r = 0; r < x.dim(0); ++r) {
    int64_t best = -1;  // of the numbers
    for (int64_t k = 0; k < x.dim(1); ++k)
      if (!std::isnan(x.at(r, k)) && (best < 0 || x.at(r, k) > x.at(r, best))) best = k;
    index.push_back(std::max<int64_t>(best, 0));
  }
  return index;
}

}  // namespace versor::reference
