// Convolution and matrix product, called on the backend itself with inputs and outputs between
// fences; and the plain reference of tensor/cpu/matmul.h, which the backend uses without oneDNN.
#include <cmath>

#include "tensor/cpu/matmul.h"
#include "tensor/ops.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// One convolution in all three directions, on random values.
struct Convolution {
  const ConvCase& c;
  ref::Array x, weight, bias, dy;

  Convolution(const ConvCase& c_, uint64_t seed) : c(c_) {
    ref::Random random(seed);
    x = random_array(random, c.input());
    weight = random_array(random, c.weight());
    bias = random_array(random, {c.O});
    dy = random_array(random, c.output());
  }
  ref::Array y(bool with_bias, bool relu) const {
    return ref::conv2d(x, weight, with_bias ? bias : ref::Array{}, c.stride, c.padding, relu);
  }
  ref::Array dx() const { return ref::conv2d_grad_input(dy, weight, x.shape, c.stride, c.padding); }
  ref::Array dweight() const {
    return ref::conv2d_grad_weight(x, dy, weight.shape, c.stride, c.padding);
  }
};

TEST_CASE("conv: the three directions, outputs between fences") {
  Backend& backend = backend_for(test_device());
  uint64_t seed = 100;
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.name);
    const Convolution conv(c, seed++);
    const Fenced x(conv.x), weight(conv.weight), bias(conv.bias), dy(conv.dy);
    for (bool with_bias : {false, true})
      for (bool relu : {false, true}) {
        Fenced y(c.output());
        backend.conv2d(y.view, x.view, weight.view, {with_bias ? bias.view : Tensor(), relu},
                       c.params());
        check_output(y, conv.y(with_bias, relu));
      }
    Fenced dx(c.input()), dweight(c.weight());
    backend.conv2d_grad_input(dx.view, dy.view, weight.view, {}, c.params());
    check_output(dx, conv.dx());
    backend.conv2d_grad_weight(dweight.view, x.view, dy.view, c.params());
    check_output(dweight, conv.dweight());
  }
}

TEST_CASE("conv: grad_input with bias and ReLU, as a transposed convolution uses it") {
  Backend& backend = backend_for(test_device());
  uint64_t seed = 200;
  for (const ConvCase& c : conv_transpose_cases()) {
    CAPTURE(c.name);
    ref::Random random(seed++);
    const ref::Array x = random_array(random, c.input());
    const ref::Array weight = random_array(random, c.transposed_weight());
    const ref::Array bias = random_array(random, {c.O});
    const Fenced in(x), in_weight(weight), in_bias(bias);
    for (bool with_bias : {false, true})
      for (bool relu : {false, true}) {
        const ref::Array linear =
            ref::conv_transpose2d(x, weight, with_bias ? bias : ref::Array{}, c.stride, c.padding);
        Fenced y(to_shape(linear.shape));
        backend.conv2d_grad_input(y.view, in.view, in_weight.view,
                                  {with_bias ? in_bias.view : Tensor(), relu}, c.params());
        check_output(y, relu ? ref::relu(linear) : linear);
      }
  }
}

// Of -1, 0 and 1, so that every order of the sums is exact.
TEST_CASE("conv: a weight gradient over more positions than a GPU has slices for") {
  const ConvCase c{"", 1, 182, 183, 1, 2, 1, 1, 1, 0};
  Convolution conv(c, 400);
  for (ref::Array* values : {&conv.x, &conv.dy})
    for (double& value : values->data) value = std::round(1.4 * value);
  Fenced dweight(c.weight());
  backend_for(test_device())
      .conv2d_grad_weight(dweight.view, to_tensor(conv.x), to_tensor(conv.dy), c.params());
  check_output(dweight, conv.dweight(), 0);
}

struct Product {
  int64_t M, L, N;
};
const Product kProducts[] = {{1, 1, 1},   {5, 3, 2},    {7, 13, 17},     {6, 16, 16},
                             {97, 5, 33}, {3, 300, 20}, {100, 257, 260}, {64, 256, 128}};

// Calls body(a, b, transpose_a, transpose_b) with op(a) [M,L], op(b) [L,N] for all sizes.
template <class Body>
void for_each_product(const Body& body) {
  ref::Random random(51);
  for (auto [M, L, N] : kProducts)
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        CAPTURE(M);
        CAPTURE(L);
        CAPTURE(N);
        CAPTURE(ta);
        CAPTURE(tb);
        body(random_array(random, ta ? Shape{L, M} : Shape{M, L}),
             random_array(random, tb ? Shape{N, L} : Shape{L, N}), ta, tb);
      }
}

ref::Array product_with_bias(const ref::Array& a, const ref::Array& b, bool ta, bool tb,
                             const ref::Array& bias) {
  return ref::add_to_rows(ref::matmul(a, b, ta, tb), bias);
}

TEST_CASE("matmul: every transposition, with and without bias, outputs between fences") {
  Backend& backend = backend_for(test_device());
  ref::Random random(52);
  for_each_product([&](const ref::Array& a, const ref::Array& b, bool ta, bool tb) {
    const int64_t M = a.dim(ta ? 1 : 0), N = b.dim(tb ? 0 : 1);
    const ref::Array bias = random_array(random, {N});
    const Fenced in_a(a), in_b(b), in_bias(bias);
    Fenced y({M, N}), y_with_bias({M, N});
    backend.matmul(y.view, in_a.view, in_b.view, ta, tb, {});
    check_output(y, ref::matmul(a, b, ta, tb));
    backend.matmul(y_with_bias.view, in_a.view, in_b.view, ta, tb, in_bias.view);
    check_output(y_with_bias, product_with_bias(a, b, ta, tb, bias));
  });
}

TEST_CASE("matmul: an empty inner size gives zero, or the bias") {
  Backend& backend = backend_for(test_device());
  Fenced y({3, 2}), y_with_bias({3, 2});
  backend.matmul(y.view, empty({3, 0}), empty({0, 2}), false, false, {});
  check_output(y, ref::zeros({3, 2}));
  backend.matmul(y_with_bias.view, empty({3, 0}), empty({0, 2}), false, false,
                 to_tensor({{2}, {1, -2}}));
  check_output(y_with_bias, {{3, 2}, {1, -2, 1, -2, 1, -2}});
}

// Products of bf16 numbers are exact in f32, so that only the sum and its rounding differ.
TEST_CASE("matmul: many matrices, and bf16, in every transposition, outputs between fences") {
  Backend& backend = backend_for(test_device());
  ref::Random random(53);
  for_each_product([&](const ref::Array& a, const ref::Array& b, bool ta, bool tb) {
    const int64_t M = a.dim(ta ? 1 : 0), N = b.dim(tb ? 0 : 1);
    const auto three_of = [](const ref::Array& matrix) {
      ref::Array all = ref::zeros({3, matrix.dim(0), matrix.dim(1)});
      for (int64_t i = 0; i < all.count(); ++i)
        all[i] = matrix[i % matrix.count()] * static_cast<double>(1 + i / matrix.count());
      return all;
    };
    const ref::Array y = ref::matmul(a, b, ta, tb);
    ref::Array expected = three_of(y);  // of factors times 1, 2 and 3: times 1, 4 and 9
    for (int64_t i = 0; i < expected.count(); ++i)
      expected[i] *= static_cast<double>(1 + i / y.count());
    const Fenced in_a(three_of(a)), in_b(three_of(b));
    Fenced out({3, M, N});
    backend.matmul(out.view, in_a.view, in_b.view, ta, tb, {});
    check_output(out, expected);

    const ref::Array half_a = rounded_to_bf16(a), half_b = rounded_to_bf16(b);
    const Fenced in_half_a(to_bf16(half_a)), in_half_b(to_bf16(half_b));
    Fenced half({M, N}, DType::bf16);
    backend.matmul(half.view, in_half_a.view, in_half_b.view, ta, tb, {});
    check_output(half, ref::matmul(half_a, half_b, ta, tb), kOneBf16Rounding);
    const Tensor all_a = to_bf16(rounded_to_bf16(three_of(half_a))),
                 all_b = to_bf16(rounded_to_bf16(three_of(half_b)));
    const Tensor all = ops::matmul(all_a, all_b, ta, tb);
    CHECK(all.shape() == Shape{3, M, N});
    CHECK(error(all, to_array(ops::matmul(ops::cast(all_a, DType::f32),
                                          ops::cast(all_b, DType::f32), ta, tb))) <=
          kOneBf16Rounding);
    const ref::Array bias = random_array(random, {N});
    Fenced with_bias({M, N}, DType::bf16);
    backend.matmul(with_bias.view, in_half_a.view, in_half_b.view, ta, tb, to_tensor(bias));
    check_output(with_bias, product_with_bias(half_a, half_b, ta, tb, bias), 2 * kOneBf16Rounding);
  });
  Tensor none = empty({0, 3, 2});
  backend.matmul(none, empty({0, 3, 4}), empty({0, 4, 2}), false, false, {});
  Fenced zero({2, 3, 2});
  backend.matmul(zero.view, empty({2, 3, 0}), empty({2, 0, 2}), false, false, {});
  check_output(zero, ref::zeros({2, 3, 2}));
}

TEST_CASE("conv: the plain reference agrees with the double reference" * cpu_only()) {
  uint64_t seed = 300;
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.name);
    const Convolution conv(c, seed++);
    const Fenced x(conv.x), weight(conv.weight), bias(conv.bias), dy(conv.dy);
    Fenced y(c.output()), dx(c.input()), dweight(c.weight());
    cpu::reference::conv2d(y.view, x.view, weight.view, {bias.view, true}, c.params());
    check_output(y, conv.y(true, true));
    cpu::reference::conv2d_grad_input(dx.view, dy.view, weight.view, c.params());
    check_output(dx, conv.dx());
    cpu::reference::conv2d_grad_weight(dweight.view, x.view, dy.view, c.params());
    check_output(dweight, conv.dweight());
  }
}

TEST_CASE("matmul: the plain reference agrees with the double reference" * cpu_only()) {
  for_each_product([&](const ref::Array& a, const ref::Array& b, bool ta, bool tb) {
    Fenced y({a.dim(ta ? 1 : 0), b.dim(tb ? 0 : 1)});
    cpu::reference::matmul(y.view, to_tensor(a), to_tensor(b), ta, tb, {});
    check_output(y, ref::matmul(a, b, ta, tb));
    const auto twice = [](const ref::Array& matrix) {
      ref::Array two{{2, matrix.dim(0), matrix.dim(1)}, matrix.data};
      for (double value : matrix.data) two.data.push_back(-value);
      return to_tensor(two);
    };
    Fenced both({2, y.view.dim(0), y.view.dim(1)});
    cpu::reference::matmul(both.view, twice(a), twice(b), ta, tb, {});
    CHECK(both.intact());
    CHECK((bits_of(both.view.rows(0, 1)) == bits_of(y.view)));
    CHECK((bits_of(both.view.rows(1, 2)) == bits_of(y.view)));
  });
}

}  // namespace
}  // namespace versor::testing
