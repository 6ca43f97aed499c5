// The CPU as a device. One file per family: elementwise, layout, reduce, rows, matmul, conv.
// Matrix products and convolutions come from oneDNN (onednn_*.cpp) or, without it, from the plain
// reference beside them, most convolutions from winograd.h; the rest are OpenMP loops over fixed
// blocks (parallel.h).
#pragma once

#include "tensor/backend.h"

namespace versor {

namespace cpu {
// Whether a guard (find_nonfinite in tensor/backend.h) has found something; undefined: no guard.
inline bool is_frozen(const Tensor& guard) {
  return guard.defined() && guard.data<int32_t>()[1] != kNothingFound;
}
}  // namespace cpu

class CpuBackend final : public Backend {
 public:
  CpuBackend();

  DeviceInfo info() override;
  void configure(const BackendOptions&) override {}  // always strict and deterministic
  MemoryPool& pool() override { return pool_; }
  void copy_from_host(void* target, const void* source, size_t bytes) override;
  void copy_to_host(void* target, const void* source, size_t bytes) override;
  void synchronize() override {}
  std::unique_ptr<CapturedWork> capture(const std::function<void()>&) override {
    fail("capture", "the CPU cannot capture work");
  }

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

 private:
  MemoryPool pool_;
};

}  // namespace versor
