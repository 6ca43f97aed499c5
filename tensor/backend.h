// THE device boundary: what a device must be able to do for any network. Its own manual.
//
// Rules for all primitives:
//  - Tensors are contiguous, row-major, on this device, and checked already: the front end (ops.h)
//    has compared shapes and types and allocated the outputs. A backend never checks user input.
//  - Outputs (the first arguments) are overwritten, never accumulated into; accumulation happens in
//    one place, the autograd engine. Element-wise outputs may be one of their inputs (in place).
//  - Results are the same in every run and for every number of threads: sums run over fixed
//    blocks and in f64, blocks are combined in index order. (Convolution and matmul come from a
//    library and keep this promise as far as the library does; see cpu/README.md.)
//  - Values are f32 unless a comment says otherwise.
//  - For a gradient the comment says: let f = <dy, y>, the sum of products; then dx = df/dx.
//
// Letters: N images, H,W height and width, C channels, O and I output and input channels, kh,kw
// kernel size, s stride, p padding, R rows, K number of segments or codes, D columns of a row.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "tensor/elementwise.h"
#include "tensor/optimizer.h"
#include "tensor/pool.h"
#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace versor {

struct Conv2dParams {
  int64_t stride = 1;
  int64_t padding = 0;
  // H' of a convolution over H; and, for a transposed one, the smallest H that gives this H'.
  int64_t out_size(int64_t in, int64_t kernel) const {
    return (in + 2 * padding - kernel) / stride + 1;
  }
  int64_t transposed_size(int64_t in, int64_t kernel) const {
    return (in - 1) * stride - 2 * padding + kernel;
  }
};

// What a device is, for messages and for choosing a precision.
struct DeviceInfo {
  std::string name;          // "NVIDIA H100 (compute capability 9.0)"
  bool fast_bf16 = false;    // bf16 products are faster than f32 ones here
  bool has_tf32 = false;     // f32 products can be rounded to TF32's 10 bits of mantissa
  bool can_capture = false;  // has capture()
};

// How a device may compute.
struct BackendOptions {
  bool tf32 = false;          // f32 products in TF32, where the device has it
  bool deterministic = true;  // only algorithms that give equal bits in every run
  bool branches = false;      // a captured step has branches, if the device can
  // f32 convolutions as sums of three TF32 products, where the device has TF32: errors of f32 by
  // tensor cores (cuda/split.h). Off until a card has measured it. tf32 takes precedence.
  bool split_f32 = false;
};

// Work that was captured once and is replayed on the same addresses (a CUDA graph).
class CapturedWork {
 public:
  virtual ~CapturedWork() = default;
  virtual void replay() = 0;  // does not wait for the device
};

// The value of a guard that has seen only finite tensors: (tag, step) = (kNothingFound,
// kNothingFound).
constexpr int32_t kNothingFound = 0x7fffffff;

// One parameter in an optimiser's step. Flat buffers [P] hold the state of all its parameters.
struct ParameterPart {
  Tensor value, grad;  // equal shapes
  int64_t offset = 0;  // of its first element in a flat buffer
  int32_t index = 0;   // its place among the optimiser's parameters
};

// What follows a convolution in the same pass: y = relu?(y + bias + residual). Bias and residual
// may be undefined; only conv2d takes a residual.
struct Epilogue {
  Tensor bias;  // [O] or undefined
  bool relu = false;
  Tensor residual = {};  // of y's shape and type, or undefined
};

class Backend {
 public:
  virtual ~Backend() = default;

  // --- device -----------------------------------------------------------------------------------
  virtual DeviceInfo info() = 0;
  // From now on. The default is the strictest.
  virtual void configure(const BackendOptions& options) = 0;
  virtual MemoryPool& pool() = 0;
  virtual void copy_from_host(void* target, const void* source, size_t bytes) = 0;
  virtual void copy_to_host(void* target, const void* source, size_t bytes) = 0;
  virtual void synchronize() = 0;  // returns when all work so far is done
  // Captures the primitives that `work` calls, without running them. The result replays them on the
  // same addresses any number of times. Requires can_capture; use it through replay.h.
  virtual std::unique_ptr<CapturedWork> capture(const std::function<void()>& work) = 0;
  // Branches, see branch.h, which calls these: what is called between fork() and leave_branch() may
  // run beside what is called between leave_branch() and join(). At most one is open.
  virtual bool has_branches() { return false; }
  virtual void fork() {}
  virtual void leave_branch() {}
  virtual void join() {}
  // Names the work that follows in a profiler's time line, until end_range().
  virtual void begin_range(const char*) {}
  virtual void end_range() {}

  // --- filling and converting -----------------------------------------------------------------
  // y[i] = value.   Any element type.
  virtual void fill(Tensor& y, float value) = 0;
  // y[i] = x[i].   Equal shapes and types, any type.
  virtual void copy(Tensor& y, const Tensor& x) = 0;
  // y[i] = x[i] * scale + shift, in f32, then rounded to y's type.   Types f32, bf16, i32, u8.
  virtual void affine(Tensor& y, const Tensor& x, float scale, float shift) = 0;
  // y[i] = x[i], rounded to y's type.
  void cast(Tensor& y, const Tensor& x) { affine(y, x, 1.f, 0.f); }
  // y[i] = low + (high - low) * rng.uniform(i).
  virtual void uniform(Tensor& y, Rng rng, float low, float high) = 0;
  // y[i] = rng.normal(i), equal on all devices up to the rounding of log and cos.
  virtual void normal(Tensor& y, Rng rng) = 0;
  // counters[i] += 1 for each i in `which`.   counters i32;  no i twice.
  virtual void increment(Tensor& counters, std::span<const int32_t> which) = 0;
  // total[i] += counts[i].   i32, equal shapes.
  virtual void add_counts(Tensor& total, const Tensor& counts) = 0;
  // table[row[0], j] = values[j][0].   table [T,C],  row i32 [1] in 0..T-1,  values f32 or i32 [1].
  virtual void write_row(Tensor& table, const Tensor& row, std::span<const Tensor> values) = 0;
  // If any element of tensors[j] is NaN or infinite: guard = min(guard, (step[0], first_tag + j)),
  // compared as pairs. So the guard keeps the first such step and, within it, the lowest tag.
  // guard i32 [2] = (tag, step) at an address that is a multiple of 8, see kNothingFound;  tensors
  // f32 or bf16;  step i32 [1].
  virtual void find_nonfinite(Tensor& guard, std::span<const Tensor> tensors, int first_tag,
                              const Tensor& step) = 0;

  // --- element-wise (f32, or bf16 with the arithmetic in f32 and one rounding at the end) ------
  // y[i] = op(x[i]).   The formulas are in elementwise.h.   y, x equal types, f32 or bf16.
  virtual void unary(Tensor& y, const Tensor& x, UnaryOp op) = 0;
  // dx[i] = dy[i] * op'(x[i]), from `saved`, the op's input or output (saved_by(op)).
  // dx, dy, saved equal types, f32 or bf16.
  virtual void unary_grad(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op) = 0;
  // y[i] = op(a[i], b[i]).   y, a, b equal types, f32 or bf16.
  virtual void binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) = 0;
  // y[r,c] = op(x[r,c], v[c]).   y, x [R,C],  v [C].
  virtual void binary_rows(Tensor& y, const Tensor& x, const Tensor& v, BinaryOp op) = 0;
  // y[r,c] = s[r] * x[r,c].   y, x [R,C],  s [R].
  virtual void scale_rows(Tensor& y, const Tensor& x, const Tensor& s) = 0;
  // y[i] = x[i] / (1 - p), or 0 with probability p (p < 1): where uniform_by_four(i) of stream
  // rng.split(draw[0]) is below p.   y, x equal types, f32 or bf16;  draw i32 [1].
  virtual void dropout(Tensor& y, const Tensor& x, const Tensor& draw, Rng rng, float p) = 0;
  // y[i] = s[0] * factor.   s [1] stays on the device.
  virtual void broadcast(Tensor& y, const Tensor& s, float factor) = 0;

  // --- layout -----------------------------------------------------------------------------------
  // y[i_axes] = x[i]: axis a of y is axis axes[a] of x.   Rank 1 to 4.
  virtual void permute(Tensor& y, const Tensor& x, std::span<const int> axes) = 0;
  // y[r,c] = x[r, begin + c].   y [R,C'],  x [R,C],  of any type.
  virtual void slice(Tensor& y, const Tensor& x, int64_t begin) = 0;
  // y[r,:] = parts[0][r,:], parts[1][r,:], ...   y [R, sum of C_i],  parts[i] [R,C_i],  of any
  // type.
  virtual void concat(Tensor& y, std::span<const Tensor> parts) = 0;

  // --- reductions (accumulated in f64) ----------------------------------------------------------
  // y[0] = factor * sum over i of x[i].   y [1].
  virtual void sum(Tensor& y, const Tensor& x, float factor) = 0;
  // y[0] = sum over i of x[i]^2.   y [1].
  virtual void sum_of_squares(Tensor& y, const Tensor& x) = 0;
  // y[c] = sum over r of x[r,c].   y [C] f32,  x [R,C] f32 or bf16.
  virtual void sum_axis0(Tensor& y, const Tensor& x) = 0;
  // Backward through bias and ReLU in one pass: dz[r,c] = dy[r,c] + skip[r,c] where y[r,c] > 0,
  // else 0;  dbias[c] = sum over r of dz[r,c].   With y = relu(x + bias) and f = <dy + skip, y>
  // these are df/dx and df/dbias.   At least one of skip and y is defined; without skip dz is that
  // of dy alone, without y all of it passes.   dz, dy, skip, y [R,C] f32 or bf16, dz may be dy or
  // skip; dbias [C] f32, the sum of dz as rounded.
  virtual void bias_relu_grad(Tensor& dz, Tensor& dbias, const Tensor& dy, const Tensor& skip,
                              const Tensor& y) = 0;
  // y[r] = sum over c of x[r,c].   y [R],  x [R,C].
  virtual void sum_axis1(Tensor& y, const Tensor& x) = 0;
  // y[r,k] = exp(x[r,k] - m) / sum over j of exp(x[r,j] - m), m the largest of row r. -inf gives 0;
  // a row with a NaN or +inf, or of -inf alone, is NaN.   y, x [R,K];  y may be x.
  // With causal > 0 the rows are those of matrices [causal,K], K >= causal, and row t of each sees
  // only its columns 0..t+K-causal; y is 0 in the others, whatever is in x.
  virtual void softmax(Tensor& y, const Tensor& x, int64_t causal) = 0;
  // dx[r,k] = y[r,k] (dy[r,k] - sum over j of dy[r,j] y[r,j]).   With y = softmax(x) and
  // f = <dy, y> this is df/dx.   dx, dy, y [R,K];  dx may be dy.
  virtual void softmax_grad(Tensor& dx, const Tensor& dy, const Tensor& y) = 0;
  // loss[r] = log(sum over k of exp(x[r,k])) - x[r,label[r]], from differences to the largest of
  // the row, so that nothing overflows.   loss [R],  x [R,K],  label i32 [R] in 0..K-1, see "rows".
  virtual void cross_entropy(Tensor& loss, const Tensor& x, const Tensor& label) = 0;
  // dx[r,k] = dloss[r] (softmax(x)[r,k] - [k = label[r]]).   With f = <dloss, loss> this is df/dx.
  virtual void cross_entropy_grad(Tensor& dx, const Tensor& dloss, const Tensor& x,
                                  const Tensor& label) = 0;
  // index[r] = the k of the largest x[r,k], the lowest of equals. A NaN is less than all numbers,
  // so that a row of NaN alone gives 0.   index i32 [R],  x [R,K], K >= 1.
  virtual void argmax(Tensor& index, const Tensor& x) = 0;
  // y[0] = mean over i of (a[i] - b[i])^2.   y [1].
  virtual void mse(Tensor& y, const Tensor& a, const Tensor& b) = 0;
  // da[i] = dy[0] * 2/n * (a[i] - b[i]).   With f = dy * mse(a, b) this is df/da;  db = -da.
  virtual void mse_grad(Tensor& da, const Tensor& dy, const Tensor& a, const Tensor& b) = 0;

  // --- group normalisation, NHWC (Wu and He 2018); sums and statistics in f64 -------------------
  // y[n,h,w,c] = x^[n,h,w,c] * weight[c] + bias[c] with x^ = (x - mean) * scale: mean[n,g] over the
  // positions and channels of group g = c / (C/G), scale[n,g] = 1 / sqrt(variance[n,g] + eps), with
  // the variance the mean of (x - mean)^2. Leaves mean and scale in statistics[0] and [1].
  // y, x [N,H,W,C] f32 or bf16;  statistics [2,N,G];  weight, bias [C].
  virtual void group_norm(Tensor& y, Tensor& statistics, const Tensor& x, const Tensor& weight,
                          const Tensor& bias, float eps) = 0;
  // sums[0,n,c] = sum over h,w of dy[n,h,w,c];  sums[1,n,c] = sum over h,w of dy[n,h,w,c] *
  // x^[n,h,w,c].   With f = <dy, y>, df/dbias is the sum of sums[0] over n and df/dweight that of
  // sums[1].   sums [2,N,C];  dy, x, statistics as above.
  virtual void group_norm_sums(Tensor& sums, const Tensor& dy, const Tensor& x,
                               const Tensor& statistics) = 0;
  // dx[n,h,w,c] = scale (weight[c] dy[n,h,w,c] - (A + x^[n,h,w,c] B) / (H W C/G)), with A and B the
  // sums over the channels of the group of weight[c] times sums[0,n,c] and sums[1,n,c];  with
  // f = <dy, y> this is df/dx.   dx may be dy.
  virtual void group_norm_grad(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& weight,
                               const Tensor& statistics, const Tensor& sums) = 0;

  // --- matrix products --------------------------------------------------------------------------
  // y = op(a) op(b) (+ bias on every row), op = transpose if asked.   y [M,N],  op(a) [M,L],
  // op(b) [L,N],  bias f32 [N] or undefined.   Or, without a bias, as many products as there are
  // matrices:  y [B,M,N],  op(a) [B,M,L],  op(b) [B,L,N].   y, a, b all f32, or all bf16 with sums
  // in f32.
  virtual void matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a,
                      bool transpose_b, const Tensor& bias) = 0;

  // --- convolution, NHWC with weights [O,kh,kw,I] -----------------------------------------------
  // Images and weights are all f32 or all bf16; with bf16 the sums are still f32 and rounded once.
  // A bias and the gradient of the weights are f32 in both.
  //
  // y[n,h,w,o] = epilogue( sum over i,j,c of x[n, h*s+i-p, w*s+j-p, c] * weight[o,i,j,c] ), where
  // x outside its bounds is 0.   y [N,H',W',O],  x [N,H,W,I],  weight [O,kh,kw,I].
  virtual void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
                      const Conv2dParams& params) = 0;
  // dx[n,h*s+i-p,w*s+j-p,c] = epilogue( sum over i,j,o of dy[n,h,w,o] * weight[o,i,j,c] ); without
  // epilogue and with f = <dy, conv2d(x, weight)> this is df/dx. With it (bias [I]) this is the
  // forward pass of a transposed convolution.   dx [N,H,W,I],  dy [N,H',W',O].
  virtual void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                                 const Epilogue& epilogue, const Conv2dParams& params) = 0;
  // dweight[o,i,j,c] = sum over n,h,w of dy[n,h,w,o] * x[n, h*s+i-p, w*s+j-p, c];  with
  // f = <dy, conv2d(x, weight)> this is df/dweight.   dweight f32 [O,kh,kw,I],  x [N,H,W,I].
  virtual void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                                  const Conv2dParams& params) = 0;

  // --- rows -------------------------------------------------------------------------------------
  // On the CPU the front end has checked all indices. A device on which that would mean to wait
  // must not read or write outside for an index that does not exist: what it would pick is NaN, and
  // it counts and adds nothing.
  //
  // y[r,:] = x[index[r],:].   y [R,D],  x [K,D],  index i32 [R] in 0..K-1.
  virtual void gather_rows(Tensor& y, const Tensor& x, const Tensor& index) = 0;
  // y[r] = x[r,index[r]].   y [R],  x [R,K],  index i32 [R] in 0..K-1.
  virtual void pick(Tensor& y, const Tensor& x, const Tensor& index) = 0;
  // y[r,k] = 1 where k = index[r], else 0; a whole row of NaN for an index that does not exist.
  // y [R,K],  index i32 [R].
  virtual void one_hot(Tensor& y, const Tensor& index) = 0;
  // y[n,h,w,c] = images[order[b*batch_size + n],h,w,c] * scale + shift with b = batch[0], read on
  // the device.   y [N,H,W,C],  images u8 [M,H,W,C],  order i32 [M'],  batch i32 [1], or
  // undefined for 0.
  virtual void gather_images(Tensor& y, const Tensor& images, const Tensor& order,
                             const Tensor& batch, int64_t batch_size, float scale, float shift) = 0;
  // Mirrors and shifts images: y[n,h,w,c] = x[n, border(h - down), border(w' - right), c] with
  // w' = mirrored ? W-1-w : w and (mirrored, down, right) = moves[b*batch_size + n,:], b as above.
  // border reflects what lies outside: -1 to 1, H to H-2.   y, x [N,H,W,C],  moves i32 [M',3],
  // |down| < H, |right| < W.
  virtual void move_images(Tensor& y, const Tensor& x, const Tensor& moves, const Tensor& batch,
                           int64_t batch_size) = 0;
  // y[k,:] = sum over r with index[r] = k of x[r,:].   y [K,D],  x [R,D].   f64 inside.
  virtual void segment_sum(Tensor& y, const Tensor& x, const Tensor& index) = 0;
  // counts[k] = how many r have index[r] = k.   counts i32 [K].
  virtual void bincount(Tensor& counts, const Tensor& index) = 0;

  // --- optimiser --------------------------------------------------------------------------------
  // Each updates all parameters at once, in place: parts[j].value is updated from parts[j].grad,
  // and the state of its element i is at parts[j].offset + i of the flat buffers. Elements of the
  // buffers outside all parts stay unchanged; once the guard has found something, everything does.
  // Flat buffers f32 [P];  step i32 [1], the optimiser's steps from 1 on;  guard i32 [2] or
  // undefined.
  //
  // Adam (Kingma and Ba 2015, algorithm 1) with t = counts[parts[j].index], see adam_update in
  // optimizer.h.   counts i32 [N].
  virtual void adam(Tensor& m, Tensor& v, std::span<const ParameterPart> parts, const Tensor& step,
                    const Tensor& counts, const Tensor& guard, const AdamParams& params) = 0;
  // SGD, see sgd_update in optimizer.h. Without momentum the velocity may be undefined.
  virtual void sgd(Tensor& velocity, std::span<const ParameterPart> parts, const Tensor& step,
                   const Tensor& guard, const SgdParams& params) = 0;
  // flat[parts[j].offset + i] = parts[j].grad[i]; the rest of flat is unchanged.   flat f32 [P].
  virtual void gather_gradients(Tensor& flat, std::span<const ParameterPart> parts) = 0;
  // x[i] *= clip_factor(norm[0], max_norm), see optimizer.h.   norm [1].
  virtual void clip(Tensor& x, const Tensor& norm, float max_norm) = 0;
};

// The backend of a device, made on first use. Throws Error if this build or machine has none.
Backend& backend_for(Device device);

}  // namespace versor
