// Operations that move elements without arithmetic, and their gradients, which accumulate:
// slice and concat of columns, permute of axes, gather and its transpose (sum per index).
// Read next: reference_vq.h.
#pragma once

#include <utility>

#include "tests/reference_array.h"

namespace versor::reference {

// y[r,c] = x[r, begin + c] for c in [0, end - begin).   x [R,C], y [R,end-begin].
inline Array slice_columns(const Array& x, int64_t begin, int64_t end) {
  require(0 <= begin && begin <= end && end <= x.dim(1), "slice outside the columns");
  Array y = zeros({x.dim(0), end - begin});
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t c = begin; c < end; ++c) y.at(r, c - begin) = x.at(r, c);
  return y;
}

// dx[r, begin + c] = dy[r,c], zero in all other columns.   dx [R,columns].
inline Array slice_columns_grad(const Array& dy, int64_t begin, int64_t columns) {
  Array dx = zeros({dy.dim(0), columns});
  for (int64_t r = 0; r < dy.dim(0); ++r)
    for (int64_t c = 0; c < dy.dim(1); ++c) dx.at(r, begin + c) = dy.at(r, c);
  return dx;
}

// y[r] = a[r] followed by b[r].   a [R,A], b [R,B], y [R,A+B].
inline Array concat_columns(const Array& a, const Array& b) {
  require(a.dim(0) == b.dim(0), "concat needs equally many rows");
  Array y = zeros({a.dim(0), a.dim(1) + b.dim(1)});
  for (int64_t r = 0; r < a.dim(0); ++r) {
    for (int64_t c = 0; c < a.dim(1); ++c) y.at(r, c) = a.at(r, c);
    for (int64_t c = 0; c < b.dim(1); ++c) y.at(r, a.dim(1) + c) = b.at(r, c);
  }
  return y;
}

// {da, db}: the first a_columns columns of dy, and the rest.
inline std::pair<Array, Array> concat_columns_grad(const Array& dy, int64_t a_columns) {
  return {slice_columns(dy, 0, a_columns), slice_columns(dy, a_columns, dy.dim(1))};
}

// The elements, in order, whose place on an axis is one of begin..end-1: what a slice along it
// picks.
inline Indices elements_along(const Shape& shape, size_t axis, int64_t begin, int64_t end) {
  int64_t step = 1;
  for (size_t k = axis + 1; k < shape.size(); ++k) step *= shape[k];
  Indices chosen;
  for (int64_t i = 0; i < count_of(shape); ++i) {
    const int64_t place = i / step % shape.at(axis);
    if (begin <= place && place < end) chosen.push_back(i);
  }
  return chosen;
}

// y[i] = x[chosen[i]], with the given shape;  dx[chosen[i]] = dy[i], zero elsewhere.
inline Array take(const Array& x, const Indices& chosen, const Shape& shape) {
  Array y = zeros(shape);
  require(y.count() == static_cast<int64_t>(chosen.size()), "take needs an element for each place");
  for (int64_t i = 0; i < y.count(); ++i) y[i] = x[chosen[static_cast<size_t>(i)]];
  return y;
}
inline Array take_grad(const Array& dy, const Indices& chosen, const Shape& shape) {
  Array dx = zeros(shape);
  for (int64_t i = 0; i < dy.count(); ++i) dx[chosen[static_cast<size_t>(i)]] += dy[i];
  return dx;
}

// y[n,h,w,c] = x[n,h/f,w/f,c].   x [N,H,W,C], y [N,fH,fW,C]
inline Indices upsampled_elements(const Shape& x, int64_t f) {
  const Array shape_of_x{x, {}};
  Indices chosen;
  for (int64_t n = 0; n < x.at(0); ++n)
    for (int64_t h = 0; h < f * x[1]; ++h)
      for (int64_t w = 0; w < f * x[2]; ++w)
        for (int64_t c = 0; c < x[3]; ++c) chosen.push_back(shape_of_x.offset(n, h / f, w / f, c));
  return chosen;
}

// Axis k of y is axis axes[k] of x: with axes {0,3,1,2}, [N,H,W,C] becomes [N,C,H,W].
// Visits y in order and counts the position on each axis like an odometer.
inline Array permute(const Array& x, const std::vector<size_t>& axes) {
  const size_t rank = x.shape.size();
  require(axes.size() == rank, "permute needs one entry per axis");
  std::vector<int64_t> x_step(rank, 1);
  for (size_t k = rank; k-- > 1;) x_step[k - 1] = x_step[k] * x.shape[k];
  Array y = x;
  for (size_t k = 0; k < rank; ++k) y.shape[k] = x.shape.at(axes[k]);
  std::vector<int64_t> position(rank, 0);
  for (int64_t i = 0; i < y.count(); ++i) {
    int64_t offset = 0;
    for (size_t k = 0; k < rank; ++k) offset += position[k] * x_step[axes[k]];
    y[i] = x[offset];
    for (size_t k = rank; k-- > 0;) {
      if (++position[k] < y.shape[k]) break;
      position[k] = 0;
    }
  }
  return y;
}

// dx is dy with the axes put back.
inline Array permute_grad(const Array& dy, const std::vector<size_t>& axes) {
  std::vector<size_t> inverse(axes.size());
  for (size_t k = 0; k < axes.size(); ++k) inverse[axes[k]] = k;
  return permute(dy, inverse);
}

// y[r] = table[indices[r]].   table [K,D], y [R,D].
inline Array gather_rows(const Array& table, const Indices& indices) {
  Array y = zeros({static_cast<int64_t>(indices.size()), table.dim(1)});
  for (int64_t r = 0; r < y.dim(0); ++r) {
    const int64_t k = indices[static_cast<size_t>(r)];
    require(k >= 0 && k < table.dim(0), "gather index outside the table");
    for (int64_t d = 0; d < y.dim(1); ++d) y.at(r, d) = table.at(k, d);
  }
  return y;
}

// y[k] = sum of the rows r with indices[r] = k.   x [R,D], y [count,D].
inline Array segment_sum(const Array& x, const Indices& indices, int64_t count) {
  require(static_cast<int64_t>(indices.size()) == x.dim(0), "segment_sum needs one index per row");
  Array y = zeros({count, x.dim(1)});
  for (int64_t r = 0; r < x.dim(0); ++r) {
    const int64_t k = indices[static_cast<size_t>(r)];
    require(k >= 0 && k < count, "segment index outside the segments");
    for (int64_t d = 0; d < x.dim(1); ++d) y.at(k, d) += x.at(r, d);
  }
  return y;
}

// Each is the other's gradient: a row of the table sums the gradients of its copies.
inline Array gather_rows_grad(const Array& dy, const Indices& indices, int64_t table_rows) {
  return segment_sum(dy, indices, table_rows);
}
inline Array segment_sum_grad(const Array& dy, const Indices& indices) {
  return gather_rows(dy, indices);
}

// n[k] = how many entries of indices are k.   n [count].
inline Array bincount(const Indices& indices, int64_t count) {
  Array n = zeros({count});
  for (int64_t k : indices) {
    require(k >= 0 && k < count, "bincount index outside the bins");
    n[k] += 1.0;
  }
  return n;
}

// y[r] = images[indices[r]] * scale + shift.   images [M,H,W,C] in bytes, y [R,H,W,C].
inline Array gather_images(const std::vector<uint8_t>& images, const Shape& shape,
                           const Indices& indices, double scale, double shift) {
  require(static_cast<int64_t>(images.size()) == count_of(shape), "images do not fill their shape");
  const int64_t pixels = count_of(shape) / shape.at(0);
  Array y = zeros({static_cast<int64_t>(indices.size()), shape[1], shape[2], shape[3]});
  for (int64_t r = 0; r < y.dim(0); ++r) {
    const int64_t m = indices[static_cast<size_t>(r)];
    require(m >= 0 && m < shape[0], "image index outside the images");
    for (int64_t i = 0; i < pixels; ++i)
      y[r * pixels + i] = images[static_cast<size_t>(m * pixels + i)] * scale + shift;
  }
  return y;
}

// y[n,h,w,c] = x[n, border(h - down), border(w' - right), c], w' = mirrored ? W-1-w : w, where
// (mirrored, down, right) = moves[3n], moves[3n+1], moves[3n+2] and border reflects.
inline Array move_images(const Array& x, const std::vector<int64_t>& moves) {
  require(static_cast<int64_t>(moves.size()) == 3 * x.dim(0), "three numbers for each image");
  const int64_t H = x.dim(1), W = x.dim(2), C = x.dim(3);
  const auto border = [](int64_t i, int64_t size) {
    return size - 1 - std::abs(size - 1 - std::abs(i));
  };
  Array y = zeros(x.shape);
  for (int64_t i = 0; i < count_of(x.shape); ++i) {
    const int64_t c = i % C, w = i / C % W, h = i / (C * W) % H, n = i / (C * W * H);
    const int64_t* move = moves.data() + 3 * n;
    const int64_t from_h = border(h - move[1], H);
    const int64_t from_w = border((move[0] == 1 ? W - 1 - w : w) - move[2], W);
    y[i] = x[((n * H + from_h) * W + from_w) * C + c];
  }
  return y;
}

}  // namespace versor::reference
