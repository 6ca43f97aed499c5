// t-SNE: the gradient against finite differences, the definitions as naive loops, scikit-learn's
// exact method (tests/golden/make_tsne_golden.py), and sets of points that break other programs.
// Read next: test_tsne.cpp, the program.
#include <cmath>
#include <limits>
#include <numeric>

#include "experiments/tsne/embedding.h"
#include "nn/safetensors.h"
#include "tensor/rng.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

constexpr double kEntropyTolerance = 1e-5;

// Uniform on [-1,1).
template <class T>
std::vector<T> draw(int64_t count, uint64_t seed) {
  const Rng rng(seed);
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[i] = 2 * rng.uniform(i) - 1;
  return values;
}

Tensor points_of(const std::vector<float>& values, int64_t d) {
  return Tensor::from(values, {static_cast<int64_t>(values.size()) / d, d});
}

// n points around `count` corners that are `distance` apart along axes of their own.
std::vector<float> clusters(int64_t n, int64_t d, int64_t count, float distance) {
  std::vector<float> values = draw<float>(n * d, 5);
  for (int64_t i = 0; i < n; ++i) values[i * d + i % count] += distance;
  return values;
}

Layout draw_layout(int64_t n) {
  return {draw<double>(n, 21), draw<double>(n, 22)};
}

std::vector<double> joint(int64_t n, double perplexity) {
  std::vector<double> p = squared_distances(draw<double>(n * 3, 4), n);
  CHECK(to_conditional(p, n, perplexity) <= kEntropyTolerance);
  to_joint(p, n);
  return p;
}

// The function whose gradient is the one with exaggeration a: -a sum p log w + log sum w, from its
// definition.
double objective(const std::vector<double>& p, const Layout& y, double a) {
  const size_t n = y.x.size();
  double attraction = 0, weight = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      if (i == j) continue;
      const double w = 1 / (1 + std::pow(y.x[i] - y.x[j], 2) + std::pow(y.y[i] - y.y[j], 2));
      attraction -= p[i * n + j] * std::log(w);
      weight += w;
    }
  return a * attraction + std::log(weight);
}

void check_finite(const Embedding& e, int64_t n) {
  REQUIRE(e.xy.size() == static_cast<size_t>(2 * n));
  REQUIRE(e.representative.size() == static_cast<size_t>(n));
  for (double v : e.xy) REQUIRE(std::isfinite(v));
  CHECK(std::isfinite(e.kl + e.entropy_error));
}

double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

std::vector<double> in_double(const Tensor& t) {
  const std::vector<float> values = t.to_vector<float>();
  return {values.begin(), values.end()};
}

std::string bits_of(const std::vector<double>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)};
}

}  // namespace

TEST_CASE("t-SNE: the gradient is that of the divergence, by finite differences") {
  const int64_t n = 13;
  const std::vector<double> p = joint(n, 4);
  const Layout y = draw_layout(n);
  constexpr double kStep = 1e-5;
  for (double a : {1.0, 12.0}) {
    const Layout gradient = kl_gradient(p, y, a);
    std::vector<double> found, expected;
    for (int64_t i = 0; i < 2 * n; ++i) {
      Layout more = y, less = y;
      (i < n ? more.x[i] : more.y[i - n]) += kStep;
      (i < n ? less.x[i] : less.y[i - n]) -= kStep;
      const double slope = a == 1 ? kl_divergence(p, more) - kl_divergence(p, less)
                                  : objective(p, more, a) - objective(p, less, a);
      expected.push_back(slope / (2 * kStep));
      found.push_back(i < n ? gradient.x[i] : gradient.y[i - n]);
    }
    CHECK(relative_error(found, expected) <= 1e-8);
  }
}

TEST_CASE("t-SNE: the divergence is sum P log(P/Q)") {
  const std::vector<double> p = joint(13, 4);
  double negative_entropy = 0;
  for (double v : p) negative_entropy += v > 0 ? v * std::log(v) : 0;
  const Layout y = draw_layout(13);
  CHECK(kl_divergence(p, y) ==
        doctest::Approx(negative_entropy + objective(p, y, 1)).epsilon(1e-13));
}

TEST_CASE("t-SNE: rows are Gaussians of the entropy asked for") {
  const int64_t n = 60, d = 5;
  const std::vector<double> x = draw<double>(n * d, 8);
  const std::vector<double> distances = squared_distances(x, n);
  std::vector<double> p = distances;
  const double reported = to_conditional(p, n, 15);
  CHECK(reported <= kEntropyTolerance);
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0, entropy = 0, square = 0;
    for (int64_t j = 0; j < n; ++j) {
      sum += p[i * n + j];
      if (i != j) entropy -= p[i * n + j] * std::log(p[i * n + j]);
    }
    CHECK(p[i * n + i] == 0);
    CHECK(sum == doctest::Approx(1).epsilon(1e-13));
    largest = std::max(largest, std::fabs(entropy - std::log(15)));
    const int64_t a = (i + 1) % n, b = (i + 2) % n, c = (i + 3) % n;  // one precision for all
    const auto ratio = [&](int64_t j, int64_t k) {
      return std::log(p[i * n + j] / p[i * n + k]) / (distances[i * n + k] - distances[i * n + j]);
    };
    CHECK(ratio(a, b) == doctest::Approx(ratio(a, c)).epsilon(1e-9));
    for (int64_t k = 0; k < d; ++k) square += std::pow(x[i * d + k] - x[a * d + k], 2);
    CHECK(distances[i * n + a] == doctest::Approx(square).epsilon(1e-14));
  }
  CHECK(reported == doctest::Approx(largest).epsilon(1e-6));
  const std::vector<double> conditional = p;
  to_joint(p, n);
  CHECK(std::accumulate(p.begin(), p.end(), 0.0) == doctest::Approx(1).epsilon(1e-13));
  for (int64_t i : {0, 17, 59}) {
    const double sum = conditional[i * n + 30] + conditional[30 * n + i];
    CHECK(p[i * n + 30] == doctest::Approx(sum / (2 * n)).epsilon(1e-14));
    CHECK(p[i * n + 30] == p[30 * n + i]);
  }
}

// The divergence of a layout differs by a few percent from start to start, in scikit-learn's as in
// ours, so the means of several starts are compared.
TEST_CASE("t-SNE: the divergence that scikit-learn's exact method reaches") {
  for (const std::string name : {"clusters", "uniform"}) {
    CAPTURE(name);
    const std::string path = "tests/golden/tsne-" + name + ".safetensors";
    const SafetensorsFile golden = read_safetensors(path);
    const std::vector<double> theirs = in_double(golden.at("kl", path));
    const double mean = std::accumulate(theirs.begin(), theirs.end(), 0.0) / theirs.size();
    double ours = 0;
    for (uint64_t seed : {1, 2, 3}) {
      const Embedding e = tsne(golden.at("points", path), {.seed = seed});
      CHECK(e.entropy_error <= kEntropyTolerance);
      CHECK(e.perplexity == 30);
      CHECK(e.distinct == golden.at("points", path).dim(0));
      ours += e.kl / 3;
    }
    CHECK(std::fabs(ours - mean) <= 0.05 * mean);
  }
}

// Momentum, gains, exaggeration and its end, at a learning rate where rounding does not decide.
// scikit-learn's search for the precisions stops elsewhere within 1e-5 of the entropy, which alone
// makes a difference of 4e-4.
TEST_CASE("t-SNE: from one start, scikit-learn's layout after 300 iterations") {
  const std::string path = "tests/golden/tsne-clusters.safetensors";
  const SafetensorsFile golden = read_safetensors(path);
  const Embedding e = tsne(golden.at("points", path),
                           {.learning_rate = 0.5, .iterations = 300, .start_deviation = 0},
                           in_double(golden.at("start", path)));
  CHECK(relative_error(e.xy, in_double(golden.at("layout", path))) <= 2e-3);
}

TEST_CASE("t-SNE: after 250 iterations the true P, from rest") {
  const int64_t n = 120;
  const std::vector<float> values = clusters(n, 4, 3, 2);
  std::vector<double> p = squared_distances(std::vector<double>(values.begin(), values.end()), n);
  to_conditional(p, n, 30);
  to_joint(p, n);
  const auto after = [&](int iterations) {
    return tsne(points_of(values, 4), {.iterations = iterations}).xy;
  };
  const std::vector<double> before = after(250), next = after(251);
  Layout y;
  for (int64_t i = 0; i < 2 * n; ++i) (i % 2 == 0 ? y.x : y.y).push_back(before[i]);
  const Layout gradient = kl_gradient(p, y, 1);
  std::vector<double> step, expected;  // a gain starts at 1 and shrinks while nothing moves
  for (int64_t i = 0; i < 2 * n; ++i) {
    step.push_back(next[i] - before[i]);
    expected.push_back(-200 * 0.8 * (i % 2 == 0 ? gradient.x : gradient.y)[i / 2]);
  }
  CHECK(relative_error(step, expected) <= 1e-9);
}

TEST_CASE("t-SNE: a seed gives the same bits with any number of threads, another seed others") {
  const Tensor points = points_of(clusters(400, 6, 3, 2), 6);
  const auto bits = [&](uint64_t seed) {
    const Embedding e = tsne(points, {.iterations = 60, .seed = seed});
    return bits_of(e.xy) + bits_of({e.kl, e.entropy_error});
  };
  CHECK(same_bits_always([&] { return bits(1); }));
  CHECK((bits(1) != bits(2)));
  // Enough points that the gradient's rows are divided among threads too.
  const int64_t n = 2100;
  const std::vector<double> p = draw<double>(n * n, 3);
  const Layout y = draw_layout(n);
  CHECK(same_bits_always([&] {
    const Layout gradient = kl_gradient(p, y, 1);
    return bits_of(gradient.x) + bits_of(gradient.y);
  }));
}

TEST_CASE("t-SNE: clusters far apart stay apart") {
  const int64_t n = 160, count = 4;
  const Embedding e = tsne(points_of(clusters(n, 10, count, 30), 10), {});
  // The nearest point of another cluster is farther away than all of the same cluster.
  for (int64_t i = 0; i < n; ++i) {
    double own = 0, other = std::numeric_limits<double>::infinity();
    for (int64_t j = 0; j < n; ++j) {
      const double distance =
          std::hypot(e.xy[2 * i] - e.xy[2 * j], e.xy[2 * i + 1] - e.xy[2 * j + 1]);
      if (i % count == j % count)
        own = std::max(own, distance);
      else
        other = std::min(other, distance);
    }
    CHECK(own < other);
  }
}

TEST_CASE("t-SNE: hundreds of equal points share the place of the first") {
  const int64_t d = 7, live = 100, dead = 300;
  std::vector<float> values = draw<float>(live * d, 3);
  values.resize((live + dead) * d, 0.f);
  for (int64_t k = 0; k < d; ++k) values[(live + 5) * d + k] = -0.f;
  std::copy_n(values.begin() + 2 * d, d, values.begin() + 50 * d);  // point 50 is point 2
  const Embedding e = tsne(points_of(values, d), {.iterations = 300});
  check_finite(e, live + dead);
  CHECK(e.distinct == live);  // 99 of the first 100, and zero
  CHECK(e.entropy_error <= kEntropyTolerance);
  for (int64_t i = 0; i < live + dead; ++i) {
    const int64_t first = i == 50 ? 2 : std::min(i, live);
    CHECK(e.representative[i] == first);
    CHECK(e.xy[2 * i] == e.xy[2 * first]);
    CHECK(e.xy[2 * i + 1] == e.xy[2 * first + 1]);
  }
  // The copies make no difference.
  values.resize((live + 1) * d);
  const Embedding alone = tsne(points_of(values, d), {.iterations = 300});
  CHECK(alone.kl == e.kl);
  CHECK(std::equal(alone.xy.begin(), alone.xy.end(), e.xy.begin()));
}

TEST_CASE("t-SNE: few points lower the perplexity; fewer than four lie on a line") {
  const std::pair<int64_t, double> used[] = {{4, 1},         {5, 4.0 / 3}, {40, 13},
                                             {90, 89.0 / 3}, {91, 30},     {92, 30}};
  for (const auto& [n, perplexity] : used) {
    CAPTURE(n);
    const Embedding e = tsne(points_of(draw<float>(n * 3, 6), 3), {});
    check_finite(e, n);
    CHECK(e.perplexity == doctest::Approx(perplexity).epsilon(1e-14));
    CHECK(e.entropy_error <= kEntropyTolerance);
  }
  for (int64_t n : {0, 1, 2, 3}) {
    const Embedding e = tsne(Tensor::from(draw<float>(n * 3, 6), {n, 3}), {});
    check_finite(e, n);
    for (int64_t i = 0; i < n; ++i) {
      CHECK(e.xy[2 * i] == i - 0.5 * (n - 1));
      CHECK(e.xy[2 * i + 1] == 0);
    }
    CHECK(e.perplexity == 1);
  }
  const Embedding same = tsne(points_of(std::vector<float>(64, 0.5f), 2), {});
  check_finite(same, 32);
  CHECK(same.distinct == 1);
  CHECK(same.xy == std::vector<double>(64, 0.0));
}

TEST_CASE("t-SNE: the scale of the points does not matter") {
  const std::vector<float> values = clusters(120, 4, 3, 2);
  const auto embed = [&](float factor) {
    std::vector<float> scaled = values;
    for (float& v : scaled) v *= factor;
    return tsne(points_of(scaled, 4), {.learning_rate = 0.5, .iterations = 200});
  };
  const Embedding e = embed(1);
  for (float power : {0x1p-66f, 0x1p66f}) CHECK(embed(power).xy == e.xy);
  for (float factor : {1e-20f, 1e20f, 1e-36f, 5e37f}) {
    CAPTURE(factor);
    const Embedding scaled = embed(factor);
    CHECK(scaled.entropy_error <= kEntropyTolerance);
    CHECK(relative_error(scaled.xy, e.xy) <= 2e-3);  // the products' rounding in f32
  }
}

TEST_CASE("t-SNE: more near twins than the perplexity, and all points equally far apart") {
  std::vector<float> twins = draw<float>(200 * 4, 6);
  for (size_t k = 0; k < 100 * 4; ++k) twins[k] *= 1e-30f;
  for (size_t k = 100 * 4; k < 200 * 4; ++k) twins[k] += 9;
  const Embedding near = tsne(points_of(twins, 4), {});
  check_finite(near, 200);
  CHECK(near.distinct == 200);
  CHECK(near.entropy_error <= kEntropyTolerance);
  std::vector<float> corners(64 * 64, 0.f);
  for (int64_t i = 0; i < 64; ++i) corners[65 * i] = 1;
  const Embedding simplex = tsne(points_of(corners, 64), {});
  check_finite(simplex, 64);  // a row's entropy is log 63 whatever the precision
  CHECK(simplex.entropy_error == doctest::Approx(std::log(63.0 / 21)).epsilon(1e-9));
}

TEST_CASE("t-SNE: a start is where it begins, and the deviation parts what must part") {
  const std::string path = "tests/golden/tsne-clusters.safetensors";
  const Tensor points = read_safetensors(path).at("points", path);
  const std::vector<double> start = draw<double>(600, 9);
  CHECK(tsne(points, {.iterations = 0, .start_deviation = 0}, start).xy == start);
  const Embedding near = tsne(points, {.iterations = 0}, start);
  CHECK(near.xy != start);
  CHECK(relative_error(near.xy, start) < 5e-4);
  const Embedding scratch = tsne(points);
  for (const std::vector<double>& from : {scratch.xy, std::vector<double>(600, 3.0)})
    CHECK(std::fabs(tsne(points, {}, from).kl - scratch.kl) <= 0.05 * scratch.kl);
  // Points that all coincide feel no force, and stay.
  const std::vector<double> stay = tsne(points, {.iterations = 50, .start_deviation = 0}).xy;
  CHECK(stay == std::vector<double>(600, 0.0));
}

TEST_CASE("t-SNE: the random start is normal with the deviation asked for") {
  const int64_t n = 1000;
  std::vector<float> line(n);
  std::iota(line.begin(), line.end(), 0.f);
  const Embedding e = tsne(points_of(line, 1), {.perplexity = 5, .iterations = 0});
  double sum = 0, squares = 0, within = 0;
  for (double v : e.xy) {
    sum += v / 1e-4;
    squares += v * v / 1e-8;
    within += std::fabs(v) < 1e-4;
  }
  // 2,000 draws; each bound is about four standard errors.
  CHECK(std::fabs(sum / 2000) < 0.09);
  CHECK(std::fabs(squares / 2000 - 1) < 0.13);
  CHECK(std::fabs(within / 2000 - 0.6827) < 0.042);
}

TEST_CASE("t-SNE: what it refuses") {
  const std::vector<float> good = draw<float>(40, 2);
  const Tensor points = points_of(good, 4);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), HUGE_VALF, -HUGE_VALF}) {
    std::vector<float> values = good;
    values[17] = bad;
    CHECK(contains(error_of([&] { tsne(points_of(values, 4)); }), "not finite (points [10,4])"));
  }
  const Tensor integers = Tensor::from(std::vector<int32_t>{1, 2, 3, 4}, {2, 2});
  CHECK(contains(error_of([&] { tsne(integers); }), "[tsne] points are f32 [n,D], not i32 [2,2]"));
  CHECK(contains(error_of([&] { tsne(points.reshape({40})); }), "not f32 [40]"));
  CHECK(contains(error_of([&] { tsne(Tensor()); }), "[tsne] points"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (double bad : {0.5, nan}) {
    CHECK(contains(error_of([&] { tsne(points, {.perplexity = bad}); }), "perplexity"));
    CHECK(contains(error_of([&] { tsne(points, {.start_deviation = -bad}); }), "deviation"));
    CHECK(contains(error_of([&] { tsne(points, {.learning_rate = -bad}); }), "learning rate"));
  }
  CHECK(contains(error_of([&] { tsne(points, {.iterations = -1}); }), "-1 iterations"));
  CHECK(contains(error_of([&] { tsne(points, {}, std::vector<double>(10)); }), "10 numbers"));
  CHECK(contains(error_of([&] { tsne(points, {}, std::vector<double>(20, nan)); }), "not finite"));
  CHECK(contains(error_of([&] { tsne(points, {.learning_rate = 1e300}); }), "diverged"));
}

}  // namespace versor::testing
