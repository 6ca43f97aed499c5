// Scores of rows against codes with AVX-512: see avx512_scores.h.
#include "vq/cpu/avx512_scores.h"

#include <algorithm>
#include <cstring>

#include "tensor/cpu/parallel.h"

#ifdef __x86_64__

#include "tensor/cpu/avx512_products.h"

namespace versor::cpu::avx512 {
namespace {

constexpr int64_t kRows = CodePanels::kRows, kCodes = CodePanels::kCodes;

// kRows rows against one panel.   squared [kCodes].
template <class T>
VERSOR_AVX512 void score_panel(float* scores, int64_t stride, const int32_t* rows,
                               const int32_t* panel, int64_t lanes, const float* squared) {
  __m512 sums[kRows][2] = {};
  for (int64_t d = 0; d < lanes; ++d) {
    const __m512i c0 = _mm512_loadu_si512(panel + d * kCodes);
    const __m512i c1 = _mm512_loadu_si512(panel + d * kCodes + 16);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i e = _mm512_set1_epi32(rows[r * lanes + d]);
      sums[r][0] = multiply_add<T>(sums[r][0], c0, e);
      sums[r][1] = multiply_add<T>(sums[r][1], c1, e);
    }
  }
  const __m512 two = _mm512_set1_ps(2.f);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
    for (int64_t half = 0; half < 2; ++half)
      _mm512_storeu_ps(scores + r * stride + 16 * half,
                       _mm512_fnmadd_ps(two, sums[r][half], _mm512_loadu_ps(squared + 16 * half)));
}

}  // namespace

CodePanels::CodePanels(const Tensor& codes)
    : K_(codes.dim(0)), per_lane_(codes.dtype() == DType::bf16 ? 2 : 1) {
  const int64_t D = codes.dim(1), panels = (K_ + kCodes - 1) / kCodes;
  const size_t size = size_of(codes.dtype());
  lanes_ = (D + per_lane_ - 1) / per_lane_;
  panels_ = Tensor({panels, lanes_, kCodes}, DType::i32);
  char* out = static_cast<char*>(panels_.address());
  const char* in = static_cast<const char*>(codes.address());
  std::memset(out, 0, panels_.bytes());
  parallel_blocks(
      K_,
      [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k)
          for (int64_t lane = 0; lane < lanes_; ++lane) {
            const int64_t first = lane * per_lane_, count = std::min(per_lane_, D - first);
            char* to = out + 4 * ((k / kCodes * lanes_ + lane) * kCodes + k % kCodes);
            std::memcpy(to, in + (k * D + first) * size, static_cast<size_t>(count) * size);
          }
      },
      kCodes);
}

void CodePanels::score(float* scores, int64_t stride, const void* rows, const float* squared,
                       int64_t begin, int64_t end) const {
  const auto* lanes_of_rows = static_cast<const int32_t*>(rows);
  for (int64_t k = begin; k < end; k += kCodes) {
    float last[kCodes] = {};  // of a panel that is not full
    if (k + kCodes > K_) std::copy(squared + k, squared + K_, last);
    const float* here = k + kCodes > K_ ? last : squared + k;
    const int32_t* panel = panels_.data<int32_t>() + k * lanes_;
    const auto run = per_lane_ == 2 ? score_panel<bf16> : score_panel<float>;
    run(scores + k - begin, stride, lanes_of_rows, panel, lanes_, here);
  }
}

}  // namespace versor::cpu::avx512

#else

namespace versor::cpu::avx512 {

CodePanels::CodePanels(const Tensor&) {
  fail("nearest_code", "this processor has no AVX-512");
}
void CodePanels::score(float*, int64_t, const void*, const float*, int64_t, int64_t) const {}

}  // namespace versor::cpu::avx512

#endif
