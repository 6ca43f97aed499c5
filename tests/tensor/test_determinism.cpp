// Equal bits: in two runs of anything, and on the CPU for every number of threads in the library's
// own loops and in the plain reference products. (oneDNN may divide sums by the number of threads.)
#include <array>
#include <set>

#include "tensor/cpu/matmul.h"
#include "tensor/ops.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// The bits of y and of all gradients.
std::string bits_of_case(const OperationCase& c, const Arrays& inputs, const ref::Array& dy) {
  const Outcome outcome = run_case(c, inputs, dy);
  std::string bits = bits_of(outcome.y);
  for (const Tensor& gradient : outcome.gradients) bits += bits_of(gradient);
  return bits;
}

// Whether the arithmetic is oneDNN's rather than ours.
bool is_library_arithmetic(const OperationCase& c) {
  const std::set<std::string> products{"conv2d", "conv_transpose2d", "matmul", "linear"};
  return cpu::use_onednn() && products.contains(c.function());
}

TEST_CASE("determinism: two runs of every case give equal bits, so do 1, 2 and 3 threads") {
  uint64_t seed = 500;
  std::vector<OperationCase> cases = operation_cases();
  for (OperationCase& c : conv_operation_cases(DType::bf16)) cases.push_back(std::move(c));
  for (const OperationCase& c : cases) {
    CAPTURE(c.name);
    const Arrays inputs = draw_inputs(c, seed++);
    ref::Random random(seed);
    const ref::Array dy = random_array(random, to_shape(c.reference(inputs).shape));
    const std::string bits = bits_of_case(c, inputs, dy);
    CHECK(bits.size() >= 8);
    CHECK(bits_of_case(c, inputs, dy) == bits);
    if (on_other_device() || is_library_arithmetic(c)) continue;
    CHECK(same_bits_always([&] { return bits_of_case(c, inputs, dy); }));
  }
}

TEST_CASE("determinism: primitives without a derivative, 1, 2 and 3 threads") {
  ref::Random random(71);
  const Tensor x = to_tensor(random_array(random, {20001, 5}));
  const Tensor wide = to_tensor(random_array(random, {7, 20001}));
  const Tensor index = index_tensor(random.indices(20001, 100));
  // Numbers of many magnitudes, and their negatives: only rounding is left, which shows every
  // change of the order. (Numbers of one magnitude are few enough for f64 to add them exactly.)
  ref::Array pairs = random_array(random, {2 * 20001});  // f32 rounds both halves alike
  for (size_t i = 0; i < 20001; ++i) {
    pairs.data[i] = std::ldexp(pairs.data[i], static_cast<int>(random.index(80)));
    pairs.data[20001 + i] = -pairs.data[i];
  }
  const Tensor cancelling = to_tensor(pairs);
  std::vector<uint8_t> bytes(50 * 1000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.index(256));
  const Tensor images = on_device(bytes, {50, 10, 50, 2});
  const Tensor image_index = index_tensor(random.indices(40, 50));
  const Tensor columns = index_tensor(random.indices(x.dim(0), x.dim(1)));
  const std::pair<const char*, std::function<Tensor()>> calls[] = {
      {"uniform", [] { return ops::uniform({100003}, Rng(3), -1, 1, test_device()); }},
      {"normal", [] { return ops::normal({100003}, Rng(3), test_device()); }},
      {"affine", [&] { return ops::affine(x, 100, 50, DType::u8); }},
      {"sum", [&] { return ops::sum(x); }},
      {"sum that cancels", [&] { return ops::sum(cancelling); }},
      {"mse", [&] { return ops::mse(x, ops::scaled(x, 0.5f)); }},
      {"sum_axis0", [&] { return ops::sum_axis0(x); }},
      {"sum_axis0, wide", [&] { return ops::sum_axis0(wide); }},
      {"sum_axis0, bf16", [&] { return ops::sum_axis0(ops::cast(x, DType::bf16)); }},
      {"sum_axis1", [&] { return ops::sum_axis1(x); }},
      {"scale_rows", [&] { return ops::scale_rows(x, ops::sum_axis1(x)); }},
      {"softmax", [&] { return ops::softmax(x); }},
      {"softmax, wide", [&] { return ops::softmax(wide); }},
      {"softmax_grad", [&] { return ops::softmax_grad(x, x); }},
      {"softmax_grad, wide", [&] { return ops::softmax_grad(wide, wide); }},
      {"cross_entropy", [&] { return ops::cross_entropy(x, columns); }},
      {"cross_entropy_grad",
       [&] { return ops::cross_entropy_grad(ops::sum_axis1(x), x, columns); }},
      {"argmax", [&] { return ops::argmax(x); }},
      {"argmax, wide", [&] { return ops::argmax(wide); }},
      {"segment_sum", [&] { return ops::segment_sum(x, index, 100); }},
      {"bincount", [&] { return ops::bincount(index, 100); }},
      {"gather_images",
       [&] { return ops::gather_images(images, image_index, {}, 40, 40, 0.1f, 1); }},
      {"sum_of_squares", [&] { return ops::sum_of_squares(x); }},
      {"adam",
       [&] {
         const Shape flat{x.numel()};
         Tensor weight = ops::clone(x.reshape(flat)), m = ops::zeros(flat, test_device());
         Tensor v = ops::clone(m);
         const Tensor one = index_tensor({1});
         ops::adam(m, v, {{weight, x.reshape(flat), 0, 0}}, one, one, {}, {});
         return weight;
       }},
  };
  for (const auto& [name, call] : calls) {
    CAPTURE(name);
    CHECK(same_bits_always([&call = call] { return bits_of(call()); }));
  }
}

TEST_CASE("determinism: the plain reference products, 1, 2 and 3 threads" * cpu_only()) {
  ref::Random random(72);
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.name);
    const Tensor x = to_tensor(random_array(random, c.input()));
    const Tensor weight = to_tensor(random_array(random, c.weight()));
    const Tensor bias = to_tensor(random_array(random, {c.O}));
    const Tensor dy = to_tensor(random_array(random, c.output()));
    CHECK(same_bits_always([&] {
      Tensor y(c.output()), dx(c.input()), dweight(c.weight());
      cpu::reference::conv2d(y, x, weight, {bias, true}, c.params());
      cpu::reference::conv2d_grad_input(dx, dy, weight, c.params());
      cpu::reference::conv2d_grad_weight(dweight, x, dy, c.params());
      return bits_of(y) + bits_of(dx) + bits_of(dweight);
    }));
  }
  const Tensor a = to_tensor(random_array(random, {301, 300}));
  const Tensor b = to_tensor(random_array(random, {300, 515}));
  CHECK(same_bits_always([&] {
    Tensor y({301, 515});
    cpu::reference::matmul(y, a, b, false, false, {});
    return bits_of(y);
  }));
}

}  // namespace
}  // namespace versor::testing
