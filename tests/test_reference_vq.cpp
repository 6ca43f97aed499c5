// Checks the quantizer's double reference: the O(D) gradients against the dense matrices and
// against finite differences of the surrogate with index, R, H and lambda frozen; the invariants
// that make R a rotation and H a reflection; every edge rule on both sides of its border; and
// codebook, losses, usage and Adam against numbers worked out by hand. Read next:
// test_reference.cpp.
#include <doctest/doctest.h>

#include <array>
#include <string>

#include "tests/reference.h"

namespace {

namespace ref = versor::reference;
using ref::Array;
using ref::Estimator;
using ref::gradient_error;
using ref::Indices;
using ref::Random;
using ref::relative_error;
using Function = std::function<Array(const Array&)>;

constexpr double kTolerance = 1e-6;
constexpr double kExact = 1e-12;  // equal up to the rounding of sums of a few hundred terms

constexpr std::array kEstimators = {Estimator::ste, Estimator::rotation, Estimator::reflection,
                                    Estimator::published, Estimator::rotation_unscaled};

// A vector [D] as the one row of a matrix.
Array as_row(const Array& x) {
  return {{1, x.count()}, x.data};
}

Array value_of(Estimator estimator, const Array& e, const Array& q) {
  return {e.shape, ref::estimator_value(estimator, as_row(e), as_row(q)).data};
}

Array gradient_of(Estimator estimator, const Array& e, const Array& q, const Array& g) {
  return {e.shape, ref::estimator_gradient(estimator, as_row(e), as_row(q), as_row(g)).data};
}

// Gaussian elimination with the largest pivot of each column.
double determinant(Array m) {
  const int64_t size = m.dim(0);
  double result = 1.0;
  for (int64_t k = 0; k < size; ++k) {
    int64_t pivot = k;
    for (int64_t i = k; i < size; ++i)
      if (std::abs(m.at(i, k)) > std::abs(m.at(pivot, k))) pivot = i;
    if (pivot != k) result = -result;
    for (int64_t j = 0; j < size; ++j) std::swap(m.at(k, j), m.at(pivot, j));
    result *= m.at(k, k);
    for (int64_t i = k + 1; i < size; ++i) {
      const double factor = m.at(i, k) / m.at(k, k);
      for (int64_t j = k; j < size; ++j) m.at(i, j) -= factor * m.at(k, j);
    }
  }
  return result;
}

Array identity(int64_t size) {
  Array m = ref::zeros({size, size});
  for (int64_t i = 0; i < size; ++i) m.at(i, i) = 1.0;
  return m;
}

bool all_finite(const Array& x) {
  for (double value : x.data)
    if (!std::isfinite(value)) return false;
  return true;
}

// Codes as long as the vector, far shorter, far longer.
constexpr std::array kCodeScales = {1.0, 1e-3, 50.0};

}  // namespace

TEST_CASE("reference: nearest code, ties to the lowest index") {
  const Array codes{{4, 2}, {0, 0, 3, 0, 0, 4, 3, 0}};
  const Array e{{5, 2}, {0.1, 0.1, 2, 0, 0, 3, 1.5, 0, 3, 0}};
  CHECK(ref::nearest_code(e, codes) == Indices{0, 1, 2, 0, 1});
  CHECK(ref::nearest_code(e, {{1, 2}, {9, 9}}) == Indices{0, 0, 0, 0, 0});
  CHECK(ref::nearest_code(e, ref::filled({1000, 2}, 0.5)) == Indices(5, 0));
  Random random(20);
  const Array many = random.array({50, 6}), points = random.array({40, 6});
  const Indices nearest = ref::nearest_code(points, many);
  for (int64_t r = 0; r < 40; ++r) {
    const Array point = ref::row_of(points, r);
    const int64_t chosen = nearest[static_cast<size_t>(r)];
    const double distance = ref::norm(ref::sub(point, ref::row_of(many, chosen)));
    for (int64_t j = 0; j < 50; ++j)
      if (j != chosen) CHECK(ref::norm(ref::sub(point, ref::row_of(many, j))) > distance);
  }
}

TEST_CASE("reference: estimator gradients match the frozen surrogate") {
  Random random(21);
  for (int64_t size : {2, 3, 8, 33, 256})
    for (double code_scale : kCodeScales) {
      CAPTURE(size);
      CAPTURE(code_scale);
      const Array e = random.array({size}), g = random.array({size});
      const Array q = random.array({size}, -code_scale, code_scale);
      const double lambda = ref::norm(q) / ref::norm(e);
      const Array rotation = ref::rotation_matrix(e, q), mirror = ref::reflection_matrix(e, q);
      const Array by_r = gradient_of(Estimator::rotation, e, q, g);
      const Array by_h = gradient_of(Estimator::reflection, e, q, g);
      const Array turned = gradient_of(Estimator::rotation_unscaled, e, q, g);
      const Function rotate = [&](const Array& v) {
        return ref::scale(ref::apply(rotation, v), lambda);
      };
      const Function turn = [&](const Array& v) { return ref::apply(rotation, v); };
      const Function reflect = [&](const Array& v) {
        return ref::scale(ref::apply(mirror, v), lambda);
      };
      CHECK(gradient_error(by_r, rotate, e, g) <= kTolerance);
      CHECK(gradient_error(by_h, reflect, e, g) <= kTolerance);
      CHECK(gradient_error(turned, turn, e, g) <= kTolerance);
      // Here the differentiated function also gives the value passed on.
      CHECK(relative_error(value_of(Estimator::rotation_unscaled, e, q), turn(e)) <= kExact);
      CHECK(relative_error(turned, ref::apply_transposed(rotation, g)) <= kExact);
      const Array dense_r = ref::scale(ref::apply_transposed(rotation, g), lambda);
      const Array dense_h = ref::scale(ref::apply(mirror, g), lambda);
      CHECK(relative_error(by_r, dense_r) <= kExact);
      CHECK(relative_error(by_h, dense_h) <= kExact);
      CHECK(relative_error(by_r, by_h) > 1e-3);  // they are different estimators
      CHECK(gradient_of(Estimator::ste, e, q, g).data == g.data);
      CHECK(gradient_of(Estimator::published, e, q, g).data == g.data);
      for (Estimator estimator : kEstimators) {
        const Array m = ref::surrogate_matrix(estimator, e, q);
        CHECK(relative_error(gradient_of(estimator, e, q, g), ref::apply_transposed(m, g)) <=
              kExact);
      }
    }
}

TEST_CASE("reference: rotation and reflection keep their invariants") {
  Random random(22);
  for (int64_t size : {2, 3, 8, 33})
    for (double code_scale : kCodeScales) {
      CAPTURE(size);
      CAPTURE(code_scale);
      const Array e = random.array({size}), g = random.array({size});
      const Array q = random.array({size}, -code_scale, code_scale);
      const ref::Directions s = ref::directions(e, q);
      CHECK(s.lambda == doctest::Approx(ref::norm(q) / ref::norm(e)).epsilon(kExact));
      for (Estimator estimator : {Estimator::rotation, Estimator::reflection}) {
        const Array d = gradient_of(estimator, e, q, g);
        CHECK(ref::norm(d) == doctest::Approx(s.lambda * ref::norm(g)).epsilon(kExact));
        const double along_q = s.lambda * ref::dot(s.q_hat, g);
        CHECK(std::abs(ref::dot(s.e_hat, d) - along_q) <= kExact * s.lambda * ref::norm(g));
        const Array m = ref::surrogate_matrix(estimator, e, q);
        CHECK(relative_error(ref::apply(m, e), q) <= kExact);  // lambda R e = q, lambda H e = q
      }
      const Array turned = gradient_of(Estimator::rotation_unscaled, e, q, g);
      const Array value = value_of(Estimator::rotation_unscaled, e, q);
      CHECK(ref::norm(turned) == doctest::Approx(ref::norm(g)).epsilon(kExact));
      CHECK(ref::norm(value) == doctest::Approx(ref::norm(e)).epsilon(kExact));
      const Array r = ref::rotation_matrix(e, q), h = ref::reflection_matrix(e, q);
      CHECK(relative_error(ref::matmul(r, r, true, false), identity(size)) <= kExact);
      CHECK(relative_error(ref::matmul(h, h, false, false), identity(size)) <= kExact);
      CHECK(determinant(r) == doctest::Approx(1.0).epsilon(1e-10));
      CHECK(determinant(h) == doctest::Approx(-1.0).epsilon(1e-10));
      CHECK(relative_error(ref::rotation_matrix(e, e), identity(size)) <= kExact);
      CHECK(relative_error(gradient_of(Estimator::rotation, e, e, g), g) <= kExact);
    }
}

TEST_CASE("reference: values passed on") {
  Random random(23);
  for (int64_t size : {1, 2, 8, 256}) {
    const Array e = random.away_from_zero({size}), q = random.away_from_zero({size});
    for (Estimator estimator : {Estimator::ste, Estimator::rotation, Estimator::reflection})
      CHECK(value_of(estimator, e, q).data == q.data);  // bit for bit
    const Array zero = ref::zeros({size}), value = value_of(Estimator::published, e, q);
    const Array q_hat = ref::scale(q, 1.0 / ref::norm(q));
    CHECK(relative_error(value, ref::scale(q_hat, ref::norm(e))) <= kExact);
    if (size > 1)
      CHECK(relative_error(value, ref::apply(ref::reflection_matrix(e, q), e)) <= kExact);
    CHECK(value_of(Estimator::rotation_unscaled, e, q).data == value.data);
    CHECK(value_of(Estimator::rotation_unscaled, e, zero).data == e.data);
    CHECK(value_of(Estimator::published, e, e).data == e.data);
    CHECK(value_of(Estimator::published, e, ref::scale(e, 4.0)).data == e.data);
    CHECK(value_of(Estimator::published, e, zero).data == ref::neg(e).data);
    CHECK(ref::norm(value_of(Estimator::published, zero, q)) == 0.0);
    CHECK(ref::norm(value_of(Estimator::published, zero, zero)) == 0.0);
  }
  // Hand: e = (3, 4) has length 5, q points along the second axis.
  CHECK(relative_error(value_of(Estimator::published, {{2}, {3, 4}}, {{2}, {0, 0.1}}),
                       {{2}, {0, 5}}) <= kExact);
}

TEST_CASE("reference: gradients by hand in the plane and on the line") {
  // A quarter turn from (1, 0) to (0, 2): R = [0 -1; 1 0], lambda = 2, so lambda R^T g = 2 (g1,
  // -g0).
  const Array e{{2}, {1, 0}}, q{{2}, {0, 2}}, g{{2}, {3, 5}};
  CHECK(relative_error(gradient_of(Estimator::rotation, e, q, g), {{2}, {10, -6}}) <= kExact);
  CHECK(relative_error(gradient_of(Estimator::reflection, e, q, g), {{2}, {10, 6}}) <= kExact);
  CHECK(relative_error(gradient_of(Estimator::rotation_unscaled, e, q, g), {{2}, {5, -3}}) <=
        kExact);
  // On a line a rotation can only keep the sign, a reflection only change it.
  const Array one{{1}, {1}}, three{{1}, {3}}, minus{{1}, {-3}}, d{{1}, {7}};
  CHECK(gradient_of(Estimator::rotation, one, three, d)[0] == doctest::Approx(21).epsilon(kExact));
  CHECK(gradient_of(Estimator::rotation, one, minus, d)[0] == 7.0);
  CHECK(gradient_of(Estimator::reflection, one, three, d)[0] == 7.0);
  CHECK(gradient_of(Estimator::reflection, one, minus, d)[0] ==
        doctest::Approx(-21).epsilon(kExact));
}

TEST_CASE("reference: edge rules on both sides of their borders") {
  // Angle delta between e and q: |e_hat - q_hat| = 2 sin(delta / 2), the border is at sqrt(2e-4).
  const double border = 2.0 * std::asin(std::sqrt(2e-4) / 2.0);
  const double pi = std::acos(-1.0);
  const Array e{{2}, {1, 0}}, g{{2}, {0.3, -0.7}};
  const auto turned = [](double angle, double length) {
    return Array{{2}, {length * std::cos(angle), length * std::sin(angle)}};
  };
  const auto unchanged = [&](Estimator estimator, const Array& vector, const Array& code) {
    const Array m = ref::surrogate_matrix(estimator, vector, code);
    const bool same = gradient_of(estimator, vector, code, g).data == g.data;
    CHECK(same == (m.data == identity(2).data));
    return same;
  };
  for (double length : {0.5, 2.0}) {
    CHECK(unchanged(Estimator::reflection, e, turned(0.999 * border, length)));
    CHECK_FALSE(unchanged(Estimator::reflection, e, turned(1.001 * border, length)));
    CHECK(unchanged(Estimator::rotation, e, turned(pi - 0.999 * border, length)));
    CHECK_FALSE(unchanged(Estimator::rotation, e, turned(pi - 1.001 * border, length)));
    CHECK_FALSE(unchanged(Estimator::rotation, e, turned(0.5 * border, length)));
    CHECK_FALSE(unchanged(Estimator::reflection, e, turned(pi - 0.5 * border, length)));
    CHECK(unchanged(Estimator::rotation_unscaled, e, turned(pi - 0.999 * border, length)));
    CHECK_FALSE(unchanged(Estimator::rotation_unscaled, e, turned(pi - 1.001 * border, length)));
  }
  for (Estimator estimator :
       {Estimator::rotation, Estimator::reflection, Estimator::rotation_unscaled}) {
    CHECK(unchanged(estimator, e, turned(1.0, 0.999e-6)));
    CHECK_FALSE(unchanged(estimator, e, turned(1.0, 1.001e-6)));
    CHECK(unchanged(estimator, ref::scale(e, 0.999e-6), turned(1.0, 1.0)));
    CHECK_FALSE(unchanged(estimator, ref::scale(e, 1.001e-6), turned(1.0, 1.0)));
  }
  // Just inside the border the rotation by almost half a turn is still an exact rotation.
  const Array q = turned(pi - 1.001 * border, 2.0);
  const Array d = gradient_of(Estimator::rotation, e, q, g);
  CHECK(ref::norm(d) == doctest::Approx(2.0 * ref::norm(g)).epsilon(1e-10));
}

TEST_CASE("reference: everything stays finite at the edges") {
  Random random(24);
  const std::array lengths = {0.0, 1e-20, 1e-7, 1e-5, 1.0, 1e20};
  for (int64_t size : {1, 2, 8}) {
    const Array direction = random.away_from_zero({size}), other = random.away_from_zero({size});
    const Array g = random.array({size});
    for (double e_length : lengths)
      for (double q_length : lengths)
        for (const Array& code :
             {direction, ref::neg(direction), ref::scale(direction, -3.0), other}) {
          CAPTURE(size);
          CAPTURE(e_length);
          CAPTURE(q_length);
          const Array e = ref::scale(direction, e_length), q = ref::scale(code, q_length);
          for (Estimator estimator : kEstimators) {
            CHECK(all_finite(value_of(estimator, e, q)));
            CHECK(all_finite(gradient_of(estimator, e, q, g)));
          }
          const bool short_pair = ref::norm(e) < 1e-6 || ref::norm(q) < 1e-6;
          const bool opposite = code[0] == -direction[0] || code[0] == -3.0 * direction[0];
          if (short_pair || opposite)
            for (Estimator rotation : {Estimator::rotation, Estimator::rotation_unscaled})
              CHECK(gradient_of(rotation, e, q, g).data == g.data);
          // The value passed on and the differentiated function are the same, short vectors
          // included.
          const Estimator unscaled = Estimator::rotation_unscaled;
          if (short_pair || !opposite)
            CHECK(relative_error(value_of(unscaled, e, q),
                                 ref::apply(ref::surrogate_matrix(unscaled, e, q), e)) <= kExact);
          if (short_pair || code[0] == direction[0])
            CHECK(gradient_of(Estimator::reflection, e, q, g).data == g.data);
          if (!short_pair && code[0] == direction[0])
            CHECK(relative_error(gradient_of(Estimator::rotation, e, q, g),
                                 ref::scale(g, q_length / e_length)) <= kExact);
        }
  }
}

TEST_CASE("reference: losses and their stopped gradients") {
  const Array x_hat{{1, 2}, {1, 2}}, x{{1, 2}, {0, 0}}, e{{1, 2}, {3, 0}}, q{{1, 2}, {1, 0}};
  const ref::Losses l = ref::losses(x_hat, x, e, q, 0.25);
  CHECK(l.reconstruction == 2.5);
  CHECK(l.codebook == 2.0);
  CHECK(l.commitment == 2.0);
  CHECK(l.total == 2.5 + 2.0 + 0.5);
  Random random(25);
  const Array r = random.array({4, 3}), t = random.array({4, 3}), one = ref::scalar(1.0);
  const Array u = random.array({5, 2}), c = random.array({5, 2});
  const double beta = 0.4;
  const ref::LossGradients d = ref::losses_grad(r, t, u, c, beta);
  // Each stopped argument is held at its own value while the other moves.
  const Function of_x_hat = [&](const Array& v) {
    return ref::scalar(ref::losses(v, t, u, c, beta).total);
  };
  const Function of_e = [&](const Array& v) {
    return ref::scalar(beta * ref::losses(r, t, v, c, beta).commitment);
  };
  const Function of_q = [&](const Array& v) {
    return ref::scalar(ref::losses(r, t, u, v, beta).codebook);
  };
  CHECK(gradient_error(d.x_hat, of_x_hat, r, one) <= kTolerance);
  CHECK(gradient_error(d.e, of_e, u, one) <= kTolerance);
  CHECK(gradient_error(d.q, of_q, c, one) <= kTolerance);
}

TEST_CASE("reference: three EMA steps by hand") {
  // Two codes of one number, decay 1/2, epsilon 1/10; the fractions follow from eq. 3-5.
  const std::vector<std::pair<Array, Indices>> batches = {
      {{{3, 1}, {1, 2, 6}}, {0, 0, 1}},
      {{{2, 1}, {4, 8}}, {0, 0}},
      {{{4, 1}, {3, 5, 7, 9}}, {1, 1, 0, 1}},
  };
  const std::vector<std::vector<double>> warm = {
      {27.0 / 20, 27.0 / 5}, {1372.0 / 333, 539.0 / 108}, {7448.0 / 1475, 10507.0 / 1850}};
  const std::vector<std::vector<double>> zero = {
      {17.0 / 11, 17.0 / 3}, {1053.0 / 224, 234.0 / 49}, {2255.0 / 414, 3034.0 / 529}};
  const Array start{{2, 1}, {1, 5}};
  ref::Codebook a = ref::warm_codebook(start), b = ref::zero_codebook(start);
  CHECK(b.codes.data == start.data);
  for (size_t step = 0; step < 3; ++step) {
    a = ref::ema_update(a, batches[step].first, batches[step].second, 0.5, 0.1);
    b = ref::ema_update(b, batches[step].first, batches[step].second, 0.5, 0.1);
    CHECK(relative_error(a.codes, {{2, 1}, warm[step]}) <= kExact);
    CHECK(relative_error(b.codes, {{2, 1}, zero[step]}) <= kExact);
  }
  CHECK(a.count.data == std::vector<double>{11.0 / 8, 7.0 / 4});
  CHECK(a.sum.data == std::vector<double>{7.0, 79.0 / 8});
}

TEST_CASE("reference: EMA and codes that nobody uses") {
  Random random(26);
  const Array codes = random.array({3, 4}), e = random.array({10, 4});
  const Indices first(10, 1);  // all rows on code 1
  const ref::Codebook warm = ref::ema_update(ref::warm_codebook(codes), e, first, 0.99, 1e-5);
  const ref::Codebook zero = ref::ema_update(ref::zero_codebook(codes), e, first, 0.99, 1e-5);
  for (int64_t d = 0; d < 4; ++d) {
    CHECK(warm.codes.at(0, d) == doctest::Approx(codes.at(0, d)).epsilon(2e-5));
    CHECK(zero.codes.at(0, d) == 0.0);
    CHECK(zero.codes.at(2, d) == 0.0);
  }
  const ref::Codebook means = ref::ema_update(ref::warm_codebook(codes), e, first, 0.0, 1e-12);
  const Array mean = ref::scale(ref::sum_axis0(e), 0.1);
  CHECK(relative_error(ref::row_of(means.codes, 1), mean) <= 1e-10);
}

TEST_CASE("reference: k-means step") {
  const Array points{{4, 1}, {0, 1, 10, 12}};
  CHECK(ref::kmeans_step(points, {{2, 1}, {2, 9}}, {}).data == std::vector<double>{0.5, 11});
  // Centers 0 and 3 attract nothing: they take rows 3 and 2, in this order.
  CHECK(ref::kmeans_step(points, {{4, 1}, {-50, 2, 9, 70}}, {3, 2}).data ==
        std::vector<double>{12, 0.5, 11, 10});
  Random random(27);
  const Array cloud = random.array({60, 3});
  Array centers = random.array({5, 3});
  double before = 1e300;
  for (int step = 0; step < 5; ++step) {
    const Array nearest = ref::gather_rows(centers, ref::nearest_code(cloud, centers));
    const double error = ref::mse(cloud, nearest);
    CHECK(error < before);
    before = error;
    centers = ref::kmeans_step(cloud, centers, {0, 1, 2, 3, 4});
  }
}

TEST_CASE("reference: perplexity and usage") {
  CHECK(ref::perplexity(ref::filled({7}, 3.0)) == doctest::Approx(7.0).epsilon(kExact));
  CHECK(ref::perplexity({{4}, {0, 9, 0, 0}}) == doctest::Approx(1.0).epsilon(kExact));
  CHECK(ref::perplexity({{3}, {1, 3, 0}}) == doctest::Approx(1.7547653506033232).epsilon(kExact));
  // Uniform would be 100 each, so the border is at 10: in at 10, out at 9.
  CHECK(ref::usage({{4}, {281, 100, 10, 9}}) == 0.75);
  CHECK(ref::usage({{4}, {281, 100, 10, 9}}, 50.0) == 0.5);
  CHECK(ref::usage(ref::filled({5}, 2.0)) == 1.0);
}

TEST_CASE("reference: Adam by hand") {
  // Three steps with gradients 1/2, -1, 1/4; the decimals are the formula in 40 digits.
  const ref::AdamOptions options{.lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 0.01};
  ref::AdamState s{{{1}, {1.0}}, {{1}, {0.0}}, {{1}, {0.0}}};
  const std::array gradients = {0.5, -1.0, 0.25};
  const std::array expected = {0.90196078431372549, 0.93811390086068744, 0.95157937377877743};
  for (size_t i = 0; i < 3; ++i) {
    s = ref::adam_step(s, {{1}, {gradients[i]}}, static_cast<int64_t>(i) + 1, options);
    CHECK(s.parameter[0] == doctest::Approx(expected[i]).epsilon(kExact));
  }
  CHECK(s.m[0] == doctest::Approx(-0.0245).epsilon(kExact));
  CHECK(s.v[0] == doctest::Approx(0.00131100025).epsilon(kExact));
  // The defaults: a first step moves every element by the learning rate against its gradient.
  const Array start{{2}, {1.0, -2.0}}, none = ref::zeros({2});
  const Array moved = ref::adam_step({start, none, none}, {{2}, {5.0, -0.01}}, 1, {}).parameter;
  CHECK(moved[0] == doctest::Approx(1.0 - 2e-4).epsilon(1e-9));
  CHECK(moved[1] == doctest::Approx(-2.0 + 2e-4).epsilon(1e-9));
}
