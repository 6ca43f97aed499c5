// Layers: names, shapes and order of their parameters, initial values, and what they compute,
// forward and backward, against compositions of the double reference. Read next: test_adam.cpp.
#include "nn/init.h"
#include "nn/layers.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using Names = std::vector<std::string>;
using ref::Array;
using ref::Random;

// Uniform on (-b, b) with b = 1/sqrt(fan_in): inside, reaching close to the ends, variance b^2/3.
void check_uniform(const Tensor& values, int64_t fan_in) {
  const Array x = to_array(values);
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  const auto n = static_cast<double>(x.count());
  double largest = 0, sum = 0, squares = 0;
  for (double v : x.data) {
    largest = std::max(largest, std::abs(v));
    sum += v;
    squares += v * v;
  }
  CHECK(largest <= bound * (1 + 1e-7));
  CHECK(largest >= bound * (1 - 20 / n));
  const double sigmas = 4 / std::sqrt(n);  // four standard deviations of either statistic
  CHECK(std::abs(sum / n) <= sigmas * bound / std::sqrt(3.0));
  CHECK(std::abs(squares / n / (bound * bound / 3) - 1) <= sigmas * std::sqrt(0.8));
}

Array value_of(const Module& module, const std::string& name) {
  return to_array(state_of(module, name).value());
}

}  // namespace

TEST_CASE("layers: names and shapes of convolutions") {
  const Conv2d conv({.in = 3, .out = 5, .kernel = 4}, Rng(1), test_device());
  CHECK(names_of(conv.named_parameters()) == Names{"weight", "bias"});
  CHECK(conv.named_buffers().empty());
  CHECK(state_of(conv, "weight").shape() == Shape{5, 4, 4, 3});
  CHECK(state_of(conv, "bias").shape() == Shape{5});
  CHECK(conv.parameter_count() == 5 * 16 * 3 + 5);

  const ConvTranspose2d transposed({.in = 3, .out = 5, .kernel = 2}, Rng(1), test_device());
  CHECK(names_of(transposed.named_parameters()) == Names{"weight", "bias"});
  CHECK(state_of(transposed, "weight").shape() == Shape{3, 2, 2, 5});
  CHECK(state_of(transposed, "bias").shape() == Shape{5});
  for (const Variable& p : transposed.parameters()) CHECK(p.requires_grad());
}

TEST_CASE("layers: residual blocks have a projection only where the channels differ") {
  const ResidualBlock same(4, 4, Rng(1), test_device()), wider(4, 6, Rng(1), test_device());
  CHECK(names_of(same.named_parameters()) ==
        Names{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"});
  CHECK(names_of(wider.named_parameters()) == Names{"conv1.weight", "conv1.bias", "conv2.weight",
                                                    "conv2.bias", "proj.weight", "proj.bias"});
  CHECK(state_of(wider, "conv1.weight").shape() == Shape{6, 3, 3, 4});
  CHECK(state_of(wider, "conv2.weight").shape() == Shape{6, 3, 3, 6});
  CHECK(state_of(wider, "proj.weight").shape() == Shape{6, 1, 1, 4});
}

TEST_CASE("layers: a sequence keeps the names and the order it was given") {
  Sequential layers;
  layers.add<Conv2d>("7", ConvOptions{2, 3, 1}, Rng(1), test_device());
  layers.add<Conv2d>("3", ConvOptions{3, 1, 1}, Rng(2), test_device());
  CHECK(names_of(layers.named_parameters()) == Names{"7.weight", "7.bias", "3.weight", "3.bias"});
  Random random(20);
  const Array x = rounded(random.array({1, 2, 2, 2}));
  const Array hidden =
      ref::conv2d(x, value_of(layers, "7.weight"), value_of(layers, "7.bias"), 1, 0);
  const Array y =
      ref::conv2d(hidden, value_of(layers, "3.weight"), value_of(layers, "3.bias"), 1, 0);
  CHECK(error(layers(Variable(to_tensor(x))).value(), y) <= kTolerance);
}

TEST_CASE("layers: initial values are uniform within 1/sqrt(fan_in)") {
  CHECK(fan_in({128, 4, 4, 3}) == 48);
  CHECK(fan_in({7, 5}) == 5);
  CHECK_THROWS_AS(fan_in({7}), Error);
  for (uint64_t seed : {1, 2, 3}) {
    const Conv2d conv({.in = 40, .out = 300, .kernel = 3}, Rng(seed), test_device());
    check_uniform(state_of(conv, "weight").value(), 40 * 9);
    check_uniform(state_of(conv, "bias").value(), 40 * 9);
    // A transposed convolution counts its outputs, as PyTorch does.
    const ConvTranspose2d transposed({.in = 40, .out = 300, .kernel = 2}, Rng(seed), test_device());
    check_uniform(state_of(transposed, "weight").value(), 300 * 4);
    check_uniform(state_of(transposed, "bias").value(), 300 * 4);
  }
}

TEST_CASE("layers: seeds and layers draw different values, the same seed the same ones") {
  const ResidualBlock a(8, 8, Rng(1), test_device()), again(8, 8, Rng(1), test_device()),
      b(8, 8, Rng(2), test_device());
  CHECK(state_bits(a) == state_bits(again));
  for (const auto& [name, bits] : state_bits(a)) CHECK((state_bits(b).at(name) != bits));
  CHECK((state_bits(a).at("conv1.weight") != state_bits(a).at("conv2.weight")));
  CHECK((state_bits(a).at("conv1.bias") != state_bits(a).at("conv2.bias")));
  // The bias does not repeat the first weights.
  const Array weight = value_of(a, "conv1.weight"), bias = value_of(a, "conv1.bias");
  CHECK(weight[0] != bias[0]);
  CHECK(weight[1] != bias[1]);
}

TEST_CASE("layers: convolutions compute what the reference computes, options included") {
  Random random(21);
  for (Activation activation : {Activation::none, Activation::relu}) {
    const bool relu = activation == Activation::relu;
    const ConvOptions options{3, 5, 4, /*stride=*/2, /*padding=*/1, activation};
    const Conv2d conv(options, Rng(3), test_device());
    const Array x = rounded(random.array({2, 6, 8, 3}));
    const Array y = ref::conv2d(x, value_of(conv, "weight"), value_of(conv, "bias"), 2, 1, relu);
    CHECK(error(conv(Variable(to_tensor(x))).value(), y) <= kTolerance);

    const ConvTranspose2d transposed(options, Rng(4), test_device());
    Array z = ref::conv_transpose2d(x, value_of(transposed, "weight"), value_of(transposed, "bias"),
                                    2, 1);
    if (relu) z = ref::relu(z);
    CHECK(z.shape == ref::Shape{2, 12, 16, 5});
    CHECK(error(transposed(Variable(to_tensor(x))).value(), z) <= kTolerance);
  }
}

TEST_CASE("layers: linear, its parameters, initial values, forward and backward") {
  const Linear wide(300, 40, Rng(1), test_device());
  CHECK(names_of(wide.named_parameters()) == Names{"weight", "bias"});
  CHECK(state_of(wide, "weight").shape() == Shape{40, 300});
  CHECK(state_of(wide, "bias").shape() == Shape{40});
  check_uniform(state_of(wide, "weight").value(), 300);
  CHECK(value_of(wide, "weight")[0] != value_of(wide, "bias")[0]);

  Random random(23);
  const Linear layer(4, 3, Rng(2), test_device());
  const Array x = rounded(random.array({5, 4})), dy = rounded(random.array({5, 3}));
  const Array weight = value_of(layer, "weight"), bias = value_of(layer, "bias");
  Array y = ref::matmul(x, weight, false, true), dbias = ref::zeros({3});
  for (int64_t r = 0; r < 5; ++r)
    for (int64_t c = 0; c < 3; ++c) {
      y.at(r, c) += bias[c];
      dbias[c] += dy.at(r, c);
    }
  const Variable input(to_tensor(x), true);
  const Variable output = layer(input);
  CHECK(error(output.value(), y) <= kTolerance);
  const Variable of_sequences = layer(reshape(input, {1, 5, 4}));
  CHECK(of_sequences.shape() == Shape{1, 5, 3});
  CHECK((bits_of(of_sequences.value()) == bits_of(output.value())));
  backward_with(output, to_tensor(dy));
  CHECK(error(input.grad(), ref::matmul(dy, weight, false, false)) <= kTolerance);
  CHECK(error(state_of(layer, "weight").grad(), ref::matmul(dy, x, true, false)) <= kTolerance);
  CHECK(error(state_of(layer, "bias").grad(), dbias) <= kTolerance);
}

TEST_CASE("layers: residual blocks, forward and backward, with and without projection") {
  Random random(22);
  for (int64_t out : {4, 6}) {
    CAPTURE(out);
    const ResidualBlock block(4, out, Rng(5), test_device());
    const Array x = rounded(random.array({2, 5, 3, 4})), dy = rounded(random.array({2, 5, 3, out}));
    const auto p = [&](const std::string& name) { return value_of(block, name); };
    const Array w1 = p("conv1.weight"), w2 = p("conv2.weight");
    const Array h = ref::conv2d(x, w1, p("conv1.bias"), 1, 1, /*with_relu=*/true);
    const Array deep = ref::conv2d(h, w2, p("conv2.bias"), 1, 1);
    const bool projects = out != 4;
    const Array shortcut = projects ? ref::conv2d(x, p("proj.weight"), p("proj.bias"), 1, 0) : x;
    const Array y = ref::add_relu(deep, shortcut);

    const Variable input(to_tensor(x), true);
    const Variable output = block(input);
    CHECK(error(output.value(), y) <= kTolerance);
    backward_with(output, to_tensor(dy));

    const Array dsum = ref::relu_grad(dy, y);
    const Array dh = ref::relu_grad(ref::conv2d_grad_input(dsum, w2, h.shape, 1, 1), h);
    Array dx = ref::conv2d_grad_input(dh, w1, x.shape, 1, 1);
    dx = ref::add(dx,
                  projects ? ref::conv2d_grad_input(dsum, p("proj.weight"), x.shape, 1, 0) : dsum);
    CHECK(error(input.grad(), dx) <= kTolerance);
    const auto grad = [&](const std::string& name) { return state_of(block, name).grad(); };
    CHECK(error(grad("conv1.weight"), ref::conv2d_grad_weight(x, dh, w1.shape, 1, 1)) <=
          kTolerance);
    CHECK(error(grad("conv1.bias"), ref::conv2d_grad_bias(dh)) <= kTolerance);
    CHECK(error(grad("conv2.weight"), ref::conv2d_grad_weight(h, dsum, w2.shape, 1, 1)) <=
          kTolerance);
    CHECK(error(grad("conv2.bias"), ref::conv2d_grad_bias(dsum)) <= kTolerance);
    if (!projects) continue;
    CHECK(error(grad("proj.weight"), ref::conv2d_grad_weight(x, dsum, {out, 1, 1, 4}, 1, 0)) <=
          kTolerance);
    CHECK(error(grad("proj.bias"), ref::conv2d_grad_bias(dsum)) <= kTolerance);
  }
}

}  // namespace versor::testing
