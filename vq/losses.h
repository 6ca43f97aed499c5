// Losses that quantizers add to the model's, for even use of the codes and for orthogonal codes.
// Entropies are in nats.
#pragma once

#include "vq/batch_part.h"

namespace versor {

// The sum of two terms of a loss, either of which may be undefined (absent).
Variable add_terms(const Variable& a, const Variable& b);

// H = -sum over k of p_k log p_k for each row of probabilities p [R,K] -> [R].
Variable entropy(const Variable& p);
// The mean of the rows, [R,K] -> [1,K]: of all rows of the batch where p has a part of them (means
// is not null).
Variable mean_row(const Variable& p, BatchMeans* means = nullptr);

// mean over r of H(p_r)  -  gamma H(mean over r of p_r)   [1]
// Small if every row clearly prefers one code and the batch as a whole uses all codes. Without the
// first term it is the diversity loss, up to a constant.  p [R,K].
// Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (2023).
Variable entropy_loss(const Variable& p, double gamma, BatchMeans* means = nullptr);
// The same for p[r, iJ + j] = u[r,i] v[r,j], the probabilities of two independent symbols: their
// entropies add up and the mean is u^T v / R, so that p itself, [R,IJ], is never formed.
//   u [R,I], v [R,J].
Variable entropy_loss(const Variable& u, const Variable& v, double gamma,
                      BatchMeans* means = nullptr);

// log K - H(mean over r of p_r)   [1], >= 0; 0 if the batch uses all codes equally.  p [R,K], all
// of which the gradient needs.
Variable diversity_loss(const Variable& p, BatchMeans* means = nullptr);

// mean over all pairs j, k of (cos(c_j, c_k) - [j = k])^2 = sum of cos^2 / K^2 - 1/K   [1]
// codes [K,D]. The sum of cos^2 over pairs of codes equals one over pairs of columns; whichever has
// fewer pairs is computed.  Shin et al., "Translation-equivariant Image Quantizer for
// Bi-directional Image-Text Generation" (2021).
Variable orthogonality_loss(const Variable& codes);

}  // namespace versor
