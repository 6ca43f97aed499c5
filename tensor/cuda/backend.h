// A CUDA GPU as a device. One file per family, as in tensor/cpu: elementwise.cu, layout.cu,
// reduce.cu and rows.cu hold our own kernels; matmul.cpp is cuBLAS, conv.cpp cuDNN. context.h owns
// the stream and the handles. All work is enqueued on one stream (a captured step with branches has
// two); only copies to and from the host and synchronize() wait for it.
//
// No CUDA header is needed to include this file.
#pragma once

#include <memory>

#include "tensor/backend.h"

struct CUstream_st;

namespace versor {

namespace cuda {
class Context;
using Stream = CUstream_st*;  // cudaStream_t
}  // namespace cuda

class CudaBackend final : public Backend {
 public:
  // Throws Error if there is no such GPU.
  explicit CudaBackend(int index);
  ~CudaBackend() override;

  cuda::Context& context() { return *context_; }
  // For what is called now. Also makes this GPU the thread's current one, as work on its stream
  // requires.
  cuda::Stream stream() const;
  int multiprocessors() const { return multiprocessors_; }
  bool uses_tf32() const;   // whether f32 products are rounded to TF32 now
  bool splits_f32() const;  // whether f32 convolutions are three of TF32 (split.h)

  DeviceInfo info() override;
  void configure(const BackendOptions& options) override;
  MemoryPool& pool() override;
  void copy_from_host(void* target, const void* source, size_t bytes) override;
  void copy_to_host(void* target, const void* source, size_t bytes) override;
  void synchronize() override;
  std::unique_ptr<CapturedWork> capture(const std::function<void()>& work) override;
  bool has_branches() override;
  void fork() override;
  void leave_branch() override;
  void join() override;
  void begin_range(const char* name) override;
  void end_range() override;

  void fill(Tensor& y, float value) override;
  void copy(Tensor& y, const Tensor& x) override;
  void affine(Tensor& y, const Tensor& x, float scale, float shift) override;
  void uniform(Tensor& y, Rng rng, float low, float high) override;
  void normal(Tensor& y, Rng rng) override;
  void increment(Tensor& counters, std::span<const int32_t> which) override;
  void add_counts(Tensor& total, const Tensor& counts) override;
  void write_row(Tensor& table, const Tensor& row, std::span<const Tensor> values) override;
  void find_nonfinite(Tensor& guard, std::span<const Tensor> tensors, int first_tag,
                      const Tensor& step) override;

  void unary(Tensor& y, const Tensor& x, UnaryOp op) override;
  void unary_grad(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op) override;
  void binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) override;
  void binary_rows(Tensor& y, const Tensor& x, const Tensor& v, BinaryOp op) override;
  void scale_rows(Tensor& y, const Tensor& x, const Tensor& s) override;
  void dropout(Tensor& y, const Tensor& x, const Tensor& draw, Rng rng, float p) override;
  void broadcast(Tensor& y, const Tensor& s, float factor) override;

  void permute(Tensor& y, const Tensor& x, std::span<const int> axes) override;
  void slice(Tensor& y, const Tensor& x, int64_t begin) override;
  void concat(Tensor& y, std::span<const Tensor> parts) override;

  void sum(Tensor& y, const Tensor& x, float factor) override;
  void sum_of_squares(Tensor& y, const Tensor& x) override;
  void sum_axis0(Tensor& y, const Tensor& x) override;
  void bias_relu_grad(Tensor& dz, Tensor& dbias, const Tensor& dy, const Tensor& skip,
                      const Tensor& y) override;
  void sum_axis1(Tensor& y, const Tensor& x) override;
  void softmax(Tensor& y, const Tensor& x, int64_t causal) override;
  void softmax_grad(Tensor& dx, const Tensor& dy, const Tensor& y) override;
  void cross_entropy(Tensor& loss, const Tensor& x, const Tensor& label) override;
  void cross_entropy_grad(Tensor& dx, const Tensor& dloss, const Tensor& x,
                          const Tensor& label) override;
  void argmax(Tensor& index, const Tensor& x) override;
  void mse(Tensor& y, const Tensor& a, const Tensor& b) override;
  void mse_grad(Tensor& da, const Tensor& dy, const Tensor& a, const Tensor& b) override;

  void group_norm(Tensor& y, Tensor& statistics, const Tensor& x, const Tensor& weight,
                  const Tensor& bias, float eps) override;
  void group_norm_sums(Tensor& sums, const Tensor& dy, const Tensor& x,
                       const Tensor& statistics) override;
  void group_norm_grad(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& weight,
                       const Tensor& statistics, const Tensor& sums) override;

  void matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
              const Tensor& bias) override;
  void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
              const Conv2dParams& params) override;
  void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                         const Epilogue& epilogue, const Conv2dParams& params) override;
  void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                          const Conv2dParams& params) override;

  void gather_rows(Tensor& y, const Tensor& x, const Tensor& index) override;
  void pick(Tensor& y, const Tensor& x, const Tensor& index) override;
  void one_hot(Tensor& y, const Tensor& index) override;
  void gather_images(Tensor& y, const Tensor& images, const Tensor& order, const Tensor& batch,
                     int64_t batch_size, float scale, float shift) override;
  void move_images(Tensor& y, const Tensor& x, const Tensor& moves, const Tensor& batch,
                   int64_t batch_size) override;
  void segment_sum(Tensor& y, const Tensor& x, const Tensor& index) override;
  void bincount(Tensor& counts, const Tensor& index) override;

  void adam(Tensor& m, Tensor& v, std::span<const ParameterPart> parts, const Tensor& step,
            const Tensor& counts, const Tensor& guard, const AdamParams& params) override;
  void sgd(Tensor& velocity, std::span<const ParameterPart> parts, const Tensor& step,
           const Tensor& guard, const SgdParams& params) override;
  void gather_gradients(Tensor& flat, std::span<const ParameterPart> parts) override;
  void clip(Tensor& x, const Tensor& norm, float max_norm) override;

  // y = relu?(y + bias) in place: the epilogue of a convolution that the library could not fuse.
  // y f32 or bf16 [...,C],  bias f32 [C] or undefined.   (elementwise.cu)
  void apply_epilogue(Tensor& y, const Epilogue& epilogue);

 private:
  std::unique_ptr<cuda::Context> context_;
  int multiprocessors_ = 1;
};

// The backend of one GPU. Throws Error if this build or this machine has none.
Backend& cuda_backend(int index);

}  // namespace versor
