// The scores of the nearest-code search with AVX-512: |c|^2 - 2 e.c for a few rows e and many codes
// c. They stay in registers until they are complete.
// The processor must support the type: avx512::has_products_of().
#pragma once

#include "tensor/cpu/avx512.h"

namespace versor::cpu::avx512 {

class CodePanels {
 public:
  static constexpr int64_t kRows = 8;    // rows at a time
  static constexpr int64_t kCodes = 32;  // codes of a panel: two registers

  // codes [K,D] f32 or bf16, centred; copied into panels.
  explicit CodePanels(const Tensor& codes);

  // scores[r * stride + k - begin] = squared[k] - 2 rows[r].codes[k] for r < kRows and the codes
  // begin <= k < end. begin is a multiple of kCodes. The last panel is written whole: up to
  // kCodes - 1 scores beyond `end` are overwritten too.   rows [kRows,row_size()] of the codes'
  // type, 0 beyond column D;  squared [K].
  void score(float* scores, int64_t stride, const void* rows, const float* squared, int64_t begin,
             int64_t end) const;

  int64_t row_size() const { return lanes_ * per_lane_; }  // D, rounded up to whole lanes

 private:
  int64_t K_, lanes_, per_lane_;  // a lane: one f32 or two bf16 of a code
  Tensor panels_;                 // [K / kCodes, lanes, kCodes] lanes; codes beyond K are 0
};

}  // namespace versor::cpu::avx512
