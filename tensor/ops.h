// The checked front end of the primitives: each function compares shapes, types and devices
// (throwing Error with all of them), allocates its output, traces, and calls the backend.
// The formulas and layouts stand in backend.h; nothing here is differentiable (see autograd/).
#pragma once

#include <array>
#include <vector>

#include "tensor/backend.h"
#include "tensor/tensor.h"

namespace versor::ops {

// Memory for a result of x's shape and type: x's own where nobody else holds it.
inline Tensor reused(const Tensor& x) {
  return x.unshared() ? x : Tensor(x.shape(), x.dtype(), x.device());
}

// filling and converting
void fill(Tensor& y, float value);
void copy(Tensor& y, const Tensor& x);
Tensor full(Shape shape, float value, Device device = {}, DType dtype = DType::f32);
Tensor zeros(Shape shape, Device device = {}, DType dtype = DType::f32);
Tensor clone(const Tensor& x);
Tensor cast(const Tensor& x, DType dtype);
// x * scale + shift, of x's type or another one.
Tensor affine(const Tensor& x, float scale, float shift, DType dtype);
inline Tensor affine(const Tensor& x, float scale, float shift) {
  return affine(x, scale, shift, x.dtype());
}
inline Tensor scaled(const Tensor& x, float factor) {
  return affine(x, factor, 0.f);
}
Tensor uniform(Shape shape, Rng rng, float low, float high, Device device = {});
Tensor normal(Shape shape, Rng rng, Device device = {});
void increment(Tensor& counter);  // of one element
void increment(Tensor& counters, const std::vector<int32_t>& which);
void add_counts(Tensor& total, const Tensor& counts);
void write_row(Tensor& table, const Tensor& row, const std::vector<Tensor>& values);
// A guard that has found nothing yet (i32 [2]), and the search that feeds it.
Tensor new_guard(Device device = {});
void find_nonfinite(Tensor& guard, const std::vector<Tensor>& tensors, int first_tag,
                    const Tensor& step);

// element-wise
Tensor unary(const Tensor& x, UnaryOp op);
// dx is written over dy where nobody else holds it (move dy in).
Tensor unary_grad(Tensor dy, const Tensor& saved, UnaryOp op);
Tensor binary(const Tensor& a, const Tensor& b, BinaryOp op);
void add_to(Tensor& y, const Tensor& x);                            // y += x
Tensor binary_rows(const Tensor& x, const Tensor& v, BinaryOp op);  // any rank; v [last axis]
Tensor scale_rows(const Tensor& x, const Tensor& s);                // x [R,C], s [R]
Tensor broadcast(const Tensor& s, Shape shape, float factor = 1.f);
// Each element 0 with probability p, else x / (1 - p). draw i32 [1] is the number of the draw: the
// same draw of the same rng drops the same elements.
Tensor dropout(const Tensor& x, const Tensor& draw, Rng rng, float p);
// x repeated to `shape` by NumPy's rules: axes are aligned from the last; one of extent 1, or one
// that x lacks, is repeated. Its adjoint adds up what is repeated.
Tensor expand(const Tensor& x, Shape shape);
Tensor sum_to(const Tensor& y, Shape shape);
// The shape of a and b together by these rules. Throws Error where they do not fit.
Shape broadcast_shape(const Shape& a, const Shape& b);
inline Tensor relu(const Tensor& x) {
  return unary(x, UnaryOp::relu);
}
inline Tensor relu_grad(Tensor dy, const Tensor& y) {
  return unary_grad(std::move(dy), y, UnaryOp::relu);
}
inline Tensor add(const Tensor& a, const Tensor& b) {
  return binary(a, b, BinaryOp::add);
}
inline Tensor sub(const Tensor& a, const Tensor& b) {
  return binary(a, b, BinaryOp::sub);
}
inline Tensor mul(const Tensor& a, const Tensor& b) {
  return binary(a, b, BinaryOp::mul);
}

// layout
Tensor permute(const Tensor& x, const std::vector<int>& axes);
Tensor slice(const Tensor& x, int64_t begin, int64_t end);  // columns of [R,C]
Tensor concat(const std::vector<Tensor>& parts);            // columns of [R,C_i]
Tensor concat_rows(const std::vector<Tensor>& parts);       // [R_i,C] -> [sum of R_i,C]
inline Tensor nchw_to_nhwc(const Tensor& x) {
  return permute(x, {0, 2, 3, 1});
}
inline Tensor nhwc_to_nchw(const Tensor& x) {
  return permute(x, {0, 3, 1, 2});
}

// reductions
Tensor sum(const Tensor& x, float factor = 1.f);  // [1]
Tensor sum_of_squares(const Tensor& x);           // [1]
Tensor sum_axis0(const Tensor& x);                // [R,C] -> [C]
// dz and dbias; any rank, dy [...,C]. skip or y may be undefined. dz is written over dy or skip
// where nobody else holds it (move them in).
struct BiasReluGrad {
  Tensor dz, dbias;
};
BiasReluGrad bias_relu_grad(Tensor dy, Tensor skip, const Tensor& y);
Tensor sum_axis1(const Tensor& x);  // [R,C] -> [R]
// Of every row, at any rank. Causal: x [...,T,K], K >= T, and row t of each matrix sees only its
// columns 0..t+K-T, so that with K = T it sees itself and what is before it; the others are 0.
Tensor softmax(const Tensor& x, bool causal = false);
// dx is written over dy where nobody else holds it (move dy in).
Tensor softmax_grad(Tensor dy, const Tensor& y);
// x less the logarithm of the sum of exp(x) of its row; from differences to the largest of the row,
// so that nothing overflows.
Tensor log_softmax(const Tensor& x);
// -log_softmax(x)[r,label[r]] of every row r, and the gradient.   x [R,K], label i32 [R] -> [R]
Tensor cross_entropy(const Tensor& x, const Tensor& label);
Tensor cross_entropy_grad(const Tensor& dloss, const Tensor& x, const Tensor& label);
Tensor argmax(const Tensor& x);                // [R,K] -> i32 [R]
Tensor mse(const Tensor& a, const Tensor& b);  // [1]
Tensor mse_grad(const Tensor& dy, const Tensor& a, const Tensor& b);

// group normalisation; x [N,H,W,C], weight and bias [C], statistics [2,N,G], sums [2,N,C]
struct GroupNorm {
  Tensor y, statistics;
};
GroupNorm group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                     float eps);
Tensor group_norm_sums(const Tensor& dy, const Tensor& x, const Tensor& statistics);
// dx is written over dy where nobody else holds it (move dy in).
Tensor group_norm_grad(Tensor dy, const Tensor& x, const Tensor& weight, const Tensor& statistics,
                       const Tensor& sums);

// Matrix products and convolution. The products of matrices a [...,M,L] and b [...,L,N] with equal
// leading axes, both f32 or both bf16, as is the result; a bias [N] (f32) goes with rank 2.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false,
              const Tensor& bias = {});
Tensor conv2d(const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
              const Conv2dParams& params);
Tensor conv2d_grad_input(const Tensor& dy, const Tensor& weight, Shape input,
                         const Conv2dParams& params);
Tensor conv2d_grad_weight(const Tensor& x, const Tensor& dy, Shape weight,
                          const Conv2dParams& params);
// x [N,H,W,I], weight [I,kh,kw,O] -> [N,(H-1)s-2p+kh,(W-1)s-2p+kw,O]
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
                        const Conv2dParams& params);

// Rows. On the CPU an index that does not exist is an error. On a GPU nobody waits to see the
// values: nothing is read or written outside, what such an index picks is NaN (which FiniteGuard
// finds), and segment_sum, bincount and write_row leave it out.
Tensor gather_rows(const Tensor& x, const Tensor& index);
Tensor pick(const Tensor& x, const Tensor& index);     // x [R,K], index i32 [R] -> [R]
Tensor one_hot(const Tensor& index, int64_t classes);  // i32 [R] -> [R,K]
// Batch number batch[0] (0 if undefined) of `count` images, in the given order.
Tensor gather_images(const Tensor& images, const Tensor& order, const Tensor& batch,
                     int64_t batch_size, int64_t count, float scale, float shift);
// Mirrors and shifts each image of that batch as its row of `moves`, i32 [M,3], says.
Tensor move_images(const Tensor& x, const Tensor& moves, const Tensor& batch, int64_t batch_size);
Tensor segment_sum(const Tensor& x, const Tensor& index, int64_t segments);
Tensor bincount(const Tensor& index, int64_t segments);

// optimiser
void adam(Tensor& m, Tensor& v, const std::vector<ParameterPart>& parts, const Tensor& step,
          const Tensor& counts, const Tensor& guard, const AdamParams& params);
void sgd(Tensor& velocity, const std::vector<ParameterPart>& parts, const Tensor& step,
         const Tensor& guard, const SgdParams& params);
void gather_gradients(Tensor& flat, const std::vector<ParameterPart>& parts);
void clip(Tensor& x, const Tensor& norm, float max_norm);

}  // namespace versor::ops
