// Speed of the nearest-code search: see nearest_benchmark.h.
#include "experiments/bench/nearest_benchmark.h"

#include <algorithm>

#include "experiments/bench/step_benchmark.h"
#include "experiments/report/statistics.h"
#include "tensor/cpu/matmul.h"
#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {
namespace {

constexpr int64_t kMostScores = int64_t{1} << 26;  // of a product at a time: 256 MiB

}  // namespace

double NearestMeasurement::flops() const {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(codes) * static_cast<double>(latent);
}

NearestMeasurement measure_nearest(int64_t rows, int64_t codes, int64_t latent, Device device,
                                   int64_t repeats) {
  const Tensor e = ops::uniform({rows, latent}, Rng(5), -1.f, 1.f, device);
  const Tensor c = ops::uniform({codes, latent}, Rng(6), -1.f, 1.f, device);
  // [R,K] may not fit into memory: the product of some rows is scaled to all.
  const int64_t part = std::clamp<int64_t>(kMostScores / codes, 1, rows);
  const double share = static_cast<double>(rows) / static_cast<double>(part);
  const bool bf16 = device.type == DeviceType::cpu && cpu::has_bf16_products();
  const Tensor some = e.rows(0, part);
  const Tensor half_e = ops::cast(some, DType::bf16), half_c = ops::cast(c, DType::bf16);
  Tensor scores({part, codes}, DType::f32, device);
  Backend& backend = backend_for(device);
  const auto timed = [&](const auto& work) {
    return seconds_of([&] {
      work();
      backend.synchronize();
    });
  };
  const auto search = [&] { vq::nearest_code(e, c); };
  const auto product = [&] { backend.matmul(scores, some, c, false, true, {}); };
  const auto bf16_product = [&] { cpu::matmul_bf16(scores, half_e, half_c); };

  NearestMeasurement m{rows, codes, latent, 0, 0, 0, 0};
  const size_t before = backend.pool().current_bytes();
  backend.pool().reset_peak();
  search();
  m.peak_bytes = backend.pool().peak_bytes() - before;
  product();
  if (bf16) bf16_product();
  std::vector<double> searches, products, bf16_products;
  for (int64_t i = 0; i < repeats; ++i) {
    searches.push_back(timed(search));
    products.push_back(share * timed(product));
    if (bf16) bf16_products.push_back(share * timed(bf16_product));
  }
  m.seconds = median(searches);
  m.product_seconds = median(products);
  if (bf16) m.bf16_product_seconds = median(bf16_products);
  return m;
}

std::vector<std::pair<int64_t, int64_t>> nearest_sizes() {
  std::vector<std::pair<int64_t, int64_t>> sizes;
  for (int64_t latent : {4, 64, 256})
    for (int64_t codes : {256, 1024, 4096, 16384, 65536}) sizes.emplace_back(codes, latent);
  return sizes;
}

}  // namespace versor
