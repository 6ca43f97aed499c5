// Convolution with fewer multiplications, called directly with the kernels for the widest vectors
// and with the portable ones: against the double reference, in f32 and bf16, with outputs between
// fences; equal bits for every number of threads; and the rounding errors of the points.
#include <cmath>

#include "tensor/cpu/matmul.h"
#include "tensor/cpu/winograd.h"
#include "tensor/cpu/winograd_matrices.h"
#include "tensor/ops.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using namespace cpu::winograd;

// Of any number of channels: which of these pay is another question.
bool can(const ConvCase& c) {
  const int64_t taps = c.kh / c.stride;
  return c.kh == c.kw && c.kh % c.stride == 0 && (taps == 2 || taps == 3);
}

std::vector<ConvCase> cases() {
  std::vector<ConvCase> all = conv_cases();
  for (const ConvCase& c : std::vector<ConvCase>{
           // name, N, H, W, I, O, kh, kw, stride, padding, bias, relu
           {"one tile", 1, 4, 4, 32, 32, 3, 3, 1, 1},
           {"many tiles, odd sizes and channels", 5, 13, 10, 40, 70, 3, 3, 1, 1, true, true},
           {"more tiles than are transformed at a time", 9, 16, 17, 18, 5, 3, 3, 1, 1, true},
           {"2x2", 3, 6, 9, 20, 36, 2, 2, 1, 0, true, true},
           {"6x6 stride 2", 2, 15, 12, 17, 20, 6, 6, 2, 2, true, false},
           {"6x6 stride 3", 2, 14, 19, 18, 9, 6, 6, 3, 1, true, true},
           {"4x4 stride 2, more padding than taps", 2, 5, 6, 8, 8, 4, 4, 2, 4},
           {"images smaller than the stride", 2, 2, 1, 8, 8, 6, 6, 3, 3},
           {"filters of more than one group", 1, 18, 14, 160, 176, 4, 4, 2, 1}})
    all.push_back(c);
  // The references are naive loops, and there are many combinations: no large batches.
  std::erase_if(all, [](const ConvCase& c) { return !can(c) || c.N > 20; });
  return all;
}

struct Images {
  ref::Array x, weight, bias_y, bias_x, dy;

  Images(const ConvCase& c, DType type, uint64_t seed) {
    ref::Random random(seed);
    const auto draw = [&](const Shape& shape) {
      const ref::Array values = random_array(random, shape);
      return type == DType::f32 ? values : rounded_to_bf16(values);
    };
    x = draw(c.input()), weight = draw(c.weight()), dy = draw(c.output());
    bias_y = random_array(random, {c.O}), bias_x = random_array(random, {c.I});
  }
};

// Fills the memory that the next calls will use for themselves with NaN, so that nothing is right
// because an earlier call left it there.
void spoil_scratch() {
  std::vector<Tensor> blocks;
  for (int64_t size = 1 << 10; size <= 1 << 20; size *= 2) blocks.push_back(ops::full({size}, NAN));
}

// A result with 1, 2 and 3 threads: written whole and within its fences, right, and of equal bits.
template <class Run>
void check_runs(const Shape& shape, DType type, const ref::Array& expected, const Run& run) {
  CHECK(same_bits_always([&] {
    spoil_scratch();
    Fenced y(shape, type);
    run(y.view);
    CHECK(y.intact());
    CHECK(error(ops::cast(y.view, DType::f32), expected) <=
          (type == DType::f32 ? kTolerance : kOneBf16Rounding));
    return bits_of(y.view);
  }));
}

// All three directions of a case.
void check_case(const ConvCase& c, DType type, const Kernels& kernels, uint64_t seed) {
  const Images images(c, type, seed);
  const bool wide = type == DType::f32;
  const auto fenced = [&](const ref::Array& a) { return Fenced(wide ? to_tensor(a) : to_bf16(a)); };
  const Fenced x = fenced(images.x), weight = fenced(images.weight), dy = fenced(images.dy);
  const Fenced bias_y(images.bias_y), bias_x(images.bias_x);
  for (bool bias : {false, true}) {
    const bool relu = !bias, residual = bias;
    CAPTURE(bias);
    const auto finish = [&](const ref::Array& a) { return relu ? ref::relu(a) : a; };
    ref::Array sum = ref::conv2d(images.x, images.weight, bias ? images.bias_y : ref::Array{},
                                 c.stride, c.padding, false);
    for (size_t i = 0; residual && i < sum.data.size(); ++i) sum.data[i] += images.dy.data[i];
    check_runs(c.output(), type, finish(sum), [&](Tensor& y) {
      conv2d(y, x.view, weight.view,
             {bias ? bias_y.view : Tensor(), relu, residual ? dy.view : Tensor()}, c.params(),
             kernels);
    });
    ref::Array dx =
        ref::conv2d_grad_input(images.dy, images.weight, images.x.shape, c.stride, c.padding);
    for (size_t i = 0; bias && i < dx.data.size(); ++i)
      dx.data[i] += images.bias_x.data[i % static_cast<size_t>(c.I)];
    check_runs(c.input(), type, finish(dx), [&](Tensor& y) {
      conv2d_grad_input(y, dy.view, weight.view, {bias ? bias_x.view : Tensor(), relu}, c.params(),
                        kernels);
    });
  }
  // The products of bf16 images are f32, so the bound is that of f32 in both.
  check_runs(c.weight(), DType::f32,
             ref::conv2d_grad_weight(images.x, images.dy, images.weight.shape, c.stride, c.padding),
             [&](Tensor& y) { conv2d_grad_weight(y, x.view, dy.view, c.params(), kernels); });
}

TEST_CASE("winograd: every convolution that it can do, in both types, with both kernels" *
          cpu_only()) {
  uint64_t seed = 700;
  for (const ConvCase& c : cases())
    for (DType type : {DType::f32, DType::bf16}) {
      CAPTURE(c.name);
      CAPTURE(str(type));
      check_case(c, type, best_kernels(), seed);
      check_case(c, type, portable_kernels(), seed++);
    }
}

TEST_CASE("winograd: a NaN is not lost in a ReLU, and stays in its tile" * cpu_only()) {
  for (const Kernels* kernels : {&best_kernels(), &portable_kernels()})
    for (DType type : {DType::f32, DType::bf16}) {
      const Tensor clean = ops::full({2, 8, 8, 32}, 1.f), weight = ops::full({32, 3, 3, 32}, 1.f);
      Tensor x = ops::clone(clean), y({2, 8, 8, 32}, type);
      x.rows(1, 2).data<float>()[0] = NAN;  // the first pixel of the second image
      conv2d(y, ops::cast(x, type), ops::cast(weight, type), {{}, true}, {1, 1}, *kernels);
      const std::vector<float> values = ops::cast(y, DType::f32).to_vector<float>();
      CHECK(std::isnan(values[8 * 8 * 32]));
      for (size_t i = 0; i < values.size(); ++i) {
        const size_t image = i / (8 * 8 * 32), row = i / (8 * 32) % 8, column = i / 32 % 8;
        const bool in_tile = image == 1 && row < 4 && column < 4;
        REQUIRE((in_tile || std::isfinite(values[i])));
      }
    }
}

TEST_CASE("winograd: no images" * cpu_only()) {
  Tensor none({0, 8, 8, 32}), dweight({32, 3, 3, 32});
  conv2d(none, none, dweight, {}, {1, 1});
  conv2d_grad_input(none, none, dweight, {}, {1, 1});
  conv2d_grad_weight(dweight, none, none, {1, 1});
  CHECK(dweight.to_vector<float>() == std::vector<float>(32 * 9 * 32));
}

TEST_CASE("winograd: which convolutions it takes" * cpu_only()) {
  const auto takes = [](const Shape& x, const Shape& weight, const Conv2dParams& params,
                        Direction direction = Direction::forward) {
    return suits(direction, x, DType::f32, weight, params);
  };
  const bool narrower =
      &best_kernels() == &portable_kernels() && cpu::library_isa() >= cpu::Isa::avx512;
  if (narrower || !takes({128, 8, 8, 256}, {256, 3, 3, 256}, {1, 1})) {
    CHECK_FALSE(takes({128, 8, 8, 256}, {256, 3, 3, 256}, {1, 1}));
    MESSAGE("not run: VERSOR_WINOGRAD=0, VERSOR_AVX512=0, or no vectors with FMA");
    return;
  }
  for (Direction direction : {Direction::forward, Direction::grad_input, Direction::grad_weight}) {
    CHECK(takes({128, 8, 8, 256}, {256, 3, 3, 256}, {1, 1}, direction));
    CHECK(takes({128, 16, 16, 128}, {256, 4, 4, 128}, {2, 1}, direction));
    CHECK(takes({128, 8, 8, 64}, {64, 3, 3, 64}, {1, 1}, direction));
  }
  CHECK(takes({128, 6, 6, 256}, {256, 3, 3, 256}, {1, 1}));          // four tiles, partly empty
  CHECK_FALSE(takes({128, 2, 2, 256}, {256, 3, 3, 256}, {1, 1}));    // one tile, mostly empty
  CHECK_FALSE(takes({1, 8, 8, 512}, {512, 3, 3, 512}, {1, 1}));      // filters for four tiles
  CHECK_FALSE(takes({128, 32, 32, 3}, {128, 4, 4, 3}, {2, 1}));      // transforms cost more
  CHECK_FALSE(takes({128, 8, 8, 256}, {256, 1, 1, 256}, {1, 0}));    // nothing to save
  CHECK_FALSE(takes({128, 8, 8, 256}, {256, 5, 5, 256}, {1, 2}));    // no filter for 5 taps
  CHECK_FALSE(takes({128, 8, 8, 256}, {256, 3, 5, 256}, {1, 2}));    // not square
  CHECK_FALSE(takes({128, 16, 16, 256}, {256, 3, 3, 256}, {2, 1}));  // phases of unequal size
  // y is one tile, but dx, which is larger, four
  CHECK(takes({128, 5, 5, 256}, {256, 3, 3, 256}, {1, 0}));
  CHECK_FALSE(takes({128, 5, 5, 256}, {256, 3, 3, 256}, {1, 0}, Direction::grad_input));
}

// y = M x M^T in f32.
template <class M>
std::vector<float> sandwich(const M& m, const std::vector<float>& x) {
  const auto multiplied = [&](const std::vector<float>& from, int others, bool by_rows) {
    std::vector<float> to(static_cast<size_t>(M::rows * others));
    for (int i = 0; i < M::rows; ++i)
      for (int other = 0; other < others; ++other) {
        float sum = 0;
        for (int j = 0; j < M::columns; ++j)
          sum = std::fma(static_cast<float>(m.at[i][j]),
                         from[by_rows ? j * others + other : other * M::columns + j], sum);
        to[by_rows ? i * others + other : other * M::rows + i] = sum;
      }
    return to;
  };
  return multiplied(multiplied(x, M::columns, true), M::rows, false);
}

// ||y - exact|| / ||exact|| of tiles of 4x4 sums over 256 channels, in f32.
template <int r>
double error_of_points(const std::array<double, r + 2>& points) {
  constexpr int n = r + 3, channels = 256;
  const auto f = cook_toom<4, r>(points);
  const auto outputs = f.outputs.transposed();
  ref::Random random(5);
  double errors = 0, squares = 0;
  for (int tile = 0; tile < 200; ++tile) {
    std::vector<float> sums(n * n);
    std::vector<double> exact(16);
    for (int c = 0; c < channels; ++c) {
      std::vector<float> x(n * n), w(r * r);
      for (float& value : x) value = static_cast<float>(random.uniform());
      for (float& value : w) value = static_cast<float>(random.uniform());
      for (int t = 0; t < 16 * r * r; ++t) {
        const int i = t / 4 % 4, j = t % 4, a = t / 16 / r, b = t / 16 % r;
        exact[i * 4 + j] += double{x[(i + a) * n + j + b]} * w[a * r + b];
      }
      const auto v = sandwich(f.input, x), u = sandwich(f.filter, w);
      for (int i = 0; i < n * n; ++i) sums[i] = std::fma(v[i], u[i], sums[i]);
    }
    const auto y = sandwich(outputs, sums);
    for (int i = 0; i < 16; ++i) {
      errors += (y[i] - exact[i]) * (y[i] - exact[i]);
      squares += exact[i] * exact[i];
    }
  }
  return std::sqrt(errors / squares);
}

TEST_CASE("winograd: rounding errors of the points, the table of WINOGRAD.md" * cpu_only()) {
  const double root = kRoot2, half = 1 / kRoot2;
  const double chosen = error_of_points<3>({0, half, -half, root, -root});
  const double textbook = error_of_points<3>({0, 1, -1, 2, -2});
  MESSAGE("F(4,3): " << chosen << ", 0 1 -1 2 -2 " << textbook << ", 0 1 -1 1/2 -1/2 "
                     << error_of_points<3>({0, 1, -1, 0.5, -0.5}) << ", 0 1 -1 1/2 -2 "
                     << error_of_points<3>({0, 1, -1, 0.5, -2}));
  CHECK(chosen < 2e-6);
  CHECK(textbook > 1.5 * chosen);
  const double two_taps = error_of_points<2>({root / 4, -root / 4, root, -root});
  const double simple = error_of_points<2>({0, 1, -1, 2});
  MESSAGE("F(4,2): " << two_taps << ", 0 1 -1 2 " << simple << ", 1/2 -1/2 2 -2 "
                     << error_of_points<2>({0.5, -0.5, 2, -2}));
  CHECK(two_taps < 2e-6);
  CHECK(simple > 1.5 * two_taps);
  // The constants that the kernels use are these.
  CHECK(filtering<3>().input.at == cook_toom<4, 3>({0, half, -half, root, -root}).input.at);
  CHECK(filtering<2>().filter.at == cook_toom<4, 2>({root / 4, -root / 4, root, -root}).filter.at);
}

TEST_CASE("winograd: F(2,3) is what WINOGRAD.md derives by hand" * cpu_only()) {
  const auto f = cook_toom<2, 3>({0, 1, -1});
  for (const auto& [d, g] :
       {std::pair<std::array<double, 4>, std::array<double, 3>>{{1, 2, 3, 4}, {5, 7, 11}},
        {{-2, 0.5, 8, 1}, {3, -1, 0.25}}}) {
    std::array<double, 2> y{};
    for (int i = 0; i < 4; ++i) {
      double v = 0, u = 0;
      for (int j = 0; j < 4; ++j) v += f.input.at[i][j] * d[j];
      for (int j = 0; j < 3; ++j) u += f.filter.at[i][j] * g[j];
      for (int j = 0; j < 2; ++j) y[j] += f.outputs.at[i][j] * u * v;
    }
    CHECK(y[0] == doctest::Approx(d[0] * g[0] + d[1] * g[1] + d[2] * g[2]));
    CHECK(y[1] == doctest::Approx(d[1] * g[0] + d[2] * g[1] + d[3] * g[2]));
  }
}
}  // namespace
}  // namespace versor::testing
