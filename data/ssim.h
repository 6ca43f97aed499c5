// Structural similarity (SSIM) of images: 1 for equal images, less the more their local means,
// contrasts and structures differ. Closer to human judgement than the mean squared error.
// Source: Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to
// Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004.
// Read next: ssim.cpp.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace versor {

// The SSIM of each image of `a` with the corresponding image of `b`: n values from -1 to 1.
// a, b: f32 [n,H,W,C], pixels -1..1, H and W at least 11, on any device. The formula works on
// intensities, which are 0 at black: 1 + pixel, in the range 0..L with L = 2. The result is that of
// the same images as bytes with L = 255.
// Under each window that lies wholly inside the image, in each channel, with the Gaussian weights
// w (11 x 11, sigma 1.5, sum 1): means m_a = sum w a, (co)variances s_ab = sum w a b - m_a m_b,
//   SSIM = (2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_aa + s_bb + C2)),
// C1 = (0.01 L)^2, C2 = (0.03 L)^2; the result is the mean over windows and channels, in double.
// Equal images give exactly 1; an image with a NaN gives NaN. The same bits for any number of
// threads. Throws Error, naming the shapes, if they differ or are too small for the window.
std::vector<double> ssim(const Tensor& a, const Tensor& b);

}  // namespace versor
