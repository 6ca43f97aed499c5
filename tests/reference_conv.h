// Convolution and transposed convolution with their gradients, as seven nested loops each.
// Images are [N,H,W,C], weights of a convolution [O,kh,kw,I]. The three functions of a convolution
// visit the same triples (output pixel, weight, input pixel) and differ in which of the three they
// accumulate. In the loops h, v count the pixels of the side that is not shifted.
// Array{} as bias means no bias. Read next: reference_linear.h.
#pragma once

#include "tests/reference_array.h"

namespace versor::reference {

// Output length of one axis: H' = floor((H + 2p - k) / s) + 1.
inline int64_t conv_length(int64_t length, int64_t kernel, int64_t stride, int64_t padding) {
  require(stride > 0 && padding >= 0 && length + 2 * padding >= kernel, "kernel does not fit");
  return (length + 2 * padding - kernel) / stride + 1;
}

// Output length of one axis of the transposed convolution: H' = (H - 1) s - 2p + k.
inline int64_t conv_transpose_length(int64_t length, int64_t kernel, int64_t stride,
                                     int64_t padding) {
  const int64_t result = (length - 1) * stride - 2 * padding + kernel;
  require(stride > 0 && padding >= 0 && result > 0, "transposed convolution leaves nothing");
  return result;
}

inline bool inside(int64_t position, int64_t length) {
  return position >= 0 && position < length;
}

// y[n,h,w,o] = bias[o] + sum over i,j,c of x[n, h*s+i-p, w*s+j-p, c] * w[o,i,j,c], then
// max(y, 0) if `with_relu`. x [N,H,W,I], w [O,kh,kw,I], bias [O]; y [N,H',W',O].
// Pixels outside the image are zero.
inline Array conv2d(const Array& x, const Array& w, const Array& bias, int64_t stride,
                    int64_t padding, bool with_relu = false) {
  require(x.dim(3) == w.dim(3), "conv2d channels differ");
  const int64_t rows = conv_length(x.dim(1), w.dim(1), stride, padding);
  const int64_t columns = conv_length(x.dim(2), w.dim(2), stride, padding);
  Array y = zeros({x.dim(0), rows, columns, w.dim(0)});
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t h = 0; h < rows; ++h)
      for (int64_t v = 0; v < columns; ++v)
        for (int64_t o = 0; o < w.dim(0); ++o) {
          double total = bias.count() == 0 ? 0.0 : bias[o];
          for (int64_t i = 0; i < w.dim(1); ++i)
            for (int64_t j = 0; j < w.dim(2); ++j) {
              const int64_t xh = h * stride + i - padding;
              const int64_t xw = v * stride + j - padding;
              if (!inside(xh, x.dim(1)) || !inside(xw, x.dim(2))) continue;
              for (int64_t c = 0; c < w.dim(3); ++c) total += x.at(n, xh, xw, c) * w.at(o, i, j, c);
            }
          y.at(n, h, v, o) = with_relu && total < 0.0 ? 0.0 : total;
        }
  return y;
}

// dx[n,a,b,c] = sum of dy[n,h,w,o] * w[o,i,j,c] over all o and all h,i with h*s+i-p = a and all w,j
// with w*s+j-p = b.   dy [N,H',W',O], w [O,kh,kw,I]; dx has x_shape = [N,H,W,I].
// The shape of x is given, because several input sizes have the same output size if s > 1.
// After a fused ReLU, pass relu_grad(dy, y) as dy, here and in the two functions below.
inline Array conv2d_grad_input(const Array& dy, const Array& w, const Shape& x_shape,
                               int64_t stride, int64_t padding) {
  Array dx = zeros(x_shape);
  require(dy.dim(1) == conv_length(dx.dim(1), w.dim(1), stride, padding) &&
              dy.dim(2) == conv_length(dx.dim(2), w.dim(2), stride, padding),
          "conv2d_grad_input: dy does not match the shape of x");
  for (int64_t n = 0; n < dy.dim(0); ++n)
    for (int64_t h = 0; h < dy.dim(1); ++h)
      for (int64_t v = 0; v < dy.dim(2); ++v)
        for (int64_t o = 0; o < w.dim(0); ++o)
          for (int64_t i = 0; i < w.dim(1); ++i)
            for (int64_t j = 0; j < w.dim(2); ++j) {
              const int64_t xh = h * stride + i - padding;
              const int64_t xw = v * stride + j - padding;
              if (!inside(xh, dx.dim(1)) || !inside(xw, dx.dim(2))) continue;
              for (int64_t c = 0; c < w.dim(3); ++c)
                dx.at(n, xh, xw, c) += dy.at(n, h, v, o) * w.at(o, i, j, c);
            }
  return dx;
}

// dw[o,i,j,c] = sum over n,h,w of dy[n,h,w,o] * x[n, h*s+i-p, w*s+j-p, c].  w_shape = [O,kh,kw,I].
inline Array conv2d_grad_weight(const Array& x, const Array& dy, const Shape& w_shape,
                                int64_t stride, int64_t padding) {
  Array dw = zeros(w_shape);
  require(dy.dim(1) == conv_length(x.dim(1), dw.dim(1), stride, padding) &&
              dy.dim(2) == conv_length(x.dim(2), dw.dim(2), stride, padding),
          "conv2d_grad_weight: dy does not match the shape of w");
  for (int64_t o = 0; o < dw.dim(0); ++o)
    for (int64_t i = 0; i < dw.dim(1); ++i)
      for (int64_t j = 0; j < dw.dim(2); ++j)
        for (int64_t n = 0; n < dy.dim(0); ++n)
          for (int64_t h = 0; h < dy.dim(1); ++h)
            for (int64_t v = 0; v < dy.dim(2); ++v) {
              const int64_t xh = h * stride + i - padding;
              const int64_t xw = v * stride + j - padding;
              if (!inside(xh, x.dim(1)) || !inside(xw, x.dim(2))) continue;
              for (int64_t c = 0; c < dw.dim(3); ++c)
                dw.at(o, i, j, c) += dy.at(n, h, v, o) * x.at(n, xh, xw, c);
            }
  return dw;
}

// db[o] = sum over n,h,w of dy[n,h,w,o].  dy [N,H',W',O], db [O].
inline Array conv2d_grad_bias(const Array& dy) {
  Array db = zeros({dy.dim(3)});
  for (int64_t n = 0; n < dy.dim(0); ++n)
    for (int64_t h = 0; h < dy.dim(1); ++h)
      for (int64_t v = 0; v < dy.dim(2); ++v)
        for (int64_t o = 0; o < dy.dim(3); ++o) db[o] += dy.at(n, h, v, o);
  return db;
}

// y[n,a,b,o] = bias[o] + sum of x[n,h,w,c] * w[c,i,j,o] over all c and all h,i with h*s+i-p = a and
// all w,j with w*s+j-p = b.
// x [N,H,W,I], w [I,kh,kw,O], bias [O]; y [N,(H-1)s-2p+kh,(W-1)s-2p+kw,O].
// Each input pixel adds its kernel to the output; what lies outside is dropped. This is the input
// gradient of the convolution with the same weight that maps y's shape to x's.
inline Array conv_transpose2d(const Array& x, const Array& w, const Array& bias, int64_t stride,
                              int64_t padding) {
  require(x.dim(3) == w.dim(0), "conv_transpose2d channels differ");
  const int64_t rows = conv_transpose_length(x.dim(1), w.dim(1), stride, padding);
  const int64_t columns = conv_transpose_length(x.dim(2), w.dim(2), stride, padding);
  Array y = zeros({x.dim(0), rows, columns, w.dim(3)});
  if (bias.count() != 0)
    for (int64_t k = 0; k < y.count(); ++k) y[k] = bias[k % w.dim(3)];
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t h = 0; h < x.dim(1); ++h)
      for (int64_t v = 0; v < x.dim(2); ++v)
        for (int64_t c = 0; c < w.dim(0); ++c)
          for (int64_t i = 0; i < w.dim(1); ++i)
            for (int64_t j = 0; j < w.dim(2); ++j) {
              const int64_t yh = h * stride + i - padding;
              const int64_t yw = v * stride + j - padding;
              if (!inside(yh, rows) || !inside(yw, columns)) continue;
              for (int64_t o = 0; o < w.dim(3); ++o)
                y.at(n, yh, yw, o) += x.at(n, h, v, c) * w.at(c, i, j, o);
            }
  return y;
}

// dx[n,h,w,c] = sum over i,j,o of dy[n, h*s+i-p, w*s+j-p, o] * w[c,i,j,o].
inline Array conv_transpose2d_grad_input(const Array& dy, const Array& w, const Shape& x_shape,
                                         int64_t stride, int64_t padding) {
  Array dx = zeros(x_shape);
  require(dy.dim(1) == conv_transpose_length(dx.dim(1), w.dim(1), stride, padding) &&
              dy.dim(2) == conv_transpose_length(dx.dim(2), w.dim(2), stride, padding),
          "conv_transpose2d_grad_input: dy does not match the shapes of x and w");
  for (int64_t n = 0; n < dx.dim(0); ++n)
    for (int64_t h = 0; h < dx.dim(1); ++h)
      for (int64_t v = 0; v < dx.dim(2); ++v)
        for (int64_t c = 0; c < w.dim(0); ++c)
          for (int64_t i = 0; i < w.dim(1); ++i)
            for (int64_t j = 0; j < w.dim(2); ++j) {
              const int64_t yh = h * stride + i - padding;
              const int64_t yw = v * stride + j - padding;
              if (!inside(yh, dy.dim(1)) || !inside(yw, dy.dim(2))) continue;
              for (int64_t o = 0; o < w.dim(3); ++o)
                dx.at(n, h, v, c) += dy.at(n, yh, yw, o) * w.at(c, i, j, o);
            }
  return dx;
}

// dw[c,i,j,o] = sum over n,h,w of x[n,h,w,c] * dy[n, h*s+i-p, w*s+j-p, o].  w_shape = [I,kh,kw,O].
inline Array conv_transpose2d_grad_weight(const Array& x, const Array& dy, const Shape& w_shape,
                                          int64_t stride, int64_t padding) {
  Array dw = zeros(w_shape);
  require(dy.dim(1) == conv_transpose_length(x.dim(1), dw.dim(1), stride, padding) &&
              dy.dim(2) == conv_transpose_length(x.dim(2), dw.dim(2), stride, padding),
          "conv_transpose2d_grad_weight: dy does not match the shapes of x and w");
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t h = 0; h < x.dim(1); ++h)
      for (int64_t v = 0; v < x.dim(2); ++v)
        for (int64_t c = 0; c < dw.dim(0); ++c)
          for (int64_t i = 0; i < dw.dim(1); ++i)
            for (int64_t j = 0; j < dw.dim(2); ++j) {
              const int64_t yh = h * stride + i - padding;
              const int64_t yw = v * stride + j - padding;
              if (!inside(yh, dy.dim(1)) || !inside(yw, dy.dim(2))) continue;
              for (int64_t o = 0; o < dw.dim(3); ++o)
                dw.at(c, i, j, o) += x.at(n, h, v, c) * dy.at(n, yh, yw, o);
            }
  return dw;
}

// db[o] = sum over n,h,w of dy[n,h,w,o]: the same sum as for a convolution.
inline Array conv_transpose2d_grad_bias(const Array& dy) {
  return conv2d_grad_bias(dy);
}

}  // namespace versor::reference
