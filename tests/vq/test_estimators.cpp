// Gradient estimators (formulas: vq/README.md): what the decoder gets, bit for bit, and what the
// encoder gets back, against the double reference that is checked against dense matrices; the
// invariants of a rotation and a reflection; the statistics of geometry(). Edges:
// test_estimator_edges.cpp.
#include "tests/reference_family.h"
#include "tests/vq/support.h"
#include "vq/backend.h"
#include "vq/estimators.h"
#include "vq/names.h"
#include "vq/ops.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;
using ref::Random;

struct Pair {
  Estimator ours;
  ref::Estimator reference;
};
constexpr Pair kEstimators[] = {{Estimator::ste, ref::Estimator::ste},
                                {Estimator::rotation, ref::Estimator::rotation},
                                {Estimator::reflection, ref::Estimator::reflection},
                                {Estimator::published, ref::Estimator::published},
                                {Estimator::rotation_unscaled, ref::Estimator::rotation_unscaled}};

// Whether the value passed on is |e| q_hat.
bool is_unscaled(Estimator estimator) {
  return estimator == Estimator::published || estimator == Estimator::rotation_unscaled;
}

constexpr double kCodeScales[] = {1.0, 1e-3, 50.0};  // as long as the vector, shorter, longer

struct Passed {
  Tensor value, gradient;
};

Passed pass(Estimator estimator, const Array& e, const Array& q, const Array& g) {
  const Variable leaf(to_tensor(e), true);
  const Variable y = pass_through(leaf, to_tensor(q), estimator);
  backward_with(y, to_tensor(g));
  return {y.value(), leaf.grad()};
}

TEST_CASE("estimators: value and gradient against the reference") {
  Random random(600);
  for (int64_t D : {1, 2, 3, 8, 33, 256})
    for (double scale : kCodeScales) {
      CAPTURE(D);
      CAPTURE(scale);
      const Array e = rounded(random.away_from_zero({70, D})), g = rounded(random.array({70, D}));
      Array q = rounded(ref::scale(random.away_from_zero({70, D}), scale));
      for (int64_t d = 0; d < D; ++d) q.at(0, d) = 0;  // +0 stays +0
      for (const auto& [ours, reference] : kEstimators) {
        const Passed result = pass(ours, e, q, g);
        const Array expected = ref::estimator_gradient(reference, e, q, g);
        const Array gradient = to_array(result.gradient);
        CHECK(ref::relative_error(gradient, expected) <= kTolerance);
        for (int64_t r = 0; r < 70; ++r)  // row by row, so that no row hides behind a larger one
          CHECK(ref::relative_error(ref::row_of(gradient, r), ref::row_of(expected, r)) <=
                kTolerance);
        if (is_unscaled(ours)) {
          CHECK(error(result.value, ref::estimator_value(reference, e, q)) <= 1e-6);
          CHECK(ref::relative_error(to_array(result.value), q) > 1e-2);  // it is not q
        } else {
          CHECK((bits_of(result.value) == bits_of(to_tensor(q))));
        }
        if (ours == Estimator::ste || ours == Estimator::published)
          CHECK((bits_of(result.gradient) == bits_of(to_tensor(g))));
      }
    }
}

TEST_CASE("estimators: rotation and reflection keep length and angle") {
  Random random(601);
  for (int64_t D : {2, 3, 8, 256})
    for (double scale : kCodeScales) {
      const Array e = rounded(random.array({40, D})), g = rounded(random.array({40, D}));
      const Array q = rounded(random.array({40, D}, -scale, scale));
      for (Estimator estimator : {Estimator::rotation, Estimator::reflection}) {
        const Array gradient = to_array(pass(estimator, e, q, g).gradient);
        for (int64_t r = 0; r < 40; ++r) {
          CAPTURE(D);
          CAPTURE(r);
          const Array de = ref::row_of(gradient, r), dy = ref::row_of(g, r);
          const ref::Directions s = ref::directions(ref::row_of(e, r), ref::row_of(q, r));
          const double size = s.lambda * ref::norm(dy);
          CHECK(std::abs(ref::norm(de) - size) <= 1e-6 * size);  // |de| = lambda |g|
          // e_hat.de = lambda q_hat.g
          CHECK(std::abs(ref::dot(s.e_hat, de) - s.lambda * ref::dot(s.q_hat, dy)) <= 1e-6 * size);
        }
      }
    }
}

// The rotation without its scale: the gradient is turned and keeps its length, as the value does.
TEST_CASE("estimators: rotation_unscaled keeps the lengths of value and gradient") {
  Random random(606);
  for (int64_t D : {3, 8, 256})  // in the plane the edge rule would apply to some rows
    for (double scale : kCodeScales) {
      const Array e = rounded(random.array({40, D})), g = rounded(random.array({40, D}));
      const Array q = rounded(random.array({40, D}, -scale, scale));
      const Passed turned = pass(Estimator::rotation_unscaled, e, q, g);
      const Passed published = pass(Estimator::published, e, q, g);
      CHECK((bits_of(turned.value) == bits_of(published.value)));
      CHECK(ref::relative_error(to_array(turned.gradient), g) > 1e-2);  // it is not g
      const Array rotation = to_array(pass(Estimator::rotation, e, q, g).gradient);
      for (int64_t r = 0; r < 40; ++r) {
        CAPTURE(D);
        CAPTURE(r);
        const Array e_row = ref::row_of(e, r), dy = ref::row_of(g, r);
        const Array value = ref::row_of(to_array(turned.value), r);
        const Array de = ref::row_of(to_array(turned.gradient), r);
        CHECK(ref::norm(value) == doctest::Approx(ref::norm(e_row)).epsilon(1e-6));
        CHECK(ref::norm(de) == doctest::Approx(ref::norm(dy)).epsilon(1e-6));
        // e_hat.de = q_hat.g, and lambda is all that rotation adds.
        const ref::Directions s = ref::directions(e_row, ref::row_of(q, r));
        const double along = ref::dot(s.e_hat, de) - ref::dot(s.q_hat, dy);
        CHECK(std::abs(along) <= 1e-6 * ref::norm(dy));
        CHECK(ref::relative_error(ref::scale(de, s.lambda), ref::row_of(rotation, r)) <= 1e-6);
      }
    }
}

TEST_CASE("estimators: the gradient may be written over dy") {
  Random random(607);
  for (int64_t D : {1, 7, 64, 300}) {
    const Tensor e = to_tensor(random.array({33, D})), q = to_tensor(random.array({33, D}));
    for (Estimator estimator : {Estimator::ste, Estimator::rotation, Estimator::reflection,
                                Estimator::published, Estimator::rotation_unscaled}) {
      const Tensor g = to_tensor(random.array({33, D}));
      const std::string before = bits_of(g);
      const Tensor apart = vq::estimator_grad(g, e, q, estimator);  // g is held: not overwritten
      CHECK((bits_of(g) == before));
      CHECK_FALSE(apart.shares_storage_with(g));
      Tensor over = ops::clone(g);
      const void* memory = over.address();
      over = vq::estimator_grad(std::move(over), e, q, estimator);
      CHECK(over.address() == memory);
      CHECK((bits_of(over) == bits_of(apart)));
    }
  }
}

TEST_CASE("estimators: gradients by hand") {
  // A quarter turn from (1,0) to (0,2): R = [0 -1; 1 0], lambda = 2, so 2 R^T g = 2 (g1, -g0).
  const Array e{{1, 2}, {1, 0}}, q{{1, 2}, {0, 2}}, g{{1, 2}, {3, 5}};
  CHECK(error(pass(Estimator::rotation, e, q, g).gradient, {{1, 2}, {10, -6}}) <= 1e-7);
  CHECK(error(pass(Estimator::reflection, e, q, g).gradient, {{1, 2}, {10, 6}}) <= 1e-7);
  CHECK(error(pass(Estimator::rotation_unscaled, e, q, g).gradient, {{1, 2}, {5, -3}}) <= 1e-7);
  // |e| = 5, q along the second axis.
  const Array value{{1, 2}, {0, 5}}, five{{1, 2}, {3, 4}}, up{{1, 2}, {0, 0.125}};
  CHECK(error(pass(Estimator::published, five, up, g).value, value) <= 1e-7);
  CHECK(error(pass(Estimator::rotation_unscaled, five, up, g).value, value) <= 1e-7);
}

TEST_CASE("estimators: gradients of several uses add up, and a second one is refused") {
  const Variable e(to_tensor({{1, 2}, {1, 0}}), true);
  const Tensor q = to_tensor({{1, 2}, {0, 2}}), g = to_tensor({{1, 2}, {3, 5}});
  const Variable y = pass_through(e, q, Estimator::rotation);
  backward_with(y + e, g);
  CHECK(error(e.grad(), {{1, 2}, {13, -1}}) <= 1e-7);
  CHECK_THROWS_AS(backward_with(y, g), Error);
}

TEST_CASE("estimators: no gradient reaches the codebook through the value passed on") {
  Random random(602);
  for (const auto& [estimator, unused] : kEstimators)
    for (CodebookLearning owner : {CodebookLearning::gradient, CodebookLearning::both}) {
      VectorQuantizer quantizer({.codes = 5, .latent = 3, .learning = owner}, estimator, Rng(7),
                                test_device());
      const Variable e(to_tensor(random.array({20, 3})), true);
      const Quantized out = quantizer(e, true);
      backward_with(out.value, to_tensor(random.array({20, 3})));
      CHECK(e.grad().defined());
      CHECK_FALSE(quantizer.codebook().weight().grad().defined());
    }
}

TEST_CASE("estimators: outputs are written whole, and nothing beside them") {
  Random random(603);
  VqBackend& backend = vq_backend_for(test_device());
  for (int64_t R : {1, 37}) {
    const Array e = rounded(random.array({R, 9})), q = rounded(random.array({R, 9}));
    const Array g = rounded(random.array({R, 9}));
    for (const auto& [ours, reference] : kEstimators) {
      Fenced de({R, 9});
      backend.estimator_grad(de.view, to_tensor(g), to_tensor(e), to_tensor(q), ours);
      CHECK(error(de.view, ref::estimator_gradient(reference, e, q, g)) <= 1e-6);
      CHECK(de.intact());
    }
    Fenced stats({4});
    for (const auto& [ours, reference] : kEstimators) {
      if (!is_unscaled(ours)) continue;
      Fenced y({R, 9});
      backend.unscaled_value(y.view, to_tensor(e), to_tensor(q), ours);
      CHECK(error(y.view, ref::estimator_value(reference, e, q)) <= 1e-6);
      CHECK(y.intact());
    }
    backend.geometry(stats.view, to_tensor(e), to_tensor(q));
    CHECK(all_finite(stats.view));
    CHECK(stats.intact());
  }
}

TEST_CASE("estimators: the same bits for every number of threads") {
  Random random(604);
  const Array e = random.array({900, 40}), q = random.array({900, 40}), g = random.array({900, 40});
  for (const auto& [estimator, unused] : kEstimators) {
    const auto run = [&, estimator = estimator] {
      const Passed result = pass(estimator, e, q, g);
      return bits_of(result.value) + bits_of(result.gradient) +
             bits_of(vq::geometry(to_tensor(e), to_tensor(q)));
    };
    CHECK(same_bits_always(run));
  }
}

TEST_CASE("estimators: noise is that of its draw and its place, and is added alone") {
  const Rng rng(8, 2);
  for (int64_t n : {1, 255, 257, 70'000})
    for (Noise noise : {Noise::gumbel, Noise::normal}) {
      Fenced x(ref::filled({n}, 2)), draw(index_tensor({5}));
      vq_backend_for(test_device()).add_noise(x.view, noise, 0.5f, draw.view, rng.from(7));
      CHECK((x.intact() && draw.intact()));
      Array expected = ref::filled({n}, 2);
      const Rng stream = rng.split(5);
      for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<uint64_t>(i + 7);
        expected[i] += 0.5 * (noise == Noise::normal
                                  ? static_cast<double>(stream.normal(at))
                                  : -std::log(-std::log(static_cast<double>(stream.uniform(at)))));
      }
      CHECK(error(x.view, expected) <= 1e-6);
    }
  Tensor x = to_tensor(ref::filled({3}, 2));
  const Tensor two = index_tensor({5, 6});
  CHECK_THROWS_AS(vq::add_noise(x, Noise::normal, 1, two, rng), Error);
  CHECK_THROWS_AS(vq::add_noise(x, Noise::normal, 1, to_tensor(ref::filled({1}, 2)), rng), Error);
}

TEST_CASE(
    "estimators: codes are drawn with the noise of their place, however many rows there are") {
  constexpr int64_t R = 2500, K = 1024;  // 1,024 rows at a time
  const Rng rng(8, 2);
  ref::Random random(1108);
  const Tensor e = to_tensor(random.array({R, 3})), codes = to_tensor(random.array({K, 3}));
  const Tensor draw = index_tensor({3});
  Array u = to_array(ops::uniform({R, K}, rng.split(3), 0, 1, test_device()));
  for (double& x : u.data) x = -std::log(-std::log(x));
  const Array p = ref::code_probabilities(to_array(e), to_array(codes), 0.5, u);
  const Variable noisy =
      with_gumbel_noise(code_logits(Variable(e), Variable(codes), 0.5), draw, rng);
  CHECK(error(ops::softmax(noisy.value()), p) <= kTolerance);
  const Indices drawn = indices_of(drawn_code(e, codes, 0.5, draw, rng));
  CHECK(drawn == indices_of(ops::argmax(noisy.value())));
}

// Latents after a ReLU share a large common component, beside which f32 loses their distances.
TEST_CASE("estimators: probabilities and gradients far from the origin are those near it") {
  constexpr int64_t R = 24, K = 8, D = 16;
  constexpr double t = 0.02;
  for (double offset : {0.0, 100.0, -100.0, 1000.0}) {
    CAPTURE(offset);
    ref::Random random(1109);
    Array codes = random.array({K, D}, offset - 0.1, offset + 0.1), e = ref::zeros({R, D});
    for (int64_t r = 0; r < R; ++r)
      for (int64_t d = 0; d < D; ++d) e.at(r, d) = codes.at(r % K, d) + random.uniform(-0.06, 0.06);
    codes = rounded(codes), e = rounded(e);
    const Variable e_leaf(to_tensor(e), true), code_leaf(to_tensor(codes), true);
    const Variable p = softmax(code_logits(e_leaf, code_leaf, t));
    CHECK(error(p.value(), ref::code_probabilities(e, codes, t)) <= 1e-5);

    const Array g = random.array({R, K});
    backward_with(p, to_tensor(g));
    const auto of_e = [&](const Array& x) { return ref::code_probabilities(x, codes, t); };
    const auto of_codes = [&](const Array& c) { return ref::code_probabilities(e, c, t); };
    CHECK(error(e_leaf.grad(), ref::finite_difference(of_e, e, g)) <= kTolerance);
    CHECK(error(code_leaf.grad(), ref::finite_difference(of_codes, codes, g)) <= kTolerance);

    const Tensor draw = index_tensor({3});
    const Rng rng(8, 2);
    Array noise = to_array(ops::uniform({R, K}, rng.split(3), 0, 1, test_device()));
    for (double& u : noise.data) u = -std::log(-std::log(u));
    CHECK(indices_of(drawn_code(e_leaf.value(), code_leaf.value(), t, draw, rng)) ==
          ref::argmax(ref::code_probabilities(e, codes, t, noise)));
  }
}

TEST_CASE("geometry: largest and mean lambda, mean and largest angle") {
  const double pi = std::acos(-1.0);
  // lambda 2, 90 degrees; lambda 3, 0; lambda 1/2, 180; a zero row counts as lambda 1, angle 0.
  const Array e{{4, 2}, {1, 0, 0, 1, 2, 2, 0, 0}}, q{{4, 2}, {0, 2, 0, 3, -1, -1, 5, 5}};
  const auto stats = vq::geometry(to_tensor(e), to_tensor(q)).to_vector<float>();
  CHECK(stats[0] == 3.f);
  CHECK(stats[1] == doctest::Approx(6.5 / 4).epsilon(1e-6));
  CHECK(stats[2] == doctest::Approx(1.5 * pi / 4).epsilon(1e-6));
  CHECK(stats[3] == doctest::Approx(pi).epsilon(1e-6));
  // Small angles survive rounding: 1e-4 between (1,0) and (cos, sin).
  const Array near{{1, 2}, {std::cos(1e-4), std::sin(1e-4)}};
  const auto small = vq::geometry(to_tensor({{1, 2}, {1, 0}}), to_tensor(near));
  CHECK(small.to_vector<float>()[2] == doctest::Approx(1e-4).epsilon(1e-5));

  Random random(605);
  const Array many = rounded(random.array({300, 8})), codes = rounded(random.array({300, 8}));
  double largest = 0, mean = 0, angle = 0;
  for (int64_t r = 0; r < 300; ++r) {
    const ref::Directions s = ref::directions(ref::row_of(many, r), ref::row_of(codes, r));
    largest = std::max(largest, s.lambda);
    mean += s.lambda / 300;
    angle += std::acos(ref::dot(s.e_hat, s.q_hat)) / 300;
  }
  const auto all = vq::geometry(to_tensor(many), to_tensor(codes)).to_vector<float>();
  CHECK(all[0] == doctest::Approx(largest).epsilon(1e-6));
  CHECK(all[1] == doctest::Approx(mean).epsilon(1e-6));
  CHECK(all[2] == doctest::Approx(angle).epsilon(1e-6));
}

TEST_CASE("estimators: names, and errors that name the shapes") {
  for (const auto& [estimator, unused] : kEstimators)
    CHECK(parse_name<Estimator>(name_of(estimator)) == estimator);
  CHECK(parse_name<Estimator>("rotation") == Estimator::rotation);
  CHECK(parse_name<Estimator>("published") == Estimator::published);
  CHECK(parse_name<Estimator>("rotation_unscaled") == Estimator::rotation_unscaled);
  CHECK(contains(error_of([] { parse_name<Estimator>("STE"); }), "\"STE\""));
  const Tensor e = to_tensor(ref::zeros({4, 3})), q = to_tensor(ref::zeros({4, 2}));
  const std::string message = error_of([&] { vq::estimator_grad(e, e, q, Estimator::ste); });
  CHECK(contains(message, "[estimator_grad]"));
  CHECK(contains(message, "[4,3]"));
  CHECK(contains(message, "[4,2]"));
  const auto value = [&](const Tensor& code, Estimator estimator) {
    return error_of([&] { vq::unscaled_value(e, code, estimator); });
  };
  CHECK(contains(value(q, Estimator::published), "[unscaled_value]"));
  CHECK(contains(value(e, Estimator::rotation), "[unscaled_value]"));
  CHECK(contains(error_of([&] { vq::geometry(e, q); }), "[geometry]"));
}

}  // namespace
}  // namespace versor::testing
