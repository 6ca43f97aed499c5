// The matrices of minimal filtering F(m,r): m outputs of a filter with r taps from m + r - 1
// multiplications (Winograd 1980; the construction is Toom's and Cook's). WINOGRAD.md derives them.
#pragma once

#include <array>
#include <cstddef>

namespace versor::cpu::winograd {

template <int rows_, int columns_>
struct Matrix {
  static constexpr int rows = rows_, columns = columns_;
  std::array<std::array<double, columns>, rows> at{};

  constexpr Matrix<columns, rows> transposed() const {
    Matrix<columns, rows> result;
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) result.at[j][i] = at[i][j];
    return result;
  }
};

// One dimension:  y = A^T [(G g) * (B^T d)],  y[i] = sum over j of d[i+j] g[j], * by element.
// Two dimensions: every matrix from the left, and its transpose from the right.
template <int m, int r>
struct Filtering {
  static constexpr int n = m + r - 1;
  Matrix<n, n> input;    // B^T
  Matrix<n, r> filter;   // G
  Matrix<n, m> outputs;  // A
};

// Evaluates polynomials at the points and, as the last row, at infinity. Any different points give
// an exact algorithm; rounding errors depend on them.
template <int m, int r>
constexpr Filtering<m, r> cook_toom(const std::array<double, m + r - 2>& points) {
  constexpr int n = Filtering<m, r>::n;
  Filtering<m, r> result;
  for (int i = 0; i < n; ++i) {
    const bool infinity = i == n - 1;
    // The coefficients of the product of (x - point) over all other points, and its value at this
    // one, by which the filter is divided.
    std::array<double, n> polynomial{1};
    double divisor = 1;
    int degree = 0;
    for (int j = 0; j < n - 1; ++j) {
      if (j == i) continue;
      ++degree;
      for (int k = degree; k >= 0; --k)
        polynomial[k] = (k > 0 ? polynomial[k - 1] : 0) - points[j] * polynomial[k];
      if (!infinity) divisor *= points[i] - points[j];
    }
    // What should be 0 but for rounding is set to 0, so that it costs no multiplication.
    for (int k = 0; k < n; ++k)
      result.input.at[i][k] = polynomial[k] * polynomial[k] < 1e-24 ? 0 : polynomial[k];
    double power = 1;
    for (int k = 0; k < n; ++k) {
      if (k < r) result.filter.at[i][k] = infinity ? k == r - 1 : power / divisor;
      if (k < m) result.outputs.at[i][k] = infinity ? k == m - 1 : power;
      power *= infinity ? 1 : points[i];
    }
  }
  return result;
}

// The points of this project, small and in pairs of opposite sign. WINOGRAD.md says why, and has
// the errors of these and of others.
constexpr double kRoot2 = 1.41421356237309504880;
template <int r>
constexpr Filtering<4, r> filtering() {
  static_assert(r == 2 || r == 3);
  if constexpr (r == 3)
    return cook_toom<4, 3>({0, 1 / kRoot2, -1 / kRoot2, kRoot2, -kRoot2});
  else
    return cook_toom<4, 2>({kRoot2 / 4, -kRoot2 / 4, kRoot2, -kRoot2});
}

}  // namespace versor::cpu::winograd
