// Matrix product and convolution on the CPU, twice: the plain reference, always there, and oneDNN.
// Equal signatures, so that tests compare the two and the backend picks one. Formulas: backend.h.
#pragma once

#include "tensor/backend.h"

namespace versor::cpu {

// Whether this build has oneDNN and the environment variable VERSOR_ONEDNN is not 0.
bool use_onednn();

// y = relu?(y + bias), in place.   y [...,C].
void apply_epilogue(Tensor& y, const Epilogue& epilogue);

namespace reference {
void matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
            const Tensor& bias);
void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
            const Conv2dParams& params);
void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Conv2dParams& params);
void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params);
}  // namespace reference

#ifdef VERSOR_ONEDNN
namespace onednn {
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
