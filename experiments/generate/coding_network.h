// A trained prior (prior.h) evaluated in integers, for an arithmetic coder: whoever decodes must
// find exactly the frequencies that the symbols were coded with, on any machine.
//
// How floating point is kept out: a weight is read from the file as bits, sign, exponent and
// mantissa, and becomes round(w 2^s) by shifts. From then on there are additions, multiplications,
// shifts, comparisons and divisions of integers only, none of which overflows whatever the weights
// are. All sums of products are exact, so their order does not matter: neither the number of
// threads nor the width of vectors, the compiler or the processor changes a bit.
//
// Numbers are int32 in units of 2^-18, clamped. Factors of products are int16: an activation vector
// is a 2^t with |a| <= 2^12, a row of weights w 2^-s with a sum of |w| <= 2^18, with the t and s
// that use these best. What is approximated: 2^-x and the Gaussian distribution function of GELU by
// tables (made of integer square roots of 2), 1/sqrt by an integer square root. Together this costs
// less than 0.1 % more bits than the prior in f32.
#pragma once

#include <string>
#include <vector>

#include "experiments/generate/prior.h"

namespace versor {

class CodingNetwork {
 public:
  // What frequencies are parts of. The frequencies of a place's symbols, each at least 1, add up to
  // at most 2^31 + 2^16, which is less: so a symbol costs at least log2(kTotal / (2^31 + 2^16)) =
  // 0.0013 bits, and a file of a given size cannot claim to hold any number of symbols.
  static constexpr uint32_t kTotal = (1u << 31) + (1u << 21);
  static constexpr double kLeastBits = 0.0013;

  // Throws Error naming `path`, where the prior comes from, if it is no transformer or has a weight
  // that is not finite.
  CodingNetwork(const Prior& prior, const std::string& path);

  const SymbolSequence& sequence() const { return sequence_; }
  // Of all integers that frequencies follow from.
  uint64_t fingerprint() const { return fingerprint_; }

  // Some images, place by place.
  struct State {
    int64_t images = 0, place = 0;
    std::vector<int16_t> keys, values;           // [images,blocks,heads,T,W/heads]
    std::vector<int8_t> key_shift, value_shift;  // [images,blocks,heads,T]
  };
  State begin(int64_t images) const;
  // The frequencies of the symbols at state.place, from 0 to K - 1, as sums: symbol s of image n
  // has the numbers sums[n,s] to sums[n,s+1] - 1 of kTotal; sums is [images,K+1]. `previous`: the
  // symbols before, one of each image, each below its K; at the first place it is not read.
  void next(State& state, const std::vector<int32_t>& previous, std::vector<uint32_t>& sums) const;

 private:
  struct Linear {
    int64_t rows = 0, columns = 0;     // rows: rounded up to a multiple of 4, with zeros
    std::vector<int16_t> weight;       // [rows,columns]
    std::vector<int32_t> shift, bias;  // [rows]
  };
  struct Norm {
    std::vector<int32_t> weight, bias;
  };
  struct Block {
    Norm norm1, norm2;
    Linear qkv, proj, up, down;
  };
  struct Group;  // of images that go through the network together

  static void apply(const Linear& linear, Group& group, const std::vector<int32_t>& in,
                    std::vector<int32_t>& out);
  // Adds linear(in) to group.x.
  void apply_and_add(const Linear& linear, Group& group, const std::vector<int32_t>& in) const;
  void normalise(const Norm& norm, Group& group) const;
  void attend(const int32_t* in, State& state, int64_t row, int32_t* out) const;
  void frequencies(const int32_t* logits, int64_t codes, uint32_t* sums) const;

  SymbolSequence sequence_;
  int64_t width_ = 0, heads_ = 1;
  std::vector<int32_t> start_, tokens_, positions_;  // [W], [V,W], [T,W]
  std::vector<Block> blocks_;
  Norm norm_;
  std::vector<Linear> levels_;  // logits of each level's symbols
  uint64_t fingerprint_ = 0;
};

}  // namespace versor
