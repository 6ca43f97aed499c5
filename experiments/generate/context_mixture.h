// A simple model of symbols for comparison with a prior: how often each followed in contexts of its
// neighbours in the training set, mixed. Its places' contexts are: none; the symbol to the left;
// the one above; both; and in the further layers and levels also the symbol before it in the same
// latent, or the one of the level above that covers it.
//   p(s | c) = sum over contexts j of w_j (count_j(s) + a p_0(s)) / (count_j + a)
// The weights w are fitted by expectation maximisation to sequences that were not counted (Jelinek
// and Mercer 1980), for each level; p_0 is the symbol's frequency at its layer, with 1 added.
#pragma once

#include <vector>

#include "experiments/generate/symbol_sequence.h"

namespace versor {

// The mean bits per symbol of each level of `test`, for counts from `train`, of which the last
// tenth fits the weights. Sequences i32 [N,T] on the host, at least 10 of training.
std::vector<double> context_mixture_bits(const SymbolSequence& sequence, const Tensor& train,
                                         const Tensor& test);

// The same without neighbours and fitting: the entropy of the symbols' own frequencies in `test`,
// each layer by itself.
std::vector<double> unigram_bits(const SymbolSequence& sequence, const Tensor& test);

}  // namespace versor
