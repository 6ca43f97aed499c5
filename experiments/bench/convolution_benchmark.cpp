// Convolutions one by one: see convolution_benchmark.h.
#include "experiments/bench/convolution_benchmark.h"

#include <cmath>
#include <functional>

#include "experiments/report/statistics.h"
#include "tensor/cpu/matmul.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr uint64_t kSamples = 2048;  // elements whose exact value is computed

// x, weight and dy of one convolution.
struct Operands {
  StepConvolution conv;
  Tensor x, weight, dy;

  Operands(const StepConvolution& c, DType type) : conv(c) {
    const auto noise = [&](uint64_t number, const Shape& shape) {
      return ops::cast(ops::uniform(shape, Rng(7).split(number), -1.f, 1.f), type);
    };
    x = noise(1, {c.N, c.H, c.W, c.I});
    weight = noise(2, {c.O, c.k, c.k, c.I});
    dy = noise(3, {c.N, c.out_h(), c.out_w(), c.O});
  }
  Conv2dParams params() const { return {conv.stride, conv.padding}; }

  Tensor result() const {
    if (conv.pass == Pass::grad_weight) return Tensor(weight.shape(), DType::f32);
    return Tensor(conv.pass == Pass::forward ? dy.shape() : x.shape(), x.dtype());
  }
  void run(Tensor& y) const {
    Backend& backend = y.backend();
    if (conv.pass == Pass::forward) return backend.conv2d(y, x, weight, {}, params());
    if (conv.pass == Pass::grad_input)
      return backend.conv2d_grad_input(y, dy, weight, {}, params());
    backend.conv2d_grad_weight(y, x, dy, params());
  }
  void run_directly([[maybe_unused]] Tensor& y) const {
#ifdef VERSOR_ONEDNN
    using namespace cpu;
    if (conv.pass == Pass::forward) return onednn::conv2d(y, x, weight, {}, params());
    if (conv.pass == Pass::grad_input) return onednn::conv2d_grad_input(y, dy, weight, params());
    onednn::conv2d_grad_weight(y, x, dy, params());
#endif
  }
};

// The operands as numbers, and exact values of single elements of the results.
struct Exact {
  StepConvolution c;
  std::vector<float> x, weight, dy;

  explicit Exact(const Operands& o)
      : c(o.conv), x(numbers(o.x)), weight(numbers(o.weight)), dy(numbers(o.dy)) {}

  static std::vector<float> numbers(const Tensor& t) {
    return ops::cast(t, DType::f32).to_vector<float>();
  }

  // The pixel (n, h * stride + i - padding, w * stride + j - padding) of x, or -1 outside.
  int64_t pixel(int64_t n, int64_t h, int64_t w, int64_t i, int64_t j) const {
    const int64_t in_h = h * c.stride + i - c.padding, in_w = w * c.stride + j - c.padding;
    const bool inside = in_h >= 0 && in_h < c.H && in_w >= 0 && in_w < c.W;
    return inside ? (n * c.H + in_h) * c.W + in_w : -1;
  }

  // Element `at` of the result. Of an input gradient only those windows are searched that can see
  // the pixel.
  double operator()(int64_t at) const {
    double sum = 0;
    const int64_t taps = c.k * c.k, oh = c.out_h(), ow = c.out_w();
    if (c.pass == Pass::grad_weight) {
      const int64_t o = at / (taps * c.I), t = at / c.I % taps, ch = at % c.I;
      for (int64_t y = 0; y < c.N * oh * ow; ++y)
        if (const int64_t p = pixel(y / (oh * ow), y / ow % oh, y % ow, t / c.k, t % c.k); p >= 0)
          sum += double{dy[y * c.O + o]} * x[p * c.I + ch];
    } else if (c.pass == Pass::forward) {
      const int64_t y = at / c.O, o = at % c.O;
      for (int64_t t = 0; t < taps; ++t)
        if (const int64_t p = pixel(y / (oh * ow), y / ow % oh, y % ow, t / c.k, t % c.k); p >= 0)
          for (int64_t ch = 0; ch < c.I; ++ch)
            sum += double{x[p * c.I + ch]} * weight[(o * taps + t) * c.I + ch];
    } else {
      const int64_t p = at / c.I, ch = at % c.I, n = p / (c.H * c.W);
      for (int64_t y = 0; y < oh * ow; ++y)
        for (int64_t t = 0; t < taps; ++t)
          if (pixel(n, y / ow, y % ow, t / c.k, t % c.k) == p)
            for (int64_t o = 0; o < c.O; ++o)
              sum += double{dy[(n * oh * ow + y) * c.O + o]} * weight[(o * taps + t) * c.I + ch];
    }
    return sum;
  }
};

// The most memory that work() holds for itself, from the pool.
size_t scratch_of(const std::function<void()>& work) {
  MemoryPool& pool = backend_for({}).pool();
  const size_t before = pool.current_bytes();
  pool.reset_peak();
  work();
  return pool.peak_bytes() - before;
}

// ||a - exact|| / ||exact|| over some elements.
double error_of(const std::vector<float>& a, const std::vector<int64_t>& elements,
                const std::vector<double>& exact) {
  double errors = 0, squares = 0;
  for (size_t i = 0; i < elements.size(); ++i) {
    errors += std::pow(a[elements[i]] - exact[i], 2);
    squares += std::pow(exact[i], 2);
  }
  return std::sqrt(errors / squares);
}

}  // namespace

ConvolutionMeasurement measure_convolution(const StepConvolution& conv, DType type,
                                           int64_t repeats) {
  check(cpu::use_onednn(), "bench", "without oneDNN there are no direct convolutions to measure");
  check(type == DType::f32 || cpu::has_bf16_products(), "bench",
        "this CPU has no bf16 instructions (AVX-512 BF16, AMX)");
  const Operands operands(conv, type);
  Tensor ours = operands.result(), direct = operands.result();
  const size_t scratch = scratch_of([&] { operands.run(ours); });
  const size_t direct_scratch = scratch_of([&] { operands.run_directly(direct); });
  std::vector<double> times, direct_times;
  for (int64_t i = 0; i < repeats; ++i) {
    times.push_back(seconds_of([&] { operands.run(ours); }));
    direct_times.push_back(seconds_of([&] { operands.run_directly(direct); }));
  }
  const Exact exact(operands);
  std::vector<int64_t> elements;
  std::vector<double> values;
  for (uint64_t i = 0; i < kSamples; ++i) {
    elements.push_back(static_cast<int64_t>(Rng(8).uniform(i) * static_cast<float>(ours.numel())) %
                       ours.numel());
    values.push_back(exact(elements.back()));
  }
  return {conv,
          median(times),
          median(direct_times),
          error_of(Exact::numbers(ours), elements, values),
          error_of(Exact::numbers(direct), elements, values),
          scratch,
          direct_scratch};
}

}  // namespace versor
