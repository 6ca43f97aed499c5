// The differentiable functions. The .cpp file named above each group has forward and backward side
// by side, with y = ... and dx = ... above them; shapes as in backend.h. All throw Error where the
// primitives do.
#pragma once

#include <vector>

#include "autograd/variable.h"
#include "tensor/backend.h"

namespace versor {

// Activation that is fused into the preceding convolution.
enum class Activation { none, relu };

// elementwise.cpp
Variable relu(const Variable& x);
Variable tanh(const Variable& x);
Variable exp(const Variable& x);
Variable log(const Variable& x);
Variable sqrt(const Variable& x);
Variable square(const Variable& x);
Variable silu(const Variable& x);
Variable sigmoid(const Variable& x);
Variable gelu(const Variable& x);  // by erf, as PyTorch's default, not its approximation by tanh
Variable abs(const Variable& x);
Variable pow(const Variable& x, float power);              // x > 0
Variable clamp(const Variable& x, float low, float high);  // no gradient outside low < x < high
// Of two shapes, by NumPy's rules: axes are aligned from the last, and one of extent 1, or one that
// is lacking, is repeated; its gradient is added up. Repeated tensors are f32.
Variable add(const Variable& a, const Variable& b);
Variable sub(const Variable& a, const Variable& b);
Variable mul(const Variable& a, const Variable& b);
Variable div(const Variable& a, const Variable& b);
Variable maximum(const Variable& a, const Variable& b);  // of equals, b gets the gradient
Variable minimum(const Variable& a, const Variable& b);
Variable add_relu(const Variable& a, const Variable& b);  // max(a + b, 0), one pass
Variable scale(const Variable& x, float factor);
// Each element 0 with probability p, else x / (1 - p). draw i32 [1]: the number of the draw, on the
// device, as ops::dropout.
Variable dropout(const Variable& x, const Tensor& draw, Rng rng, float p);
Variable add_scalar(const Variable& x, float c);
Variable cast(const Variable& x, DType dtype);                 // f32 to bf16 and back
Variable add_bias(const Variable& x, const Variable& bias);    // x [...,C], bias [C]
Variable scale_rows(const Variable& x, const Variable& s);     // x [R,C], s [R]
Variable scale_columns(const Variable& x, const Variable& v);  // x [...,C], v [C]

inline Variable operator+(const Variable& a, const Variable& b) {
  return add(a, b);
}
inline Variable operator-(const Variable& a, const Variable& b) {
  return sub(a, b);
}
inline Variable operator*(const Variable& a, const Variable& b) {
  return mul(a, b);
}
inline Variable operator/(const Variable& a, const Variable& b) {
  return div(a, b);
}
inline Variable operator*(float factor, const Variable& x) {
  return scale(x, factor);
}

// broadcast.cpp
Variable expand(const Variable& x, Shape shape);  // x repeated to a shape, by NumPy's rules
// Over the given axes (negative ones count from the end), which disappear or, with `keep`, stay
// with extent 1.
Variable sum(const Variable& x, const std::vector<int>& axes, bool keep = false);
Variable mean(const Variable& x, const std::vector<int>& axes, bool keep = false);

// conv.cpp
// x [N,H,W,I], weight [O,kh,kw,I], bias [O] or undefined, residual, added before the activation,
// [N,H',W',O] or undefined -> [N,H',W',O]
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const Conv2dParams& params, Activation activation = Activation::none,
                const Variable& residual = {});
// x [N,H,W,I], weight [I,kh,kw,O], bias [O] or undefined -> [N,(H-1)s-2p+kh,(W-1)s-2p+kw,O]
Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const Conv2dParams& params, Activation activation = Activation::none);

// matmul.cpp
Variable matmul(const Variable& a, const Variable& b);  // [...,M,L] [...,L,N] -> [...,M,N]
// y = x weight^T + bias.   x [R,I], weight [O,I], bias [O] or undefined -> [R,O]
Variable linear(const Variable& x, const Variable& weight, const Variable& bias);

// attention.cpp: softmax(q k^T / sqrt(W/heads)) v of every head, with q, k, v the thirds of the
// last axis, in each of which the heads lie side by side. Causal: a place sees itself and those
// before it.   qkv [N,T,3W] -> [N,T,W]
Variable attention(const Variable& qkv, int64_t heads, bool causal);

// reduce.cpp
Variable sum(const Variable& x);                     // [1]
Variable mean(const Variable& x);                    // [1]
Variable mse(const Variable& a, const Variable& b);  // [1], mean of squared differences
Variable mse(const Variable& a, const Variable& b, const Tensor& value);  // the value is known
Variable sum_axis1(const Variable& x);                                    // [R,C] -> [R]
// y[r,:] = x[r,:] / sqrt(|x[r,:]|^2 + 1e-12).   x [R,C]
// Rows far longer than 1e-6 get length 1. A far shorter row, whose direction is noise, gives y =
// 10^6 x: short, with a gradient that stays finite even at zero. (The square of a row longer than
// 1e19 is beyond f32.)
Variable normalize_rows(const Variable& x);

// softmax.cpp
Variable softmax(const Variable& x);         // of every row, [...,K]
Variable causal_softmax(const Variable& x);  // as ops::softmax, [...,T,K]
Variable log_softmax(const Variable& x);     // of every row [R,K]
// y[r] = x[r,index[r]].   x [R,K], index i32 [R] -> [R]
Variable pick(const Variable& x, const Tensor& index);
// The largest of every row, a NaN being less than all numbers; the first of equals gets the
// gradient.   [R,K] -> [R]
Variable max_axis1(const Variable& x);
// The mean over the rows of -log softmax(x)[r,label[r]].   logits [R,K], labels i32 [R] -> [1]
// A label outside 0..K-1 is an error on the CPU; on a GPU it makes the loss NaN.
Variable cross_entropy(const Variable& logits, const Tensor& labels);
// The part of the rows whose largest logit is the label's, [1]; without a gradient.
Tensor accuracy(const Tensor& logits, const Tensor& labels);

// group_norm.cpp: normalises every group of C/groups channels of every image to mean 0 and variance
// 1, then applies a factor and a bias per channel.   x [N,H,W,C], weight [C], bias [C]
// Leaves mean and 1 / sqrt(variance + eps) of the groups, [2,N,groups], in `statistics`.
Variable group_norm(const Variable& x, const Variable& weight, const Variable& bias, int64_t groups,
                    float eps = 1e-5f, Tensor* statistics = nullptr);
// The same for every row, by all its elements.   x [...,D], weight [D], bias [D]
Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias,
                    float eps = 1e-5f);

// pool.cpp: of squares of kernel x kernel pixels, `stride` apart (0: kernel), with `padding` pixels
// around the image, which are never the largest and count as 0 in a mean, as in PyTorch. Pixels
// that are left over at the right and the bottom are not used.   x [N,H,W,C] -> [N,H',W',C]
struct PoolParams {
  int64_t kernel, stride = 0, padding = 0;
};
Variable max_pool2d(const Variable& x, const PoolParams& params);  // as max_axis1 of every square
Variable avg_pool2d(const Variable& x, const PoolParams& params);
// Every pixel becomes factor x factor of them.   x [N,H,W,C] -> [N,factor H,factor W,C]
Variable upsample_nearest2d(const Variable& x, int64_t factor);

// layout.cpp
Variable reshape(const Variable& x, Shape shape);
Variable rows(const Variable& x);  // [...,D] seen as [R,D]
Variable permute(const Variable& x, const std::vector<int>& axes);
Variable slice(const Variable& x, int64_t begin, int64_t end);  // columns of [R,C]
Variable concat(const std::vector<Variable>& parts);            // columns
// The same along any axis of any shape; a negative one counts from the end.
Variable slice(const Variable& x, int axis, int64_t begin, int64_t end);
Variable concat(const std::vector<Variable>& parts, int axis);
// y[r,:] = x[index[r],:].   x [K,D], index i32 [R] -> [R,D]. An index that does not exist is an
// error on the CPU; on a GPU its row is NaN.
Variable gather_rows(const Variable& x, const Tensor& index);

}  // namespace versor
