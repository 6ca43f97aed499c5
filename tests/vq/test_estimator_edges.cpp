// The documented edge rules of the gradient estimators, each on both sides of its border:
//   rotation and rotation_unscaled take ste's gradient where |ehat+qhat|^2 < 2e-4, reflection where
//   |ehat-qhat|^2 < 2e-4, all where |e| or |q| < 1e-6; published passes e where ehat = qhat and -e
//   where q = 0; rotation_unscaled passes e where |e| or |q| < 1e-6.
// And over a grid of lengths from 0 to 1e20 nothing is NaN and everything is the reference's.
#include "tests/vq/support.h"
#include "vq/estimators.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Random;

constexpr Estimator kRotations[] = {Estimator::rotation, Estimator::rotation_unscaled};
constexpr Estimator kTurning[] = {Estimator::rotation, Estimator::rotation_unscaled,
                                  Estimator::reflection};

ref::Estimator reference_of(Estimator estimator) {
  return static_cast<ref::Estimator>(static_cast<int>(estimator));
}

// One row [D] in, one row out.
Array gradient_of(Estimator estimator, const Array& e, const Array& q, const Array& g) {
  const ref::Shape shape{1, e.count()};
  const Variable leaf(to_tensor({shape, e.data}), true);
  backward_with(pass_through(leaf, to_tensor({shape, q.data}), estimator),
                to_tensor({shape, g.data}));
  return {e.shape, to_array(leaf.grad()).data};
}

Array value_of(Estimator estimator, const Array& e, const Array& q) {
  const ref::Shape shape{1, e.count()};
  const Variable leaf(to_tensor({shape, e.data}));
  const Variable y = pass_through(leaf, to_tensor({shape, q.data}), estimator);
  return {e.shape, to_array(y.value()).data};
}

// Whether the gradient passes unchanged, bit for bit. If not, it must equal the reference's.
bool unchanged(Estimator estimator, const Array& e, const Array& q) {
  const Array g{{2}, {0.25, -0.75}};
  const Array e32 = rounded(e), q32 = rounded(q), found = gradient_of(estimator, e32, q32, g);
  const ref::Estimator reference = reference_of(estimator);
  const Array expected = ref::estimator_gradient_row(reference, e32, q32, g);
  CHECK(ref::relative_error(found, expected) <= kTolerance);
  return found.data == g.data;
}

// A vector of the plane with this length, at `angle` from the first axis.
Array turned(double angle, double length) {
  return {{2}, {length * std::cos(angle), length * std::sin(angle)}};
}

const double kPi = std::acos(-1.0);
// The angle whose chord |ehat - qhat| = 2 sin(angle / 2) has the square 2e-4.
const double kBorder = 2.0 * std::asin(std::sqrt(2e-4) / 2.0);

TEST_CASE("estimator edges: opposite directions stop the rotation") {
  const Array e{{2}, {1, 0}};
  for (double length : {0.5, 1.0, 3.0, 1e4}) {
    CAPTURE(length);
    for (Estimator rotation : kRotations) {
      CHECK(unchanged(rotation, e, turned(kPi - 0.999 * kBorder, length)));
      CHECK_FALSE(unchanged(rotation, e, turned(kPi - 1.001 * kBorder, length)));
      CHECK(unchanged(rotation, e, turned(kPi, length)));
      CHECK_FALSE(unchanged(rotation, e, turned(0.5 * kBorder, 2 * length)));
    }
    CHECK_FALSE(unchanged(Estimator::reflection, e, turned(kPi - 0.5 * kBorder, length)));
  }
}

TEST_CASE("estimator edges: equal directions stop the reflection") {
  const Array e{{2}, {1, 0}};
  for (double length : {0.5, 1.0, 3.0, 1e4}) {
    CAPTURE(length);
    CHECK(unchanged(Estimator::reflection, e, turned(0.999 * kBorder, length)));
    CHECK_FALSE(unchanged(Estimator::reflection, e, turned(1.001 * kBorder, length)));
    CHECK(unchanged(Estimator::reflection, e, turned(0, length)));
  }
}

TEST_CASE("estimator edges: short vectors stop them all") {
  const Array e{{2}, {1, 0}};
  for (Estimator estimator : kTurning) {
    CHECK(unchanged(estimator, e, turned(1.0, 0.999e-6)));
    CHECK_FALSE(unchanged(estimator, e, turned(1.0, 1.001e-6)));
    CHECK(unchanged(estimator, ref::scale(e, 0.999e-6), turned(1.0, 1.0)));
    CHECK_FALSE(unchanged(estimator, ref::scale(e, 1.001e-6), turned(1.0, 1.0)));
    CHECK(unchanged(estimator, ref::scale(e, 1e-20), turned(1.0, 1e20)));
    CHECK(unchanged(estimator, ref::scale(e, 1e20), turned(1.0, 1e-20)));
    CHECK_FALSE(unchanged(estimator, ref::scale(e, 1e20), turned(1.0, 1e20)));
    CHECK_FALSE(unchanged(estimator, ref::scale(e, 1e20), turned(1.0, 1e-5)));
  }
}

TEST_CASE("estimator edges: e = 0, q = 0, q = e, q = -e, q = -3e") {
  Random random(610);
  for (int64_t D : {1, 2, 3, 8, 256}) {
    CAPTURE(D);
    const Array e = rounded(random.away_from_zero({D})), q = rounded(random.away_from_zero({D}));
    const Array g = rounded(random.array({D})), zero = ref::zeros({D});
    for (Estimator estimator : kTurning) {
      CHECK(gradient_of(estimator, zero, q, g).data == g.data);
      CHECK(gradient_of(estimator, e, zero, g).data == g.data);
      CHECK(gradient_of(estimator, zero, zero, g).data == g.data);
    }
    // q = e: the rotation is the identity.  q = 4e: lambda alone is left.
    for (Estimator rotation : kRotations)
      CHECK(ref::relative_error(gradient_of(rotation, e, e, g), g) <= 1e-6);
    const Array parallel = gradient_of(Estimator::rotation_unscaled, e, ref::scale(e, 4), g);
    CHECK(ref::relative_error(parallel, g) <= 1e-6);
    CHECK(ref::relative_error(gradient_of(Estimator::rotation, e, ref::scale(e, 4), g),
                              ref::scale(g, 4)) <= 1e-6);
    CHECK(gradient_of(Estimator::reflection, e, e, g).data == g.data);
    CHECK(gradient_of(Estimator::reflection, e, rounded(ref::scale(e, 3)), g).data == g.data);
    for (double factor : {-1.0, -3.0}) {
      const Array opposite = rounded(ref::scale(e, factor));
      for (Estimator rotation : kRotations)
        CHECK(gradient_of(rotation, e, opposite, g).data == g.data);
      // The mirror in the plane orthogonal to e: the component along e changes its sign.
      Array mirrored = g;
      const double along = ref::dot(e, g) / ref::dot(e, e);
      for (int64_t d = 0; d < D; ++d) mirrored[d] = -factor * (g[d] - 2 * along * e[d]);
      CHECK(ref::relative_error(gradient_of(Estimator::reflection, e, opposite, g), mirrored) <=
            1e-6);
    }
  }
}

TEST_CASE("estimator edges: the published value") {
  Random random(611);
  for (int64_t D : {1, 2, 8, 256}) {
    const Array e = rounded(random.away_from_zero({D})), zero = ref::zeros({D});
    const auto published = [&](const Array& vector, const Array& code) {
      return value_of(Estimator::published, vector, code);
    };
    CHECK(published(e, zero).data == ref::neg(e).data);
    CHECK(ref::relative_error(published(e, e), e) <= 1e-7);
    CHECK(ref::relative_error(published(e, rounded(ref::scale(e, 1e-9))), e) <= 1e-6);
    CHECK(ref::relative_error(published(e, rounded(ref::scale(e, 5e15))), e) <= 1e-6);
    CHECK(ref::relative_error(published(e, ref::neg(e)), ref::neg(e)) <= 1e-7);
    CHECK(ref::norm(published(zero, e)) == 0.0);
    CHECK(ref::norm(published(zero, zero)) == 0.0);
    // There is no smallest norm here: the direction of a code of length 1e-20 counts.
    const Array q = rounded(ref::scale(random.away_from_zero({D}), 1e-20));
    const Array expected = ref::scale(q, ref::norm(e) / ref::norm(q));
    CHECK(ref::relative_error(published(e, q), expected) <= 1e-6);
  }
}

// The value changes exactly where the gradient does, so that both always belong to one function.
TEST_CASE("estimator edges: the value of rotation_unscaled") {
  Random random(613);
  const Estimator unscaled = Estimator::rotation_unscaled;
  for (int64_t D : {1, 2, 8, 256}) {
    const Array along = rounded(random.away_from_zero({D})), to = random.away_from_zero({D});
    const auto of_length = [](const Array& x, double length) {
      return rounded(ref::scale(x, length / ref::norm(x)));
    };
    const auto expected = [](const Array& e, const Array& q) {
      return ref::scale(q, ref::norm(e) / ref::norm(q));
    };
    for (double length : {0.0, 1e-20, 0.999e-6}) {
      const Array e = of_length(along, length), q = of_length(to, length);
      CHECK(value_of(unscaled, along, q).data == along.data);  // bit for bit, and never -e
      CHECK(value_of(unscaled, e, to).data == e.data);
      CHECK(value_of(unscaled, e, q).data == e.data);
    }
    for (double length : {1.001e-6, 1.0, 1e20}) {
      const Array e = of_length(along, length), q = of_length(to, length), code = rounded(to);
      CHECK(ref::relative_error(value_of(unscaled, along, q), expected(along, q)) <= 1e-6);
      CHECK(ref::relative_error(value_of(unscaled, e, code), expected(e, code)) <= 1e-6);
    }
    // Opposite vectors have directions: the code's is passed on.
    const Array opposite = rounded(ref::scale(along, -3));
    CHECK(ref::relative_error(value_of(unscaled, along, opposite), ref::neg(along)) <= 1e-6);
  }
  // A NaN on either side passes through.
  const Array nan{{2}, {std::nan(""), 1}}, one{{2}, {1, 1}};
  CHECK(std::isnan(value_of(unscaled, nan, one)[0]));
  CHECK(std::isnan(value_of(unscaled, one, nan)[0]));
}

TEST_CASE("estimator edges: a grid of lengths and directions, nothing is NaN") {
  Random random(612);
  const double lengths[] = {0.0, 1e-20, 1e-7, 1e-5, 1.0, 1e5, 1e20};
  for (int64_t D : {1, 2, 8, 64}) {
    const Array direction = random.away_from_zero({D}), other = random.away_from_zero({D});
    const Array g = rounded(random.array({D}));
    for (double e_length : lengths)
      for (double q_length : lengths)
        for (const Array& code : {direction, ref::neg(direction), ref::scale(direction, -3), other})
          for (int i = 0; i < 5; ++i) {
            const auto estimator = static_cast<Estimator>(i);
            CAPTURE(D);
            CAPTURE(e_length);
            CAPTURE(q_length);
            CAPTURE(i);
            const Array e = rounded(ref::scale(direction, e_length));
            const Array q = rounded(ref::scale(code, q_length));
            const Array found = gradient_of(estimator, e, q, g);
            const ref::Estimator reference = reference_of(estimator);
            const Array expected = ref::estimator_gradient_row(reference, e, q, g);
            CHECK(ref::relative_error(found, expected) <= kTolerance);  // false for NaN
            const Array value = value_of(estimator, e, q);
            const Array rows = ref::estimator_value(reference, {{1, D}, e.data}, {{1, D}, q.data});
            CHECK(ref::relative_error(value, {{D}, rows.data}) <= 1e-6);
          }
  }
}

}  // namespace
}  // namespace versor::testing
