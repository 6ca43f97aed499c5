// Group normalisation, called on the backend itself with outputs between fences, in f32 and bf16,
// and what its front end refuses.
#include "tensor/backend.h"
#include "tests/support.h"
#include "tests/wrong_calls.h"

namespace versor::testing {
namespace {

constexpr double kEps = 1e-5;

struct Sizes {
  Shape shape;
  int64_t groups;
};
const Sizes kSizes[] = {{{1, 1, 1, 1}, 1},   {{2, 3, 5, 6}, 3},    {{2, 3, 5, 6}, 6},
                        {{3, 7, 5, 33}, 11}, {{2, 4, 4, 512}, 32}, {{2, 24, 24, 24}, 2}};

TEST_CASE("group_norm: values and gradients, f32 and bf16, dx also over dy") {
  Backend& backend = backend_for(test_device());
  ref::Random random(201);
  for (const auto& [shape, groups] : kSizes)
    for (const DType type : {DType::f32, DType::bf16}) {
      CAPTURE(shape);
      CAPTURE(str(type));
      const bool wide = type == DType::f32;
      const auto rounded = [&](const ref::Array& a) { return wide ? a : rounded_to_bf16(a); };
      const auto fenced = [&](const ref::Array& a) {
        return Fenced(wide ? to_tensor(a) : to_bf16(a));
      };
      const double tolerance = wide ? kTolerance : kOneBf16Rounding;
      const ref::Array x = rounded(random_array(random, shape, -1, 3));
      const ref::Array dy = rounded(random_array(random, shape));
      const ref::Array w = random_array(random, {shape[3]}), b = random_array(random, {shape[3]});
      const Fenced in = fenced(x), gradient = fenced(dy), weight(w), bias(b);
      Fenced y(shape, type), statistics({2, shape[0], groups}), sums({2, shape[0], shape[3]});
      backend.group_norm(y.view, statistics.view, in.view, weight.view, bias.view,
                         static_cast<float>(kEps));
      check_output(y, ref::group_norm(x, w, b, groups, kEps), tolerance);
      CHECK(statistics.intact());

      const auto d = ref::group_norm_grad(dy, x, w, groups, kEps);
      backend.group_norm_sums(sums.view, gradient.view, in.view, statistics.view);
      CHECK(sums.intact());
      const auto over_images = [&](int which) {
        const Tensor one_of_two = sums.view.rows(which, which + 1);
        return ops::sum_axis0(one_of_two.reshape({shape[0], shape[3]}));
      };
      CHECK(error(over_images(0), d.bias) <= kTolerance);
      CHECK(error(over_images(1), d.weight) <= kTolerance);
      Fenced dx(shape, type), in_place = fenced(dy);
      backend.group_norm_grad(dx.view, gradient.view, in.view, weight.view, statistics.view,
                              sums.view);
      check_output(dx, d.x, tolerance);
      backend.group_norm_grad(in_place.view, in_place.view, in.view, weight.view, statistics.view,
                              sums.view);
      CHECK(in_place.intact());
      CHECK((bits_of(in_place.view) == bits_of(dx.view)));
    }
}

// The mean is 2^12, the deviations are 1: an f32 sum of squares would leave nothing of them.
TEST_CASE("group_norm: the variance of values far from zero") {
  ref::Array x = ref::filled({1, 64, 64, 2}, 0x1p12);
  for (int64_t i = 0; i < x.count(); ++i) x[i] += i % 4 < 2 ? 1 : -1;
  const Tensor ones = ops::full({2}, 1.f, test_device()), zeros = ops::zeros({2}, test_device());
  const Tensor y = ops::group_norm(to_tensor(x), ones, zeros, 1, 0.f).y;
  CHECK(error(y, ref::shift(x, -0x1p12)) == 0);
}

TEST_CASE("group_norm: no images") {
  const Tensor ones = ops::full({4}, 1.f, test_device());
  const Tensor none = empty({0, 3, 3, 4});
  const ops::GroupNorm out = ops::group_norm(none, ones, ones, 2, 1e-5f);
  CHECK(out.y.shape() == none.shape());
  const Tensor sums = ops::group_norm_sums(none, none, out.statistics);
  CHECK(ops::group_norm_grad(none, none, ones, out.statistics, sums).shape() == none.shape());
}

TEST_CASE("errors: group_norm") {
  const Tensor x = f32({2, 3, 3, 4}), w = f32({4}), flat = f32({2, 4}),
               no_pixels = f32({2, 0, 3, 4});
  check_all({
      {[&] { ops::group_norm(flat, w, w, 2, 1e-5f); },
       "[group_norm] needs images [N,H,W,C], got [2,4]"},
      {[&] { ops::group_norm(no_pixels, w, w, 2, 1e-5f); },
       "[group_norm] needs images [N,H,W,C], got [2,0,3,4]"},
      {[&] { ops::group_norm(x, w, w, 3, 1e-5f); },
       "[group_norm] 4 channels cannot be cut into 3 groups"},
      {[&] { ops::group_norm(x, w, w, 0, 1e-5f); },
       "[group_norm] 4 channels cannot be cut into 0 groups"},
      {[&] { ops::group_norm(x, f32({3}), w, 2, 1e-5f); },
       "[group_norm] weight [3] does not match the 4 channels"},
      {[&] { ops::group_norm(x, w, f32({3}), 2, 1e-5f); },
       "[group_norm] shapes differ: [4] and [3]"},
      {[&] { ops::group_norm(x, w, w, 2, -1.f); }, "[group_norm] eps -1 is negative"},
      {[&] {
         ops::group_norm(typed({2, 3, 3, 4}, DType::i32), w, w, 2, 1e-5f);
       },
       "[group_norm] needs f32 or bf16, got i32 [2,3,3,4]"},
      {[&] {
         ops::group_norm_sums(flat, x, f32({2, 2, 2}));
       },
       "[group_norm_sums] shapes differ: [2,4] and [2,3,3,4]"},
  });
}

}  // namespace
}  // namespace versor::testing
