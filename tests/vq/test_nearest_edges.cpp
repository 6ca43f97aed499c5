// Nearest code at the edges of f32: norms from 1e-20 to 1e20, zeros, NaN and infinities; the same
// bits for every number of threads; outputs fenced; errors that name the shapes.
#include "tests/vq/support.h"
#include "vq/backend.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;
using ref::Random;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Indices search(const Array& e, const Array& codes) {
  return indices_of(vq::nearest_code(to_tensor(e), to_tensor(codes)));
}

TEST_CASE("nearest_code: norms from 1e-20 to 1e20") {
  Random random(500);
  const std::vector<double> sizes = {1e-20, 1e-12, 1e-3, 1.0, 1e5, 1e14, 1e16, 1e20};
  for (double e_size : sizes)
    for (double c_size : sizes)
      for (int64_t D : {3, 40}) {
        CAPTURE(e_size);
        CAPTURE(c_size);
        const Array e = rounded(random.array({20, D}, -e_size, e_size));
        const Array codes = rounded(random.array({70, D}, -c_size, c_size));
        CHECK(search(e, codes) == ref::nearest_code(e, codes));
      }
}

TEST_CASE("nearest_code: codes of all sizes in one codebook") {
  Random random(501);
  for (int64_t K : {20, 90, 600}) {
    Array codes = random.array({K, 6}), e = random.array({80, 6});
    for (int64_t k = 0; k < K; ++k)
      for (int64_t d = 0; d < 6; ++d)
        codes.at(k, d) *= std::pow(10.0, static_cast<double>(k % 41 - 20));
    for (int64_t r = 0; r < 80; ++r)
      for (int64_t d = 0; d < 6; ++d)
        e.at(r, d) *= std::pow(10.0, static_cast<double>(r % 41 - 20));
    codes = rounded(codes), e = rounded(e);
    CHECK(search(e, codes) == ref::nearest_code(e, codes));
  }
}

TEST_CASE("nearest_code: zero rows and zero codes") {
  Random random(502);
  Array codes = rounded(random.array({30, 5})), e = rounded(random.array({12, 5}));
  for (int64_t d = 0; d < 5; ++d) codes.at(9, d) = codes.at(21, d) = e.at(4, d) = 0;
  const Indices found = search(e, codes);
  CHECK(found == ref::nearest_code(e, codes));
  CHECK(found[4] == 9);
  CHECK(search(e, ref::zeros({40, 5})) == Indices(12, 0));
  CHECK(search(ref::zeros({3, 5}), ref::zeros({1, 5})) == Indices(3, 0));
}

TEST_CASE("nearest_code: NaN and infinite rows and codes") {
  Random random(503);
  for (int64_t K : {1, 30, 530}) {
    CAPTURE(K);
    const Array codes = rounded(random.array({K, 4})), e = rounded(random.array({9, 4}));
    Array bad_rows = e;
    bad_rows.at(1, 0) = kNan;
    bad_rows.at(3, 3) = kInfinity;
    bad_rows.at(5, 2) = -kInfinity;
    bad_rows.at(7, 1) = 3e38, bad_rows.at(7, 2) = -3e38;
    const Indices found = search(bad_rows, codes), clean = search(e, codes);
    CHECK(found == ref::nearest_code(bad_rows, codes));
    for (size_t r : {0, 2, 4, 6, 8}) CHECK(found[r] == clean[r]);  // other rows are not affected
    for (size_t r : {1, 3, 5}) CHECK(found[r] == 0);
    // A code that is not finite can never win against a finite one.
    for (double bad : {kNan, kInfinity, -kInfinity}) {
      Array bad_codes = codes;
      bad_codes.at(K / 2, 1) = bad_codes.at(0, 2) = bad;
      CHECK(search(e, bad_codes) == ref::nearest_code(e, bad_codes));
    }
    const Array all_bad = ref::filled({K, 4}, kNan);
    CHECK(search(e, all_bad) == Indices(9, 0));
    CHECK(search(bad_rows, ref::filled({K, 4}, kInfinity)) == Indices(9, 0));
  }
}

TEST_CASE("nearest_code: without a single column all codes are equal") {
  CHECK(search(ref::zeros({5, 0}), ref::zeros({7, 0})) == Indices(5, 0));
}

TEST_CASE("nearest_code: one answer for every number of threads; inputs are not touched") {
  Random random(504);
  const Tensor e = to_tensor(random.array({1500, 7})), codes = to_tensor(random.array({600, 7}));
  const std::string before = bits_of(codes) + bits_of(e);
  const auto run = [&] { return bits_of(vq::nearest_code(e, codes)); };
  CHECK(same_bits_always(run));
  CHECK((bits_of(codes) + bits_of(e) == before));
}

TEST_CASE("nearest_code: writes every index and nothing beside them") {
  Random random(505);
  for (int64_t R : {1, 16, 513}) {
    const Array e = rounded(random.array({R, 3})), codes = rounded(random.array({20, 3}));
    Fenced index({R}, DType::i32);
    vq_backend_for(test_device()).nearest_code(index.view, to_tensor(e), to_tensor(codes));
    CHECK(indices_of(index.view) == ref::nearest_code(e, codes));
    CHECK(index.intact());
  }
}

TEST_CASE("nearest_code: errors name the operation and both shapes") {
  const Tensor e = to_tensor(ref::zeros({6, 3}));
  const auto message = [&](const Tensor& rows, const Tensor& codes) {
    return error_of([&] { vq::nearest_code(rows, codes); });
  };
  const std::string wide = message(e, to_tensor(ref::zeros({5, 4})));
  CHECK(contains(wide, "[nearest_code]"));
  CHECK(contains(wide, "[6,3]"));
  CHECK(contains(wide, "[5,4]"));
  CHECK(contains(message(e, to_tensor(ref::zeros({0, 3}))), "[0,3]"));
  CHECK(contains(message(to_tensor(ref::zeros({6})), e), "[6]"));
  CHECK(contains(message(e, index_tensor({1, 2, 3})), "i32"));
  CHECK(contains(message({}, e), "undefined"));
}

}  // namespace
}  // namespace versor::testing
