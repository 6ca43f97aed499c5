// Convolutions over images of 1 to 4 channels (the model's first and last layer) by kernels of our
// own: cuDNN pads such images to 8 channels and moves their elements around first. Memory for
// intermediate results is a local Tensor; the contracts are those of tensor/backend.h.
#pragma once

#include "tensor/cuda/backend.h"

namespace versor::cuda::few_channels {

// Whether these kernels compute the convolution of x [N,H,W,C] with weight [O,kh,kw,C] to
// y [N,H',W',O] and its gradients: C <= 4, kh kw C <= 240, and indices that fit into 31 bits. Never
// with VERSOR_FEW_CHANNELS=0 in the environment; then it is cuDNN's.
bool takes(const Tensor& x, const Tensor& weight, const Tensor& y);

void conv2d(CudaBackend& backend, Tensor& y, const Tensor& x, const Tensor& weight,
            const Epilogue& epilogue, const Conv2dParams& params);
void conv2d_grad_input(CudaBackend& backend, Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Epilogue& epilogue, const Conv2dParams& params);
void conv2d_grad_weight(CudaBackend& backend, Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params);

}  // namespace versor::cuda::few_channels
