// Nearest code (eq. 2) on the CPU: exact, although fast matrix products do most of the work.
//
// Everything is measured from the mean of the codes, which changes no distance: below, e and c
// stand for e - mean and c - mean, rounded to f32 once. |e - c|^2 differs from the score s = |c|^2
// - 2 e.c only by |e|^2, which is the same for all codes. The search is a cascade. Each stage knows
// how far its scores can be off, and passes every code that may still be the nearest on to the
// next:
//   1. all codes, by a matrix product: of bf16 factors where the processor has instructions for
//      them, else of f32
//   2. after bf16: the candidates in f32
//   3. the candidates in f64, on the vectors as given, if there is more than one
// A stage with too many candidates for a row passes all codes on, and so it does where values are
// beyond the range of f32 products. A code that equals an earlier one bit for bit can never win and
// is left out.
//
// The first stage has two forms. With AVX-512 it is a kernel of our own, whose scores never leave
// the cache (avx512_scores.h); elsewhere it is the library's matrix product, tile by tile.
//
// Centring matters: latents after a ReLU share a large common part, and the bounds (score_error.h)
// grow with |e| |c| while the distances do not.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/cpu/matmul.h"
#include "tensor/cpu/parallel.h"
#include "vq/cpu/avx512_scores.h"
#include "vq/cpu/backend.h"
#include "vq/score_error.h"

namespace versor {
namespace {

using cpu::avx512::CodePanels;

constexpr int64_t kRowTile = 256, kCodeTile = 1024;  // scores: 1 MiB
constexpr int64_t kPanelRows = 64;                   // rows of a thread at a time, with panels
constexpr int64_t kRowBlock = 16;                    // rows of a thread at a time
constexpr int64_t kBlock = 64;                       // scores that are compared together
// With fewer columns the products are cheap, and bf16 cannot tell near codes apart where many lie
// in a small space.
constexpr int64_t kSmallestForBf16 = 32;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Of a centred vector, or the largest of several: the norm of its f32 form, and that of what bf16
// rounds off (0 if unused).
struct CentredNorms {
  double f32 = 0, rest = 0;
};

// x as bf16, where what is too small for a normal number becomes 0: the processor's products would
// take it for 0 too. Without branches, so that a loop over it becomes vectors. Of a NaN anything
// may come: its row or code has no finite bound and is compared in f64 alone.
bf16 normal_bf16(float x) {
  const auto u = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  bf16 result;
  result.bits = static_cast<uint16_t>((u & 0x7fffffffu) < 0x00800000u ? 0u : rounded);
  return result;
}

// A little more and a little less than x: by at least one unit in the last place.
float raised(float x) {
  return x + std::abs(x) * 0x1p-22f + 1e-44f;
}
float lowered(float x) {
  return x - std::abs(x) * 0x1p-22f - 1e-44f;
}

// A vector's centred f32 form, and its bf16 form if that is wanted (else null).
struct Forms {
  float* f32;
  bf16* half;
};

// What the search needs of the codes, computed once.
struct Codes {
  const float* c;  // [K,D] as given
  int64_t K, D;
  bool use_bf16;
  std::vector<double> mean;         // [D]
  Tensor centred, half;             // [K,D] c - mean, and that in bf16 if it is used
  std::vector<float> squared;       // |c - mean|^2, infinite for a repeated code
  std::vector<bool> repeated;       // equal to an earlier code
  std::vector<CentredNorms> norms;  // the largest ones of each tile of codes
  ScoreBound bound;

  explicit Codes(const Tensor& codebook)
      : c(codebook.data<float>()),
        K(codebook.dim(0)),
        D(codebook.dim(1)),
        use_bf16(D >= kSmallestForBf16 &&
                 (cpu::has_bf16_products() || cpu::avx512::has_products_of(DType::bf16))),
        mean(static_cast<size_t>(D), 0.0),
        centred({K, D}),
        half(use_bf16 ? Tensor({K, D}, DType::bf16) : Tensor()),
        squared(static_cast<size_t>(K)),
        repeated(static_cast<size_t>(K)),
        norms(static_cast<size_t>((K + kCodeTile - 1) / kCodeTile)),
        bound(D, kRoundoffF32) {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t d = 0; d < D; ++d) mean[d] += c[k * D + d];
    for (double& m : mean) m /= static_cast<double>(K);
    // One thread per tile, so that the tile's largest norms need no lock.
    cpu::parallel_blocks(
        K, [&](int64_t begin, int64_t end) { prepare_tile(begin, end); }, kCodeTile);
    std::unordered_map<std::string_view, int64_t> seen;
    seen.reserve(static_cast<size_t>(K));
    for (int64_t k = 0; k < K; ++k) {
      const std::string_view bytes(reinterpret_cast<const char*>(c + k * D), sizeof(float) * D);
      repeated[k] = !seen.emplace(bytes, k).second;
      if (repeated[k]) squared[k] = kInfinity;
    }
  }

  void prepare_tile(int64_t begin, int64_t end) {
    CentredNorms& largest = norms[begin / kCodeTile];
    for (int64_t k = begin; k < end; ++k) {
      const CentredNorms n = centre(row_of(k), c + k * D);
      squared[k] = static_cast<float>(n.f32 * n.f32);
      largest = {larger(largest.f32, n.f32), larger(largest.rest, n.rest)};
    }
  }

  Forms row_of(int64_t k) {
    return {centred.data<float>() + k * D, use_bf16 ? half.data<bf16>() + k * D : nullptr};
  }

  // to [D] = from [D] - mean, in both forms.
  CentredNorms centre(Forms to, const float* from) const {
    const double* middle = mean.data();
    for (int64_t d = 0; d < D; ++d) to.f32[d] = static_cast<float>(from[d] - middle[d]);
    CentredNorms n{norm(to.f32, D), 0};
    if (!use_bf16) return n;
    for (int64_t d = 0; d < D; ++d) to.half[d] = normal_bf16(to.f32[d]);
    n.rest = std::sqrt(sum_elements(D, [&](int64_t d) {
      const double rest = static_cast<double>(to.f32[d]) - static_cast<float>(to.half[d]);
      return rest * rest;
    }));
    return n;
  }

  // At least how far s is off for a row and a code with these norms.
  double score_error(const CentredNorms& e, const CentredNorms& code) const {
    return versor::score_error(bound.row(e.f32 + e.rest, e.rest),
                               bound.code(code.f32 + code.rest, code.rest));
  }

  // s of code k in f32.   e [D] centred.
  float score(const float* e, int64_t k) const {
    const float* code = centred.data<float>() + k * D;
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t d = 0; d < D; ++d) dot += e[d] * code[d];
    return squared[k] - 2.f * dot;
  }
};

// The smallest of x [n], as the smallest of eight partial results, which become vectors.
float smallest_of(const float* x, int64_t n) {
  float least[8];
  std::fill(least, least + 8, kInfinity);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) least[k] = x[i + k] < least[k] ? x[i + k] : least[k];
  for (; i < n; ++i) least[0] = x[i] < least[0] ? x[i] : least[0];
  return *std::min_element(least, least + 8);
}

// The codes that a stage cannot rule out for a row.
template <int kMost>
struct Candidates {
  float limit = kInfinity;  // the smallest value that s + error has taken
  int count = 0;
  bool all = false;  // too many: every code is a candidate
  int32_t index[kMost];
  float lowest[kMost];  // s - error

  // The scores s[j] of the codes k0 + j, j < n <= kCodeTile, each at most `error` off.
  void take(const float* s, int64_t k0, int64_t n, double error) {
    if (all || !std::isfinite(error)) {
      all = true;
      return;
    }
    // First the smallest score of each block of codes: few blocks need a second look.
    float smallest = kInfinity, block_smallest[kCodeTile / kBlock];
    for (int64_t j0 = 0; j0 < n; j0 += kBlock) {
      block_smallest[j0 / kBlock] = smallest_of(s + j0, std::min(kBlock, n - j0));
      smallest = std::min(smallest, block_smallest[j0 / kBlock]);
    }
    // The limit is rounded up and a code's lowest value down: in doubt, a code is kept.
    const float margin = raised(static_cast<float>(error));
    limit = std::min(limit, raised(smallest + margin));
    const float bound = raised(limit + margin);
    for (int64_t j0 = 0; j0 < n; j0 += kBlock) {
      if (block_smallest[j0 / kBlock] > bound) continue;
      for (int64_t j = j0; j < std::min(n, j0 + kBlock); ++j)
        if (s[j] <= bound && s[j] < kInfinity) add(k0 + j, lowered(s[j] - margin));
    }
  }

  void add(int64_t k, float low) {
    if (count == kMost) drop_beaten();
    if (count == kMost) {
      all = true;
      return;
    }
    index[count] = static_cast<int32_t>(k);
    lowest[count++] = low;
  }

  void drop_beaten() {
    int kept = 0;
    for (int i = 0; i < count; ++i) {
      if (lowest[i] > limit) continue;
      index[kept] = index[i];
      lowest[kept++] = lowest[i];
    }
    count = kept;
  }

  // Calls body(k) for every candidate.
  template <class Body>
  void for_each(const Codes& codes, const Body& body) {
    if (!all) drop_beaten();
    for (int64_t i = 0; i < (all ? codes.K : count); ++i)
      if (const int64_t k = all ? i : index[i]; !codes.repeated[k]) body(k);
  }
};

// The search of one row, from the tiles' scores to the code.
struct RowSearch {
  CentredNorms e;
  Candidates<32> first;

  void start(const CentredNorms& norms) { *this = RowSearch{norms, {}}; }

  // s [n]: the scores of the codes k0...k0+n-1, a tile.
  void visit(const float* s, const Codes& codes, int64_t k0, int64_t n) {
    first.take(s, k0, n, codes.score_error(e, codes.norms[k0 / kCodeTile]));
  }

  // e [D] as given, centred [D].
  int32_t finish(const float* given, const float* centred, const Codes& codes) {
    if (!codes.use_bf16) return nearest_of(first, given, codes);
    first.drop_beaten();
    if (!first.all && first.count == 1) return first.index[0];
    Candidates<24> second;
    first.for_each(codes, [&](int64_t k) {
      const float s = codes.score(centred, k);
      const double c_norm = codes.norms[k / kCodeTile].f32;
      second.take(&s, k, 1, codes.score_error({e.f32, 0}, {c_norm, 0}));
    });
    return nearest_of(second, given, codes);
  }

  template <int kMost>
  static int32_t nearest_of(Candidates<kMost>& candidates, const float* given, const Codes& codes) {
    candidates.drop_beaten();
    if (!candidates.all && candidates.count == 1) return candidates.index[0];
    double best = std::numeric_limits<double>::infinity();
    int32_t winner = 0;
    candidates.for_each(codes, [&](int64_t k) {
      const double distance = squared_distance(given, codes.c + k * codes.D, codes.D, best);
      if (!(distance < best)) return;  // of equals the first stays
      best = distance;
      winner = static_cast<int32_t>(k);
    });
    return winner;
  }
};

// Calls body(r) for all r < rows, in parallel.
template <class Body>
void for_rows(int64_t rows, const Body& body) {
  cpu::parallel_blocks(
      rows,
      [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) body(r);
      },
      kRowBlock);
}

// index [R] of e [R,D]. Each thread takes kPanelRows rows through all stages; a tile of codes stays
// in its cache while they pass, kRows at a time.
void search_in_panels(int32_t* index, const float* e, int64_t R, const Codes& codes,
                      const CodePanels& panels) {
  constexpr int64_t kRows = CodePanels::kRows;
  const int64_t D = codes.D, size = panels.row_size();
  const auto search_block = [&](int64_t begin, int64_t end) {
    const int64_t rows = end - begin;
    std::vector<float> centred(kPanelRows * size), scores(kRows * kCodeTile);
    std::vector<bf16> half(codes.use_bf16 ? kPanelRows * size : 0);  // zeros beyond D
    std::vector<RowSearch> searches(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) {
      const Forms to{centred.data() + r * size, codes.use_bf16 ? half.data() + r * size : nullptr};
      searches[r].start(codes.centre(to, e + (begin + r) * D));
    }
    for (int64_t k0 = 0; k0 < codes.K; k0 += kCodeTile)
      for (int64_t r0 = 0; r0 < rows; r0 += kRows) {
        const int64_t n = std::min(kCodeTile, codes.K - k0);
        const void* factors = codes.use_bf16 ? static_cast<const void*>(half.data() + r0 * size)
                                             : centred.data() + r0 * size;
        panels.score(scores.data(), kCodeTile, factors, codes.squared.data(), k0, k0 + n);
        for (int64_t r = r0; r < std::min(rows, r0 + kRows); ++r)
          searches[r].visit(scores.data() + (r - r0) * kCodeTile, codes, k0, n);
      }
    for (int64_t r = 0; r < rows; ++r)
      index[begin + r] = searches[r].finish(e + (begin + r) * D, centred.data() + r * size, codes);
  };
  cpu::parallel_blocks(R, search_block, kPanelRows);
}

// The same with the library's matrix products of kRowTile rows and kCodeTile codes.
void search_in_tiles(int32_t* index, const Tensor& e, Codes& codes) {
  const int64_t R = e.dim(0), D = codes.D;
  const int64_t most_rows = std::min(kRowTile, R);
  const Tensor scores({most_rows * std::min(kCodeTile, codes.K)});
  Tensor centred({most_rows, D}), half;
  if (codes.use_bf16) half = Tensor({most_rows, D}, DType::bf16);
  std::vector<RowSearch> searches(most_rows);
  for (int64_t r0 = 0; r0 < R; r0 += kRowTile) {
    const int64_t rows = std::min(kRowTile, R - r0);
    const float* given = e.data<float>() + r0 * D;
    float* in_f32 = centred.data<float>();
    bf16* in_bf16 = codes.use_bf16 ? half.data<bf16>() : nullptr;
    for_rows(rows, [&](int64_t r) {
      const Forms to{in_f32 + r * D, in_bf16 ? in_bf16 + r * D : nullptr};
      searches[r].start(codes.centre(to, given + r * D));
    });
    for (int64_t k0 = 0; k0 < codes.K; k0 += kCodeTile) {
      const int64_t n = std::min(kCodeTile, codes.K - k0);
      Tensor tile = scores.rows(0, rows * n).reshape({rows, n});
      if (codes.use_bf16)
        cpu::matmul_bf16(tile, half.rows(0, rows), codes.half.rows(k0, k0 + n));
      else
        e.backend().matmul(tile, centred.rows(0, rows), codes.centred.rows(k0, k0 + n), false, true,
                           {});
      const float* squared = codes.squared.data() + k0;
      for_rows(rows, [&](int64_t r) {
        float* s = tile.data<float>() + r * n;
        for (int64_t j = 0; j < n; ++j) s[j] = squared[j] - 2.f * s[j];
        searches[r].visit(s, codes, k0, n);
      });
    }
    for_rows(rows, [&](int64_t r) {
      index[r0 + r] = searches[r].finish(given + r * D, in_f32 + r * D, codes);
    });
  }
}

}  // namespace

void CpuVqBackend::nearest_code(Tensor& index, const Tensor& e, const Tensor& codebook) {
  Codes codes(codebook);
  if (!cpu::avx512::has_products_of(codes.use_bf16 ? DType::bf16 : DType::f32))
    return search_in_tiles(index.data<int32_t>(), e, codes);
  const CodePanels panels(codes.use_bf16 ? codes.half : codes.centred);
  search_in_panels(index.data<int32_t>(), e.data<float>(), e.dim(0), codes, panels);
}

}  // namespace versor
