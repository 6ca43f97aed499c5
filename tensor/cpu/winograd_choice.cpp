// Which convolutions are computed with fewer multiplications, and by which kernels: see winograd.h.
#include "tensor/cpu/avx512.h"
#include "tensor/cpu/matmul.h"
#include "tensor/cpu/winograd.h"
#include "tensor/cpu/winograd_geometry.h"
#include "tensor/cpu/winograd_kernels.h"
#include "tensor/environment.h"

namespace versor::cpu::winograd {

namespace {

// Does the library have better instructions than we? It looks for them when it runs; our portable
// kernels have those that the compiler was allowed.
bool library_has_more() {
  if (&best_kernels() != &portable_kernels()) return false;
#if defined(__x86_64__) && !defined(__FMA__)
  return use_onednn();
#else
  return library_isa() >= Isa::avx512;
#endif
}

constexpr int64_t kMostBlockBytes = int64_t{4} << 20;  // of the fewest tiles that are taken

}  // namespace

const Kernels& best_kernels() {
  static const Kernels& best =
      avx512::has_products_of(DType::f32) ? avx512_kernels() : portable_kernels();
  return best;
}

// Counts multiplications. kTransform is what one transformed value costs, kDirectBf16 about how
// much faster direct products of bf16 are than of f32 where the processor has them (1.6 to 1.9 on a
// Zen 5); both were set so that what is chosen was the faster one there.
bool suits(Direction direction, const Shape& x, DType type, const Shape& weight,
           const Conv2dParams& p) {
  static const bool on = environment_switch("VERSOR_WINOGRAD", true);
  constexpr double kTransform = 24, kDirectBf16[] = {2, 2, 1.4}, kMargin = 0.9;
  const int64_t k = weight[1], s = p.stride, r = k / s, phases = s * s;
  if (!on || weight[2] != k || k % s != 0 || r < 2 || r > 3) return false;
  const bool direct_bf16 = type == DType::bf16 && has_bf16_products();
  if ((direct_bf16 && library_isa() == Isa::amx) || library_has_more()) return false;
  const bool backwards = direction == Direction::grad_input;
  const int64_t N = x[0], rows = p.out_size(x[1], k), columns = p.out_size(x[2], k);
  const int64_t n = r + kTile - 1, points = n * n, widest = 32;
  const int64_t O = ceil_div(weight[0], widest) * widest, C = ceil_div(weight[3], widest) * widest;
  // Of one pass: sums over `in`, gives `out`, and there are `passes`.
  const int64_t in = backwards ? O : phases * C, out = backwards ? C : O;
  const int64_t passes = backwards ? phases : 1;
  const int64_t tiles = backwards ? Tiling(N, ceil_div(x[1], s), ceil_div(x[2], s)).count()
                                  : Tiling(N, rows, columns).count();
  // How often tiles are transformed: for every group of filters, or row and column of blocks.
  const int64_t group = in_groups(out / widest, points * in * widest * 4) * widest;
  const bool of_weight = direction == Direction::grad_weight;
  const int64_t again_in = ceil_div(out, of_weight ? kBlockChannels : group);
  const int64_t again_out = of_weight ? ceil_div(in, kBlockChannels) : 1;
  const auto real = [](int64_t value) { return static_cast<double>(value); };
  const double products = real(tiles) * real(in) * real(out);
  const double transformed =
      real(tiles) * real(in * again_in + out * again_out) + real(in) * real(out);
  const double ours = real(passes * points) * (products + kTransform * transformed);
  const double direct = real(N * rows * columns) * real(k * k) * real(weight[0] * weight[3]);
  return points * in * 4 * 8 <= kMostBlockBytes &&
         ours <= kMargin * direct / (direct_bf16 ? kDirectBf16[static_cast<int>(direction)] : 1);
}

}  // namespace versor::cpu::winograd
