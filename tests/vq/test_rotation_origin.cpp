// Estimators that turn about another point than 0: value and gradient against the double reference
// of e - o and q - o, the edge rules about that point, what is left of them far away, and the
// running mean of the latents as that point.
#include "tests/vq/support.h"
#include "vq/estimators.h"
#include "vq/names.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Random;

constexpr Estimator kTurning[] = {Estimator::rotation, Estimator::rotation_unscaled,
                                  Estimator::reflection, Estimator::published};

ref::Estimator reference_of(Estimator estimator) {
  return static_cast<ref::Estimator>(static_cast<int>(estimator));
}

struct Passed {
  Tensor value, gradient;
};

Passed pass(Estimator estimator, const Array& e, const Array& q, const Array& g,
            const Tensor& origin) {
  const Variable leaf(to_tensor(e), true);
  const Variable y = pass_through(leaf, to_tensor(q), estimator, origin);
  backward_with(y, to_tensor(g));
  return {y.value(), leaf.grad()};
}

// The gradient of one row of the plane. The origin has equal coordinates.
Array gradient_of(Estimator estimator, const Array& e, const Array& q, const Array& g,
                  double origin) {
  return to_array(
      pass(estimator, e, q, g, origin_point({.coordinate = origin}, 2, test_device())).gradient);
}

// A row of the plane at `angle` and `length` from (origin, origin).
Array from(double origin, double angle, double length) {
  return rounded({{1, 2}, {origin + length * std::cos(angle), origin + length * std::sin(angle)}});
}

const double kPi = std::acos(-1.0);

}  // namespace

TEST_CASE("rotation origin: by hand") {
  // About (1,1): a quarter turn from (1,0) to (0,2), lambda = 2.
  const Array e{{1, 2}, {2, 1}}, q{{1, 2}, {1, 3}}, g{{1, 2}, {3, 5}};
  const Tensor origin = origin_point({.coordinate = 1}, 2, test_device());
  const auto passed = [&](Estimator estimator) { return pass(estimator, e, q, g, origin); };
  CHECK(error(passed(Estimator::rotation).gradient, {{1, 2}, {10, -6}}) <= 1e-7);
  CHECK(error(passed(Estimator::reflection).gradient, {{1, 2}, {10, 6}}) <= 1e-7);
  CHECK(error(passed(Estimator::rotation_unscaled).gradient, {{1, 2}, {5, -3}}) <= 1e-7);
  CHECK(error(passed(Estimator::published).gradient, g) == 0);
  for (Estimator estimator : {Estimator::rotation_unscaled, Estimator::published})
    CHECK(error(passed(estimator).value, {{1, 2}, {1, 2}}) <= 1e-7);
}

TEST_CASE("rotation origin: value and gradient are the reference's about that point") {
  Random random(640);
  for (int64_t D : {2, 3, 8, 33, 256})
    for (double size : {0.5, 2.0, 100.0}) {
      CAPTURE(D);
      CAPTURE(size);
      const Array e = rounded(random.array({70, D})), g = rounded(random.array({70, D}));
      const Array q = rounded(random.array({70, D}));
      const Array o = rounded(random.array({D}, -size, size));
      for (Estimator estimator : kTurning) {
        CAPTURE(std::string(name_of(estimator)));
        const ref::Estimator reference = reference_of(estimator);
        const Array from_o = ref::about(e, o), to_o = ref::about(q, o);
        const Passed found = pass(estimator, e, q, g, to_tensor(o));
        const Array gradient = to_array(found.gradient);
        const Array expected = ref::estimator_gradient(reference, from_o, to_o, g);
        for (int64_t r = 0; r < 70; ++r)
          CHECK(ref::relative_error(ref::row_of(gradient, r), ref::row_of(expected, r)) <=
                kTolerance);
        if (passes_code(estimator))
          CHECK((bits_of(found.value) == bits_of(to_tensor(q))));
        else
          CHECK(
              ref::relative_error(ref::about(to_array(found.value), o),  // rounded at the size of o
                                  ref::estimator_value(reference, from_o, to_o)) <= 1e-6);
      }
    }
}

TEST_CASE("rotation origin: 0 is no origin, and leaves every bit") {
  Random random(641);
  const Array e = random.array({40, 12}), q = random.array({40, 12}), g = random.array({40, 12});
  CHECK_FALSE(origin_point({}, 12, test_device()).defined());
  for (Estimator estimator : kTurning) {
    const Passed plain = pass(estimator, e, q, g, {});
    const Passed zero = pass(estimator, e, q, g, ops::zeros({12}, test_device()));
    CHECK((bits_of(plain.value) == bits_of(zero.value)));
    CHECK((bits_of(plain.gradient) == bits_of(zero.gradient)));
  }
}

// R and lambda differ from 1 by about |q - e| / |o|.
TEST_CASE("rotation origin: the farther away, the nearer rotation is to straight-through") {
  Random random(642);
  const Array e = random.array({50, 16}), q = random.array({50, 16}), g = random.array({50, 16});
  const auto distance = [&](double coordinate) {
    const Tensor origin = origin_point({.coordinate = coordinate}, 16, test_device());
    return ref::relative_error(to_array(pass(Estimator::rotation, e, q, g, origin).gradient), g);
  };
  CHECK(distance(0) > 0.5);
  CHECK(distance(10) < 0.3);
  for (double coordinate : {10.0, -10.0, 100.0})
    CHECK(distance(10 * coordinate) == doctest::Approx(distance(coordinate) / 10).epsilon(0.1));
}

TEST_CASE("rotation origin: edge rules hold about that point") {
  const double o = 2;
  const double border = 2.0 * std::asin(std::sqrt(2e-4) / 2.0);  // |ehat - qhat|^2 = 2e-4
  const Array g{{1, 2}, {0.25, -0.75}}, e = from(o, 0, 1);
  const auto unchanged = [&](Estimator estimator, const Array& to) {
    return gradient_of(estimator, e, to, g, o).data == g.data;
  };
  for (Estimator rotation : {Estimator::rotation, Estimator::rotation_unscaled}) {
    CHECK(unchanged(rotation, from(o, kPi - 0.999 * border, 1)));
    CHECK_FALSE(unchanged(rotation, from(o, kPi - 1.001 * border, 1)));
    CHECK(unchanged(rotation, from(o, kPi, 3)));
    CHECK_FALSE(unchanged(rotation, ref::neg(e)));  // opposite about 0 alone
  }
  CHECK(unchanged(Estimator::reflection, from(o, 0.999 * border, 3)));
  CHECK_FALSE(unchanged(Estimator::reflection, from(o, 1.001 * border, 3)));
  CHECK_FALSE(unchanged(Estimator::reflection, ref::scale(e, 2)));  // parallel about 0 alone

  // Short: the coordinates of o are small here, because beside 2 no f32 resolves 1e-6 finely.
  const double near = 0x1p-20;
  for (Estimator estimator :
       {Estimator::rotation, Estimator::rotation_unscaled, Estimator::reflection}) {
    const auto stays = [&](const Array& a, const Array& b) {
      return gradient_of(estimator, a, b, g, near).data == g.data;
    };
    const Array one = from(near, 1, 1), other = from(near, 2, 1);
    CHECK(stays(from(near, 0, 0), one));
    CHECK(stays(one, from(near, 0, 0)));
    CHECK(stays(from(near, 0, 0.999e-6), one));
    CHECK(stays(one, from(near, 0, 0.999e-6)));
    CHECK_FALSE(stays(from(near, 0, 1.001e-6), one));
    CHECK_FALSE(stays(one, from(near, 0, 1.001e-6)));
    CHECK_FALSE(stays(one, other));
    CHECK_FALSE(stays({{1, 2}, {0, 0}}, one));  // 0 is no short vector here
  }
}

TEST_CASE("rotation origin: the running mean follows from the codebook's averages") {
  constexpr int64_t R = 30, K = 6, D = 5;
  for (Accumulators accumulators : {Accumulators::warm, Accumulators::zero})
    for (double decay : {0.9, 0.0}) {
      CodebookOptions options{
          .codes = K, .latent = D, .accumulators = accumulators, .decay = decay};
      options.dead_code_fraction = 0;
      VectorQuantizer quantizer(options, Estimator::rotation, Rng(3), test_device());
      Random random(643);
      const bool warm = accumulators == Accumulators::warm;
      // What the averages of sums and counts over all codes are, from the rows alone.
      double count = warm ? K : 0;
      Array sum = ref::zeros({D});
      const Array codes = to_array(quantizer.codebook().weight().value());
      for (int64_t k = 0; k < K && warm; ++k) sum = ref::add(sum, ref::row_of(codes, k));
      if (!warm) CHECK(ref::norm(to_array(quantizer.codebook().mean())) == 0.0);
      for (int step = 0; step < 4; ++step) {
        const Array e = rounded(random.array({R, D}, 0.5, 2.0));
        Array rows = ref::zeros({D});
        for (int64_t r = 0; r < R; ++r) rows = ref::add(rows, ref::row_of(e, r));
        train(quantizer, Variable(to_tensor(e), true));
        count = decay * count + (1 - decay) * R;
        sum = ref::add(ref::scale(sum, decay), ref::scale(rows, 1 - decay));
        CHECK(error(quantizer.codebook().mean(), ref::scale(sum, 1 / count)) <= 1e-6);
      }
    }
}

TEST_CASE("rotation origin: a pass turns about the mean of before its update") {
  for (CodebookLearning owner :
       {CodebookLearning::ema, CodebookLearning::gradient, CodebookLearning::both}) {
    EstimatorOptions estimator = Estimator::rotation;
    estimator.origin = {.mean = true};
    VectorQuantizer quantizer({.codes = 6, .latent = 5, .learning = owner, .decay = 0.5}, estimator,
                              Rng(3), test_device());
    Random random(644);
    for (int step = 0; step < 3; ++step) {
      const Array e = rounded(random.array({30, 5}, 0.5, 2.0)), g = random.array({30, 5});
      const Array before = to_array(quantizer.codebook().mean());
      const Variable leaf(to_tensor(e), true);
      const TrainedPass out = train(quantizer, leaf);
      CHECK(ref::relative_error(to_array(quantizer.codebook().mean()), before) > 1e-3);
      CHECK(to_array(out.origin).data == before.data);
      CHECK((bits_of(out.value.value()) == bits_of(out.codes)));
      backward_with(out.value, to_tensor(g));
      const Passed expected =
          pass(Estimator::rotation, e, to_array(out.codes), g, to_tensor(before));
      CHECK((bits_of(leaf.grad()) == bits_of(expected.gradient)));
    }
  }
}

}  // namespace versor::testing
