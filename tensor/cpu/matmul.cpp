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
  const auto view = [](const Tensor& t, bool transpose) {
    return transpose ? MatrixView{t.data<float>(), 1, t.dim(1)}
                     : MatrixView{t.data<float>(), t.dim(1), 1};
  };
  gemm(y.dim(0), y.dim(1), a.dim(transpose_a ? 0 : 1), view(a, transpose_a), view(b, transpose_b),
       y.data<float>(), false);
  apply_epilogue(y, y, {bias, false});
}

}  // namespace cpu

void CpuBackend::matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a,
                        bool transpose_b, const Tensor& bias) {
#ifdef VERSOR_ONEDNN
  if (cpu::use_onednn()) return cpu::onednn::matmul(y, a, b, transpose_a, transpose_b, bias);
#endif
  cpu::reference::matmul(y, a, b, transpose_a, transpose_b, bias);
}

}  // namespace versor
