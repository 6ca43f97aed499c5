// Nearest code (eq. 2) on the CPU, exact although a fast f32 matrix product does the bulk.
//
// Everything is measured from the mean of the codes, which changes no distance: e and c stand for
// e - mean and c - mean below, rounded to f32 once. |e - c|^2 differs from s = |c|^2 - 2 e.c only
// by |e|^2, which all codes share. s is computed in f32, tile by tile; the standard error bound of
// a dot product of length D (Higham, "Accuracy and Stability of Numerical Algorithms", section
// 3.1), |fl(e.c) - e.c| <= gamma |e||c| with gamma = D u / (1 - D u), u = 2^-24, tells how far s
// can be off. Every code that could still be the nearest is kept as a candidate and compared
// exactly, in f64 on the vectors as given, at the end. Codes that equal an earlier one bit for bit
// can never win and are left out. A row with too many candidates, or with values beyond the reach
// of f32 products, is scanned fully in f64.
//
// Centring matters: latents after a ReLU share a large common part, and the bound grows with |e||c|
// while the distances do not.
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/cpu/parallel.h"
#include "vq/cpu/backend.h"

namespace versor {
namespace {

constexpr int64_t kRowTile = 512, kCodeTile = 512;  // scores: 1 MiB
constexpr int kMostCandidates = 24;                 // a row with more is scanned fully
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What the search needs to know of the codes, computed once.
struct Codes {
  const float* c;  // [K,D] as given
  int64_t K, D;
  std::vector<double> mean;       // [D]
  Tensor centred;                 // [K,D] c - mean
  std::vector<float> squared;     // |c - mean|^2, infinite for a repeated code
  std::vector<bool> repeated;     // equal to an earlier code
  std::vector<double> tile_norm;  // the largest |c - mean| of each tile of codes

  explicit Codes(const Tensor& codebook)
      : c(codebook.data<float>()),
        K(codebook.dim(0)),
        D(codebook.dim(1)),
        mean(static_cast<size_t>(D), 0.0),
        centred({K, D}),
        squared(static_cast<size_t>(K)),
        repeated(static_cast<size_t>(K)),
        tile_norm(static_cast<size_t>((K + kCodeTile - 1) / kCodeTile), 0.0) {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t d = 0; d < D; ++d) mean[d] += c[k * D + d] / static_cast<double>(K);
    std::unordered_map<std::string_view, int64_t> seen;
    for (int64_t k = 0; k < K; ++k) {
      float* row = centred.data<float>() + k * D;
      centre(row, c + k * D);
      const double length = norm(row, D);
      const std::string_view bytes(reinterpret_cast<const char*>(c + k * D), sizeof(float) * D);
      repeated[k] = !seen.emplace(bytes, k).second;
      squared[k] = repeated[k] ? kInfinity : static_cast<float>(length * length);
      double& largest = tile_norm[k / kCodeTile];
      largest = length > largest ? length : largest;
    }
  }

  // to [D] = from [D] - mean.
  void centre(float* to, const float* from) const {
    for (int64_t d = 0; d < D; ++d) to[d] = static_cast<float>(from[d] - mean[d]);
  }
};

// The search of one row: candidates so far, and the smallest value that s + error has taken.
struct RowSearch {
  double e_norm = 0;  // |e - mean|
  float limit = kInfinity;
  int count = 0;
  bool full_scan = false;
  int32_t index[kMostCandidates];
  float lowest[kMostCandidates];  // s - error

  void start(const float* e, int64_t d) {
    *this = RowSearch();
    e_norm = norm(e, d);
  }

  void add(int64_t k, float low) {
    if (count == kMostCandidates) drop_beaten();
    if (count == kMostCandidates) {
      full_scan = true;
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

  // `dots` [n]: e.c of the codes k0...k0+n-1; overwritten by s.
  void visit(float* dots, const Codes& codes, int64_t k0, int64_t n) {
    if (full_scan) return;
    const double c_norm = codes.tile_norm[k0 / kCodeTile], d = static_cast<double>(codes.D);
    const double u = 0x1p-24, gamma = (d + 16) * u / (1 - (d + 16) * u);
    // The dot product (the 16 covers the rounding of e, c, |c|^2 and of the subtraction), |c|^2,
    // underflow, and the f64 of the end.
    const double error = 2 * gamma * e_norm * c_norm + 8 * u * c_norm * c_norm + (d + 8) * 2.4e-38 +
                         (d + 8) * 0x1p-52 * (e_norm + c_norm) * (e_norm + c_norm);
    if (!(e_norm * c_norm < 1e30 && c_norm * c_norm < 1e30)) {
      full_scan = true;
      return;
    }
    const float* squared = codes.squared.data() + k0;
    float smallest = kInfinity;
#pragma omp simd reduction(min : smallest)
    for (int64_t j = 0; j < n; ++j) {
      dots[j] = squared[j] - 2.f * dots[j];
      smallest = std::min(smallest, dots[j]);
    }
    // Rounded up, so that the comparison below errs on the side of keeping.
    const float margin = std::nextafter(static_cast<float>(2 * error), kInfinity);
    limit = std::min(limit, std::nextafter(smallest + margin * 0.5f, kInfinity));
    const float bound = std::nextafter(limit + margin * 0.5f, kInfinity);
    if (smallest > bound) return;
    for (int64_t j = 0; j < n; ++j)
      if (dots[j] <= bound && dots[j] < kInfinity)
        add(k0 + j, std::nextafter(dots[j] - margin * 0.5f, -kInfinity));
  }

  int32_t finish(const float* e, const Codes& codes) {
    if (full_scan) return scan(e, codes);
    drop_beaten();
    if (count == 1) return index[0];
    double best = std::numeric_limits<double>::infinity();
    int32_t winner = 0;
    for (int i = 0; i < count; ++i) consider(e, codes, index[i], best, winner);
    return winner;
  }

  static int32_t scan(const float* e, const Codes& codes) {
    double best = std::numeric_limits<double>::infinity();
    int32_t winner = 0;
    for (int64_t k = 0; k < codes.K; ++k)
      if (!codes.repeated[k]) consider(e, codes, static_cast<int32_t>(k), best, winner);
    return winner;
  }

  static void consider(const float* e, const Codes& codes, int32_t k, double& best,
                       int32_t& winner) {
    const double distance = squared_distance(e, codes.c + k * codes.D, codes.D, best);
    if (distance < best) {  // strictly: of equals the first stays
      best = distance;
      winner = k;
    }
  }
};

}  // namespace

void CpuVqBackend::nearest_code(Tensor& index, const Tensor& e, const Tensor& codebook) {
  const Codes codes(codebook);
  const int64_t R = e.dim(0), D = codes.D;
  const Tensor scores({kRowTile * kCodeTile}), centred({kRowTile, D});
  std::vector<RowSearch> searches(kRowTile);
  const int64_t row_block = 16;
  for (int64_t r0 = 0; r0 < R; r0 += kRowTile) {
    const int64_t rows = std::min(kRowTile, R - r0);
    const float* first = e.data<float>() + r0 * D;
    Tensor here = centred.rows(0, rows);
    float* centred_rows = here.data<float>();
    cpu::parallel_blocks(
        rows,
        [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            float* row = centred_rows + r * D;
            codes.centre(row, first + r * D);
            searches[r].start(row, D);
          }
        },
        row_block);
    for (int64_t k0 = 0; k0 < codes.K; k0 += kCodeTile) {
      const int64_t n = std::min(kCodeTile, codes.K - k0);
      Tensor tile = scores.rows(0, rows * n).reshape({rows, n});
      e.backend().matmul(tile, here, codes.centred.rows(k0, k0 + n), false, true, {});
      float* dots = tile.data<float>();
      cpu::parallel_blocks(
          rows,
          [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) searches[r].visit(dots + r * n, codes, k0, n);
          },
          row_block);
    }
    int32_t* out = index.data<int32_t>() + r0;
    cpu::parallel_blocks(
        rows,
        [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) out[r] = searches[r].finish(first + r * D, codes);
        },
        row_block);
  }
}

}  // namespace versor
