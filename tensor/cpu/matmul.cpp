// Matrix product on the CPU: the reference, and the choice between it and oneDNN.
#include "tensor/cpu/matmul.h"

#include "tensor/cpu/backend.h"
#include "tensor/cpu/gemm.h"
#include "tensor/environment.h"

namespace versor {

namespace cpu {

bool use_onednn() {
#ifdef VERSOR_ONEDNN
  static const bool on = environment_switch("VERSOR_ONEDNN", true);
  return on;
#else
  return false;
#endif
}

Isa library_isa() {
#ifdef VERSOR_ONEDNN
  static const Isa isa = use_onednn() ? onednn::isa() : Isa::none;
  return isa;
#else
  return Isa::none;
#endif
}

void matmul_bf16(Tensor& y, const Tensor& a, const Tensor& b) {
#ifdef VERSOR_ONEDNN
  if (has_bf16_products()) return onednn::matmul(y, a, b, false, true, {});
#endif
  fail("matmul", "this build or processor has no products of bf16 (", y.shape(), " from ",
       a.shape(), " and ", b.shape(), ")");
}

void reference::matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a,
                       bool transpose_b, const Tensor& bias) {
  // Matrix number i of a batch.
  const auto view = [](const Tensor& t, bool transpose, int64_t i) {
    const float* matrix = t.data<float>() + i * t.dim(-2) * t.dim(-1);
    return transpose ? MatrixView{matrix, 1, t.dim(-1)} : MatrixView{matrix, t.dim(-1), 1};
  };
  const int64_t M = y.dim(-2), N = y.dim(-1), count = y.shape().rank() == 2 ? 1 : y.dim(0);
  for (int64_t i = 0; i < count; ++i)
    gemm(M, N, a.dim(transpose_a ? -2 : -1), view(a, transpose_a, i), view(b, transpose_b, i),
         y.data<float>() + i * M * N, false);
  apply_epilogue(y, y, {bias, false});
}

}  // namespace cpu

void CpuBackend::matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a,
                        bool transpose_b, const Tensor& bias) {
  if (y.dtype() == DType::bf16 && !cpu::has_bf16_products()) {
    Tensor wide_y(y.shape()), wide_a(a.shape()), wide_b(b.shape());
    cast(wide_a, a);
    cast(wide_b, b);
    matmul(wide_y, wide_a, wide_b, transpose_a, transpose_b, bias);
    return cast(y, wide_y);
  }
#ifdef VERSOR_ONEDNN
  if (cpu::use_onednn()) return cpu::onednn::matmul(y, a, b, transpose_a, transpose_b, bias);
#endif
  cpu::reference::matmul(y, a, b, transpose_a, transpose_b, bias);
}

}  // namespace versor
