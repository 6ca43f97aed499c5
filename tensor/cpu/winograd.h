// Convolution with fewer multiplications: minimal filtering in two dimensions (Winograd 1980; Lavin
// and Gray 2016). Tiles of 4x4 outputs take 36 multiplications for 3x3 taps instead of 144, and 25
// for 2x2 taps instead of 64. A k x k filter with stride s is s*s filters of k/s x k/s taps, each
// on every s-th pixel. WINOGRAD.md explains the method and its rounding errors.
//
// Formulas and shapes of the functions: backend.h. All products are f32; images may be bf16, and
// are then rounded once. The bits do not depend on the number of threads.
#pragma once

#include "tensor/backend.h"

namespace versor::cpu::winograd {

// Whether this convolution should run here, for images x of this shape and type: decided by the
// shapes and what the processor can do. VERSOR_WINOGRAD=0 in the environment says no to all.
enum class Direction { forward, grad_input, grad_weight };
bool suits(Direction direction, const Shape& x, DType type, const Shape& weight,
           const Conv2dParams& params);

// The kernels for this processor's widest vectors, and those for any processor.
struct Kernels;
const Kernels& best_kernels();
const Kernels& portable_kernels();

void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
            const Conv2dParams& params, const Kernels& kernels = best_kernels());
void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight, const Epilogue& epilogue,
                       const Conv2dParams& params, const Kernels& kernels = best_kernels());
void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params, const Kernels& kernels = best_kernels());

}  // namespace versor::cpu::winograd
