// The least error that Gaussian data allow at a given rate, for comparison with what a model makes
// of the same number of bits.
//
// A Gaussian source with covariance S needs, for a mean squared error of D per component,
//   R(D) = sum_i max(0, log2(l_i / t) / 2) bits,   D = mean_i min(l_i, t),   l_i eigenvalues of S,
// for the same t ("reverse water-filling": Cover and Thomas, Elements of Information
// Theory, 10.3.3). Among all sources with covariance S the Gaussian one needs the most bits, so
// images, which are not Gaussian, can be coded with less error. But R(D) is reached only by coding
// many images together, which a code of fixed length for each image does not do.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace versor {

// The covariance [C,C] of the images' C = H*W*channels components about their mean, row by row;
// divided by the number of images. Pixels lie in [-1,1]. Products are summed in f32 over 1,000
// images at most.
std::vector<double> covariance_of(const Dataset& set);

// The eigenvalues, in ascending order, of a symmetric matrix [n,n], of which the lower triangle is
// read. O(n^3): Householder's reduction to a tridiagonal matrix, then bisection with Sturm
// sequences. (Wilkinson, The Algebraic Eigenvalue Problem, 1965, chapter 5.) Errors are of the
// order of 1e-15 times the largest eigenvalue. Throws Error if the size is not n*n.
std::vector<double> symmetric_eigenvalues(std::vector<double> matrix, int64_t n);

// D of a Gaussian source with these variances along its axes at `bits` for all components together.
// Throws Error for no variances, none above 0, or a negative number of bits.
double gaussian_distortion(const std::vector<double>& variances, double bits);

}  // namespace versor
