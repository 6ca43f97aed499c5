// Where minimal filtering finds its pixels and taps: tiles, windows, and the phases of a stride.
// See winograd.h.
#pragma once

#include <algorithm>
#include <vector>

#include "tensor/tensor.h"

namespace versor::cpu::winograd {

constexpr int64_t kTile = 4;  // outputs per side of a tile

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// The r x r taps of one phase within a k x k filter: tap (i,j) is (h + step * i, w + step * j).
struct Taps {
  int64_t h, w, step;
};

// Which pixels a tile at (row, column) sees: (step * (row + i) + h, step * (column + j) + w).
struct Window {
  int64_t h, w, step;
};

// A tile of 4 x 4 outputs, from this row and column on, of image n.
struct Tile {
  int64_t n, row, column;
};

// Images [N,H,W,C].
template <class T>
struct Images {
  T* data;
  int64_t N, H, W, C;

  // The same images from channel c on.
  Images from(int64_t c) const { return {data + c, N, H, W, C}; }

  // Addresses of size x size pixels, `outside` for those beyond the borders.
  void pixels(T** to, int64_t size, const Tile& tile, const Window& window, T* outside) const {
    for (int64_t i = 0; i < size; ++i) {
      const int64_t h = window.step * (tile.row + i) + window.h;
      for (int64_t j = 0; j < size; ++j) {
        const int64_t w = window.step * (tile.column + j) + window.w;
        const bool inside = h >= 0 && h < H && w >= 0 && w < W;
        *to++ = inside ? data + ((tile.n * H + h) * W + w) * C : outside;
      }
    }
  }
};
template <class T>
Images<T> images(Tensor& t) {
  return {t.data<T>(), t.dim(0), t.dim(1), t.dim(2), t.dim(3)};
}
template <class T>
Images<const T> images(const Tensor& t) {
  return {t.data<T>(), t.dim(0), t.dim(1), t.dim(2), t.dim(3)};
}

// The tiles of N images of `rows` x `columns` outputs.
struct Tiling {
  int64_t N, down, across;
  Tiling(int64_t N_, int64_t rows, int64_t columns)
      : N(N_), down(ceil_div(rows, kTile)), across(ceil_div(columns, kTile)) {}
  int64_t count() const { return N * down * across; }
  Tile at(int64_t i) const {
    return {i / (down * across), i / across % down * kTile, i % across * kTile};
  }
};

// The filters [O,k,k,C] of a convolution, cut into phases of r x r taps.
struct Filters {
  int64_t O, k, C, stride, r, n, points;
  Filters(const Tensor& weight, const Conv2dParams& p)
      : O(weight.dim(0)),
        k(weight.dim(1)),
        C(weight.dim(3)),
        stride(p.stride),
        r(k / p.stride),
        n(r + kTile - 1),
        points(n * n) {}
  // Where tap t of output o is among the weights, for channel 0.
  int64_t at(int64_t o, const Taps& taps, int64_t t) const {
    const int64_t h = taps.h + taps.step * (t / r), w = taps.w + taps.step * (t % r);
    return ((o * k + h) * k + w) * C;
  }
};

// What a pass over the tiles adds up: for every phase, windows of one image times r x r taps.
struct Pass {
  std::vector<Taps> taps;
  std::vector<Window> windows;
  Window place;     // of a tile's outputs among the pixels of the other image
  bool transposed;  // sums over outputs o and gives channels c, not the other way round
};

// The windows and taps of the forward pass: y[h] = sum over phases a and taps i of
// x[s (h + i) + a - p] w[s i + a], in each dimension.
inline Pass forward_pass(const Filters& f, int64_t padding) {
  Pass pass{{}, {}, {0, 0, 1}, false};
  for (int64_t a = 0; a < f.stride; ++a)
    for (int64_t b = 0; b < f.stride; ++b) {
      pass.taps.push_back({a, b, f.stride});
      pass.windows.push_back({a - padding, b - padding, f.stride});
    }
  return pass;
}

// The input gradient at the pixels s q + b is a pass of its own for every b, in each dimension:
//   dx[s q + b] = sum over i of dy[q + e - i] w[s i + a]   with a = (b + p) mod s, s e = b + p - a.
// In the order of a window the taps run backwards: i = r - 1 - j.
inline Pass input_gradient_pass(const Filters& f, int64_t padding, int64_t b_h, int64_t b_w) {
  const int64_t s = f.stride, last = f.r - 1;
  const int64_t a_h = (b_h + padding) % s, a_w = (b_w + padding) % s;
  return {{{s * last + a_h, s * last + a_w, -s}},
          {{(b_h + padding - a_h) / s - last, (b_w + padding - a_w) / s - last, 1}},
          {b_h, b_w, s},
          true};
}

// Transformed filters are kept as a whole up to so many bytes, else in parts of at most half of
// them, or one panel.
constexpr int64_t kFilterBytes = int64_t{10} << 20;
// How many of `panels`, of so many bytes each, to take at a time, in equal groups.
inline int64_t in_groups(int64_t panels, int64_t bytes) {
  if (panels * bytes <= kFilterBytes) return panels;
  const int64_t fitting = std::max<int64_t>(1, kFilterBytes / 2 / bytes);
  return ceil_div(panels, ceil_div(panels, fitting));
}

constexpr int64_t kBlockChannels = 128;  // per side of a block of the weight gradient

}  // namespace versor::cpu::winograd
