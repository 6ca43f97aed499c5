// Matrix product and convolution on the CPU, twice: the plain reference, always there, and oneDNN.
// Equal signatures, so that tests compare the two and the backend picks one. Formulas: backend.h.
#pragma once

#include "tensor/backend.h"

namespace versor::cpu {

// Whether this build has oneDNN and the environment variable VERSOR_ONEDNN is not 0.
bool use_onednn();
// The best instructions that oneDNN uses on this processor, which ONEDNN_MAX_CPU_ISA limits.
// `none`: there is no oneDNN, see above; `other`: AVX2, say, or those of another architecture.
enum class Isa { none, other, avx512, avx512_bf16, amx };
Isa library_isa();
// Whether bf16 products run on instructions made for them; else they are computed in f32, which is
// faster than oneDNN's emulation.
inline bool has_bf16_products() {
  return library_isa() >= Isa::avx512_bf16;
}

// y = a b^T with factors in bf16, summed in f32; only where has_bf16_products().   y f32 [M,N],
// a bf16 [M,L],  b bf16 [N,L].
void matmul_bf16(Tensor& y, const Tensor& a, const Tensor& b);

// y = relu?(x + bias), computed in f32 and rounded to y's type.   y [...,C] f32 or bf16;  x f32 of
// the same shape, may be y.
void apply_epilogue(Tensor& y, const Tensor& x, const Epilogue& epilogue);

namespace reference {
void matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
            const Tensor& bias);
void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
            const Conv2dParams& params);
void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Conv2dParams& params);
void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params);
// The same around another matrix product, columns = rows weight.   columns f32 [P,kh*kw*I],
// rows [P,O],  weight [O,kh*kw*I].
using Product = void (*)(Tensor& columns, const Tensor& rows, const Tensor& weight);
void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Conv2dParams& params, Product product);
}  // namespace reference

#ifdef VERSOR_ONEDNN
namespace onednn {
// All of them also take bf16: factors of matmul, whose y is f32; images and weights of the
// convolutions. isa(): for library_isa().
Isa isa();
void matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
            const Tensor& bias);
void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
            const Conv2dParams& params);
void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Conv2dParams& params);
void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params);
}  // namespace onednn
#endif

}  // namespace versor::cpu
