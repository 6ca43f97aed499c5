// Nearest code (eq. 2) on a GPU: exact, although a fast matrix product, perhaps in TF32, does most
// of the work. As in vq/cpu/nearest.cpp, x = e - mean and y = c - mean are measured from the mean
// of the codes, and |e - c|^2 is s = |y|^2 - 2 x.y plus |x|^2, which is the same for all codes.
// matmul() makes tiles of dot products. visit_kernel keeps every code that may be the nearest,
// given how far s can be off (score_error.h); choose_kernel compares these exactly; scan_kernel
// compares a row that has too many of them with all codes. The exact comparison is
// squared_distance() of vq/row_math.h, the same sum in the same order as on the CPU: both devices
// choose the same code for the same numbers, however the product rounds. Read next: score_error.h.
#include <bit>
#include <limits>

#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"
#include "vq/cuda/backend.h"
#include "vq/score_error.h"

namespace versor {
namespace {

using cuda::kAllLanes;
using cuda::kThreads;
using cuda::kWarp;

constexpr int64_t kCodeTile = 4096;                  // codes that meet a tile of rows at once
constexpr int64_t kTileElements = int64_t{1} << 22;  // of a tile of rows, and of its scores
constexpr int kMostCandidates = kWarp;               // a row with more is compared with all codes
constexpr int kManyThreads = kWarp * kWarp;          // of a block of mean_kernel
constexpr int kScan = -1;                            // in place of a number of candidates
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// --- scores and their bounds in f32 -------------------------------------------------------------

// Of a code y: what s and its error are made of.
struct alignas(16) CodeTerms {
  float squared;  // |y|^2; infinite for a repeated code, which never wins
  float norm, rest, own;
};

// Of a row x.
struct alignas(16) RowTerms {
  float per_norm, per_rest, own;
  float limit;  // the smallest s + error so far: no code with s - error above it can win
};

// x as a float, a little up: by more than this and the few operations that follow can round down.
__device__ inline float rounded_up(double x) {
  return static_cast<float>(x * (1 + 0x1p-20));
}

__device__ inline RowTerms row_terms(const ScoreBound::Row& row) {
  return {rounded_up(row.per_norm), rounded_up(row.per_rest), rounded_up(row.own), kInfinity};
}

__device__ inline CodeTerms code_terms(double squared, const ScoreBound::Code& code) {
  // Such a code is a candidate of every row and limits none.
  if (code.own == kNoBound) return {0, 0, 0, kInfinity};
  return {static_cast<float>(squared), rounded_up(code.norm), rounded_up(code.rest),
          rounded_up(code.own)};
}

__device__ inline bool is_repeated(const CodeTerms& code) {
  return code.squared == kInfinity;
}

__device__ inline float score(const CodeTerms& code, float dot) {
  return fmaf(-2.f, dot, code.squared);
}
__device__ inline float score_error(const RowTerms& row, const CodeTerms& code) {
  return fmaf(row.per_norm, code.norm, fmaf(row.per_rest, code.rest, row.own + code.own));
}

// --- preparing codes and rows -------------------------------------------------------------------

// mean [D] of the codes c [K,D]. A block has 32 columns, each of its warps every 32nd code.
__global__ void __launch_bounds__(kManyThreads)
    mean_kernel(double* mean, const float* c, int64_t K, int64_t D) {
  __shared__ double partial[kWarp][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t d = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  double sum = 0;
  if (d < D)
    for (int64_t k = warp; k < K; k += kWarp) sum += c[k * D + d];
  partial[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || d >= D) return;
  sum = 0;
  for (int w = 0; w < kWarp; ++w) sum += partial[w][lane];
  mean[d] = sum / static_cast<double>(K);
}

// To the nearest number with TF32's 10 bits of mantissa (a NaN may become a number).
__device__ inline float to_tf32(float x) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0x1000u) & ~0x1fffu);
}

struct Centred {
  double squared;  // |x|^2
  double norm;     // N, at least |x| and |X|
  double rest;     // |x - X|
};

// By one warp: X [D] from x = from - mean.
__device__ inline Centred centre(float* X, const float* from, const double* mean, int64_t D,
                                 bool tf32) {
  double squared = 0, rest = 0;
  for (int64_t d = threadIdx.x % kWarp; d < D; d += kWarp) {
    const double x = from[d] - mean[d];
    const float rounded = tf32 ? to_tf32(static_cast<float>(x)) : static_cast<float>(x);
    X[d] = rounded;
    squared += x * x;
    rest += (x - rounded) * (x - rounded);
  }
  squared = cuda::warp_sum(squared);
  rest = std::sqrt(cuda::warp_sum(rest));
  return {squared, std::sqrt(squared) + rest, rest};
}

// By one warp: a hash of all bits of x [D]; equal vectors have equal hashes.
__device__ inline uint32_t hash(const float* x, int64_t D) {
  uint32_t sum = 0;
  for (int64_t d = threadIdx.x % kWarp; d < D; d += kWarp) {
    uint32_t h = std::bit_cast<uint32_t>(x[d]) + static_cast<uint32_t>(d) * 0x9e3779b9u;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    sum += h ^ (h >> 13);
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  return sum;
}

// A warp per code.   Y [K,D],  terms, hashes [K].
__global__ void centre_codes_kernel(float* Y, CodeTerms* terms, uint32_t* hashes, const float* c,
                                    const double* mean, int64_t K, int64_t D, bool tf32,
                                    ScoreBound bound) {
  const int64_t k = cuda::global_index() / kWarp;
  if (k >= K) return;
  const Centred y = centre(Y + k * D, c + k * D, mean, D, tf32);
  const uint32_t h = hash(c + k * D, D);
  if (threadIdx.x % kWarp != 0) return;
  terms[k] = code_terms(y.squared, bound.code(y.norm, y.rest));
  hashes[k] = h;
}

// By one warp: whether a and b [D] are equal bit for bit.
__device__ inline bool same_bits(const float* a, const float* b, int64_t D) {
  bool same = true;
  for (int64_t d = threadIdx.x % kWarp; d < D; d += kWarp)
    same &= std::bit_cast<uint32_t>(a[d]) == std::bit_cast<uint32_t>(b[d]);
  return __ballot_sync(kAllLanes, !same) == 0;
}

// A warp per code k: does it equal an earlier one? Lanes compare hashes; where two agree, the warp
// compares the codes. (A repeated code that is missed costs time only.)
__global__ void mark_repeated_kernel(CodeTerms* terms, const uint32_t* hashes, const float* c,
                                     int64_t K, int64_t D) {
  const int64_t k = cuda::global_index() / kWarp;
  if (k >= K) return;
  const int lane = threadIdx.x % kWarp;
  const uint32_t own = hashes[k];
  bool repeated = false;
  for (int64_t j = 0; j < k && !repeated; j += kWarp) {
    unsigned alike = __ballot_sync(kAllLanes, j + lane < k && hashes[j + lane] == own);
    for (; alike != 0 && !repeated; alike &= alike - 1)
      repeated = same_bits(c + k * D, c + (j + __ffs(alike) - 1) * D, D);
  }
  if (repeated && lane == 0) terms[k] = {kInfinity, 0, 0, 0};
}

// The search of a tile of rows: for each its terms and its list of candidates.
struct Searches {
  RowTerms* terms;  // [rows]
  int32_t* count;   // [rows] candidates, or kScan
  int32_t* code;    // [rows, kMostCandidates] the candidates, ascending
  float* lowest;    // [rows, kMostCandidates] s - error of each
};

// A warp per row.   X, e [rows,D].
__global__ void centre_rows_kernel(float* X, Searches searches, const float* e, const double* mean,
                                   int64_t rows, int64_t D, bool tf32, ScoreBound bound) {
  const int64_t r = cuda::global_index() / kWarp;
  if (r >= rows) return;
  const Centred x = centre(X + r * D, e + r * D, mean, D, tf32);
  if (threadIdx.x % kWarp != 0) return;
  searches.terms[r] = row_terms(bound.row(x.norm, x.rest));
  searches.count[r] = x.norm < kLargestNorm ? 0 : kScan;  // a NaN is not less either
}

// --- visiting a tile ----------------------------------------------------------------------------

__device__ inline int lanes_below(unsigned lanes, int lane) {
  return __popc(lanes & ((1u << lane) - 1));
}

// By one warp: of a row's `count` candidates, keeps those that the limit allows, in order.
__device__ inline int drop_beaten(int32_t* code, float* lowest, int count, float limit) {
  const int lane = threadIdx.x % kWarp;
  const int32_t own_code = lane < count ? code[lane] : 0;
  const float own_lowest = lane < count ? lowest[lane] : 0;
  const bool keep = lane < count && !(own_lowest > limit);
  const unsigned kept = __ballot_sync(kAllLanes, keep);
  __syncwarp();  // all have been read
  if (keep) {
    code[lanes_below(kept, lane)] = own_code;
    lowest[lanes_below(kept, lane)] = own_lowest;
  }
  __syncwarp();
  return __popc(kept);
}

// A warp per row: goes through its products with the codes k0 ... k0+n-1 twice, for the limit and
// then for the codes within it. A NaN sets no limit, and its code stays a candidate.   dots
// [rows,n].
__global__ void visit_kernel(Searches searches, const float* dots, const CodeTerms* codes,
                             int64_t rows, int64_t k0, int64_t n) {
  const int64_t r = cuda::global_index() / kWarp;
  if (r >= rows) return;
  int count = searches.count[r];
  if (count == kScan) return;
  const int lane = threadIdx.x % kWarp;
  const RowTerms row = searches.terms[r];
  const float* dot = dots + r * n;
  float limit = row.limit;
  for (int64_t j = lane; j < n; j += kWarp) {
    const CodeTerms y = codes[k0 + j];
    const float highest = score(y, dot[j]) + score_error(row, y);
    if (highest < limit) limit = highest;
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    limit = std::min(limit, __shfl_xor_sync(kAllLanes, limit, offset));

  int32_t* code = searches.code + r * kMostCandidates;
  float* lowest = searches.lowest + r * kMostCandidates;
  count = drop_beaten(code, lowest, count, limit);
  for (int64_t first = 0; first < n && count != kScan; first += kWarp) {
    const int64_t j = first + lane;
    float low = kInfinity;
    if (j < n) low = score(codes[k0 + j], dot[j]) - score_error(row, codes[k0 + j]);
    const bool keep = j < n && !(low > limit);
    const unsigned kept = __ballot_sync(kAllLanes, keep);
    const int place = count + lanes_below(kept, lane);
    count = count + __popc(kept) <= kMostCandidates ? count + __popc(kept) : kScan;
    if (keep && count != kScan) {
      code[place] = static_cast<int32_t>(k0 + j);
      lowest[place] = low;
    }
  }
  if (lane == 0) {
    searches.terms[r].limit = limit;
    searches.count[r] = count;
  }
}

// --- the exact comparison -----------------------------------------------------------------------

// The best code so far. A distance that is infinite or NaN never wins; if all are, code 0 stays.
struct Nearest {
  double distance = std::numeric_limits<double>::infinity();
  int code = 0;

  // Called by ascending code, so that the lowest of equals stays.
  __device__ void consider(const float* e, const float* c, int64_t k, int64_t D) {
    const double d = squared_distance(e, c + k * D, D, distance);
    if (d < distance) *this = {d, static_cast<int>(k)};
  }
  __device__ void merge(const Nearest& other) {
    if (other.distance < distance || (other.distance == distance && other.code < code))
      *this = other;
  }
  // The best of 2, 4, ... `lanes` neighbours, in each of them.
  __device__ void merge_lanes(int lanes) {
    for (int offset = lanes / 2; offset > 0; offset /= 2)
      merge(
          {__shfl_xor_sync(kAllLanes, distance, offset), __shfl_xor_sync(kAllLanes, code, offset)});
  }
};

constexpr int kLanesPerRow = 4;  // of choose_kernel: most rows have few candidates

// Four lanes per row, each with every fourth candidate.   index [rows],  e [rows,D].
__global__ void choose_kernel(int32_t* index, Searches searches, const float* e, const float* c,
                              int64_t rows, int64_t D) {
  const int64_t r = cuda::global_index() / kLanesPerRow;
  const int lane = threadIdx.x % kLanesPerRow;
  const int count = r < rows ? searches.count[r] : kScan;
  const int32_t* code = searches.code + r * kMostCandidates;
  Nearest best;
  if (count > 1)  // a single candidate needs no comparison
    for (int i = lane; i < count; i += kLanesPerRow) best.consider(e + r * D, c, code[i], D);
  best.merge_lanes(kLanesPerRow);
  if (lane == 0 && count != kScan) index[r] = count == 1 ? code[0] : best.code;
}

// A block per row; it compares a row that has too many candidates with all codes.
__global__ void scan_kernel(int32_t* index, const int32_t* count, const CodeTerms* codes,
                            const float* e, const float* c, int64_t K, int64_t D) {
  const int64_t r = blockIdx.x;
  if (count[r] != kScan) return;  // the whole block
  __shared__ double distance[kThreads / kWarp];
  __shared__ int code[kThreads / kWarp];
  Nearest best;
  for (int64_t k = threadIdx.x; k < K; k += kThreads)
    if (!is_repeated(codes[k])) best.consider(e + r * D, c, k, D);
  best.merge_lanes(kWarp);
  if (threadIdx.x % kWarp == 0) {
    distance[threadIdx.x / kWarp] = best.distance;
    code[threadIdx.x / kWarp] = best.code;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 0; w < kThreads / kWarp; ++w) best.merge({distance[w], code[w]});
  index[r] = best.code;
}

unsigned blocks_of_warps(int64_t n) {
  return cuda::blocks_for(n, kThreads / kWarp);
}

}  // namespace

void CudaVqBackend::nearest_code(Tensor& index, const Tensor& e, const Tensor& codebook) {
  const int64_t R = e.dim(0), K = codebook.dim(0), D = codebook.dim(1);
  const Device device = e.device();
  CudaBackend& backend = cuda::backend_of(e);
  const cuda::Stream stream = backend.stream();
  const bool tf32 = backend.uses_tf32();
  const ScoreBound bound(D, kRoundoffTensor);
  const float* c = codebook.data<float>();

  cuda::Scratch<double> mean(D, device);
  cuda::Scratch<CodeTerms> codes(K, device);
  cuda::Scratch<uint32_t> hashes(K, device);
  Tensor Y({K, D}, DType::f32, device);
  cuda::launch("mean_code", stream, cuda::blocks_for(D, kWarp), kManyThreads, mean_kernel,
               mean.data(), c, K, D);
  cuda::launch("centre_codes", stream, blocks_of_warps(K), kThreads, centre_codes_kernel,
               Y.data<float>(), codes.data(), hashes.data(), c, mean.data(), K, D, tf32, bound);
  cuda::launch("mark_repeated", stream, blocks_of_warps(K), kThreads, mark_repeated_kernel,
               codes.data(), hashes.data(), c, K, D);

  const int64_t code_tile = std::min(K, kCodeTile);
  const int64_t widest = std::max({code_tile, D, int64_t{2 * kMostCandidates}});
  const int64_t row_tile = std::clamp(kTileElements / widest, int64_t{1}, std::max(R, int64_t{1}));
  Tensor X({row_tile, D}, DType::f32, device), dots({row_tile * code_tile}, DType::f32, device);
  cuda::Scratch<RowTerms> terms(row_tile, device);
  cuda::Scratch<int32_t> count(row_tile, device), candidates(row_tile * kMostCandidates, device);
  cuda::Scratch<float> lowest(row_tile * kMostCandidates, device);
  const Searches searches{terms.data(), count.data(), candidates.data(), lowest.data()};
  for (int64_t r0 = 0; r0 < R; r0 += row_tile) {
    const int64_t rows = std::min(row_tile, R - r0);
    const float* first = e.data<float>() + r0 * D;
    int32_t* out = index.data<int32_t>() + r0;
    cuda::launch("centre_rows", stream, blocks_of_warps(rows), kThreads, centre_rows_kernel,
                 X.data<float>(), searches, first, mean.data(), rows, D, tf32, bound);
    for (int64_t k0 = 0; k0 < K; k0 += code_tile) {
      const int64_t n = std::min(code_tile, K - k0);
      Tensor tile = dots.rows(0, rows * n).reshape({rows, n});
      backend.matmul(tile, X.rows(0, rows), Y.rows(k0, k0 + n), false, true, {});
      cuda::launch("visit_codes", stream, blocks_of_warps(rows), kThreads, visit_kernel, searches,
                   tile.data<float>(), codes.data(), rows, k0, n);
    }
    cuda::launch("choose_code", stream, cuda::blocks_for(rows, kThreads / kLanesPerRow), kThreads,
                 choose_kernel, out, searches, first, c, rows, D);
    cuda::launch("scan_codes", stream, static_cast<unsigned>(rows), kThreads, scan_kernel, out,
                 searches.count, codes.data(), first, c, K, D);
  }
}

}  // namespace versor
