// What a training step keeps on the device instead of reading it back: counters, sums of counts, a
// table of losses, and the guard that remembers the first tensor with a NaN or an infinity. Called
// on the backend itself with outputs between fences.
#include <array>
#include <bit>
#include <limits>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using Integers = std::vector<int32_t>;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const Integers kNothing = {kNothingFound, kNothingFound};

TEST_CASE("counters: increment") {
  Backend& backend = backend_for(test_device());
  Fenced counter(index_tensor({41, -1, 7}));
  backend.increment(counter.view, Integers{0});
  check_output(counter, {{3}, {42, -1, 7}}, 0);
  backend.increment(counter.view, Integers{2, 0});
  backend.increment(counter.view, {});
  check_output(counter, {{3}, {43, -1, 8}}, 0);
  Fenced many(ops::zeros({1001}, test_device(), DType::i32));
  Integers even;
  ref::Array expected = ref::zeros({1001});
  for (int32_t i = 0; i < 1001; i += 2) {
    even.push_back(i);
    expected[i] = 1;
  }
  backend.increment(many.view, even);
  check_output(many, expected, 0);
}

TEST_CASE("counters: add_counts") {
  Backend& backend = backend_for(test_device());
  Fenced total(index_tensor({5, 0, -7, 2'000'000'000}));
  const Fenced counts(index_tensor({1, 0, 3, 147'483'647}));
  backend.add_counts(total.view, counts.view);
  check_output(total, {{4}, {6, 0, -4, 2147483647}}, 0);
  ref::Random random(81);
  for (int64_t n : {1, 31, 40001}) {
    CAPTURE(n);
    const ref::Indices a = random.indices(n, 1000), b = random.indices(n, 1000);
    ref::Array sum = ref::zeros({n});
    for (int64_t i = 0; i < n; ++i) sum[i] = static_cast<double>(a[i] + b[i]);
    Fenced sums(index_tensor(a));
    const Fenced addend(index_tensor(b));
    backend.add_counts(sums.view, addend.view);
    check_output(sums, sum, 0);
  }
}

TEST_CASE("counters: write_row fills one row from scalars of both types, the others stay") {
  Backend& backend = backend_for(test_device());
  const Fenced loss(one(-0.125)), replaced(index_tensor({7})), large(index_tensor({16777217}));
  for (int32_t row : {0, 1, 2}) {
    CAPTURE(row);
    ref::Array expected{{3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9}};
    Fenced table(expected);
    const Fenced where(index_tensor({row}));
    backend.write_row(table.view, where.view, std::array{loss.view, replaced.view, large.view});
    const double written[] = {-0.125, 7, 16777216};  // as a float holds it
    for (int64_t c = 0; c < 3; ++c) expected.at(row, c) = written[c];
    check_output(table, expected, 0);
  }
}

TEST_CASE("counters: write_row with many columns, and with one") {
  Backend& backend = backend_for(test_device());
  for (int64_t columns : {1, 40}) {
    CAPTURE(columns);
    std::vector<Tensor> values;
    ref::Array expected = ref::filled({2, columns}, -1);
    for (int64_t c = 0; c < columns; ++c) {
      expected.at(1, c) = static_cast<double>(c);
      values.push_back(c % 3 == 0 ? index_tensor({c}) : to_tensor(one(static_cast<double>(c))));
    }
    Fenced table(ref::filled({2, columns}, -1));
    backend.write_row(table.view, index_tensor({1}), values);
    check_output(table, expected, 0);
  }
}

// ---- the guard ----

// A guard between fences.
struct Guard {
  Tensor pair = ops::new_guard(test_device());  // (tag, step)

  Integers find(const std::vector<Tensor>& tensors, int first_tag, int32_t step) {
    const Fenced counter(index_tensor({step}));
    backend_for(test_device()).find_nonfinite(pair, tensors, first_tag, counter.view);
    return pair.to_vector<int32_t>();
  }
};

// Tensors of one element each.
std::vector<Tensor> scalars(const std::vector<float>& values) {
  std::vector<Tensor> tensors;
  for (float value : values) tensors.push_back(on_device<float>({value}, {1}));
  return tensors;
}

TEST_CASE("guard: finite tensors leave it, also the largest numbers and no tensor at all") {
  const float largest = std::numeric_limits<float>::max();
  const Tensor f32 = on_device<float>({0.f, -0.f, 1e-45f, largest, -largest}, {5});
  const Tensor half = on_device<bf16>({bf16(0.f), bf16(-1e-40f), bf16(0x1.fep127f)}, {3});
  Guard guard;
  CHECK(guard.find({f32, half, ops::full({40001}, largest, test_device())}, 3, 1) == kNothing);
  CHECK(guard.find({empty({0}), empty({0, 4}, DType::bf16)}, 3, 1) == kNothing);
  CHECK(guard.find({}, 3, 1) == kNothing);
}

// Bits of NaNs of either sign, quiet or not, and of both infinities; the upper half is bf16.
TEST_CASE("guard: NaN and both infinities are found, in f32 and bf16, wherever they are") {
  for (uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7f810000u, 0x7f800000u, 0xff800000u})
    for (int64_t n : {int64_t{1}, int64_t{7}, int64_t{40001}})
      for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
        CAPTURE(bits);
        CAPTURE(n);
        CAPTURE(at);
        std::vector<float> values(static_cast<size_t>(n), 2.f);
        std::vector<bf16> halves(static_cast<size_t>(n), bf16(2.f));
        values[static_cast<size_t>(at)] = std::bit_cast<float>(bits);
        halves[static_cast<size_t>(at)].bits = static_cast<uint16_t>(bits >> 16);
        const Tensor f32 = on_device(values, {n}), half = on_device(halves, {n});
        CHECK(Guard().find({f32}, 5, 9) == Integers{5, 9});
        CHECK(Guard().find({half}, 6, 9) == Integers{6, 9});
        CHECK(Guard().find({Fenced(f32).view}, 5, 9) == Integers{5, 9});
        CHECK(Guard().find({Fenced(half).view}, 6, 9) == Integers{6, 9});
      }
  CHECK(Guard().find(scalars({std::numeric_limits<float>::signaling_NaN()}), 5, 9) ==
        Integers{5, 9});
}

TEST_CASE("guard: the first tensor of a call gives the tag") {
  CHECK(Guard().find(scalars({1, kNaN, 2, kInfinity}), 10, 4) == Integers{11, 4});
  CHECK(Guard().find(scalars({kInfinity, kNaN}), 10, 4) == Integers{10, 4});
  std::vector<float> many(100, 1.f);
  many[99] = -kInfinity;
  CHECK(Guard().find(scalars(many), 0, 4) == Integers{99, 4});
  many[41] = kNaN;
  CHECK(Guard().find(scalars(many), 1000, 4) == Integers{1041, 4});
}

TEST_CASE("guard: the first step wins, then the lowest tag") {
  Guard guard;
  CHECK(guard.find(scalars({1.f, 2.f}), 0, 6) == kNothing);
  CHECK(guard.find(scalars({kNaN}), 20, 7) == Integers{20, 7});
  CHECK(guard.find(scalars({1.f}), 1, 7) == Integers{20, 7});    // finite: as it was
  CHECK(guard.find(scalars({kNaN}), 30, 7) == Integers{20, 7});  // a later tensor of the same step
  CHECK(guard.find(scalars({kInfinity}), 4, 7) == Integers{4, 7});
  CHECK(guard.find(scalars({kNaN}), 0, 8) == Integers{4, 7});  // a later step, though a lower tag
  CHECK(guard.find(scalars({kNaN}), 99, 3) == Integers{99, 3});
}

TEST_CASE("guard: a new one has found nothing; the front end feeds it") {
  Tensor guard = ops::new_guard(test_device());
  CHECK(guard.to_vector<int32_t>() == kNothing);
  ops::find_nonfinite(guard, {on_device<float>({1, kNaN}, {2})}, 2, index_tensor({5}));
  CHECK(guard.to_vector<int32_t>() == Integers{2, 5});
}

}  // namespace
}  // namespace versor::testing
