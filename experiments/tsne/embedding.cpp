// Exact t-SNE: see embedding.h. Its cost is kl_gradient(), n^2 divisions in each iteration.
// Each row of P or of the gradient is summed by one thread, from left to right, and the sums of the
// rows are added in order, so the result does not depend on the number of threads.
// Read tsne() at the end first: it is the algorithm in ten lines.
#include "experiments/tsne/embedding.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>

#include "tensor/pool.h"
#include "tensor/rng.h"

namespace versor {
namespace {

constexpr char kName[] = "tsne";
constexpr int kEarlyIterations = 250;
constexpr double kExaggeration = 12, kEarlyMomentum = 0.5, kMomentum = 0.8;
constexpr double kSmallestGain = 0.01, kEntropyTolerance = 1e-5;
constexpr int64_t kFewest = 4;  // points that have a perplexity, (4 - 1) / 3
// The numbers of points from which threads share the work. For the gradient, threads synchronise a
// thousand times in a second or two; on a busy machine that took longer than the work of 1,024
// points.
constexpr int64_t kParallel = 256, kParallelGradient = 2048;

// Calls body(i) for every row, in parallel from `enough` rows on. The schedule is dynamic because
// some rows take longer than others.
template <class Body>
void for_each_row(int64_t n, int64_t enough, const Body& body) {
#pragma omp parallel for schedule(dynamic, 16) if (n >= enough)
  for (int64_t i = 0; i < n; ++i) body(i);
}

double in_order(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// ---- the points ----

struct Distinct {
  std::vector<int64_t> first;           // [m] points that no earlier one equals, ascending
  std::vector<int64_t> representative;  // [n]
};

// Sorting lexicographically, and by index among equals, puts equal points side by side.
Distinct find_distinct(const std::vector<float>& points, int64_t n, int64_t d) {
  Distinct found;
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto row = [&](int64_t i) { return std::span(points).subspan(i * d, d); };
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    const auto [a, b] = std::mismatch(row(i).begin(), row(i).end(), row(j).begin());
    return a != row(i).end() ? *a < *b : i < j;
  });
  found.representative.resize(n);
  for (int64_t k = 0; k < n; ++k) {
    const int64_t i = order[k];
    const bool copy = k > 0 && std::ranges::equal(row(i), row(order[k - 1]));
    found.representative[i] = copy ? found.representative[order[k - 1]] : i;
  }
  for (int64_t i = 0; i < n; ++i)
    if (found.representative[i] == i) found.first.push_back(i);
  return found;
}

// The chosen points in double, where the square of any f32 is a normal number: no scale of the
// points underflows or overflows.
std::vector<double> in_double(const std::vector<float>& points, const std::vector<int64_t>& chosen,
                              int64_t d) {
  std::vector<double> result;
  result.reserve(chosen.size() * d);
  for (int64_t i : chosen)
    result.insert(result.end(), points.begin() + i * d, points.begin() + (i + 1) * d);
  return result;
}

// ---- one row's precision ----

// For the weights w_j = exp(-b d_j), where the smallest d_j is 0: their sum, and the entropy
// -sum p log p = log(sum) + b sum(w d) / sum.
struct RowEntropy {
  double sum, mean_distance;
  double entropy(double precision) const { return std::log(sum) + precision * mean_distance; }
};

RowEntropy weigh(std::vector<double>& w, const std::vector<double>& distance, double precision) {
  double sum = 0, moment = 0;
  for (size_t j = 0; j < w.size(); ++j) {
    w[j] = std::exp(-precision * distance[j]);
    sum += w[j];
    moment += w[j] * distance[j];
  }
  return {sum, moment / sum};
}

// Turns row i's distances into p(j|i); returns |entropy - target|. The entropy falls from
// log(n - 1) at precision 0 to log(number of nearest points). If the latter exceeds the target, the
// bisection ends when only the nearest points have weight.
double calibrate_row(std::span<double> row, int64_t i, double target) {
  std::vector<double> distance(row.begin(), row.end());
  distance.erase(distance.begin() + i);
  const double nearest = *std::min_element(distance.begin(), distance.end());
  for (double& d : distance) d -= nearest;  // cancels in p(j|i), and the largest weight is 1
  const double mean = in_order(distance) / static_cast<double>(distance.size());
  double low = 0, high = 0;  // high 0: not known yet
  double precision = mean > 0 ? 1 / mean : 1;
  std::vector<double> w(distance.size());
  double sum = 0, error = 0;
  for (int step = 0; step < 2000; ++step) {  // 2^-2000: more than the range of a double
    const RowEntropy r = weigh(w, distance, precision);
    sum = r.sum;
    error = r.entropy(precision) - target;
    if (std::fabs(error) <= kEntropyTolerance || (error > 0 && r.mean_distance == 0)) break;
    (error > 0 ? low : high) = precision;
    const double next = high == 0 ? 2 * precision : low == 0 ? precision / 2 : (low + high) / 2;
    if (next == precision) break;
    precision = next;
  }
  for (double& v : w) v /= sum;
  w.insert(w.begin() + i, 0.0);
  std::copy(w.begin(), w.end(), row.begin());
  return std::fabs(error);
}

// ---- gradient descent ----

// The forces on point i: attraction sum p w (y_i - y_j), repulsion sum w^2 (y_i - y_j); and sum w.
struct RowSums {
  double attraction_x = 0, attraction_y = 0, repulsion_x = 0, repulsion_y = 0, weight = 0;
};

void add_pairs(RowSums& sums, const double* p, const Layout& layout, int64_t i, int64_t begin,
               int64_t end) {
  const double *x = layout.x.data(), *y = layout.y.data(), xi = x[i], yi = y[i];
  double ax = 0, ay = 0, rx = 0, ry = 0, z = 0;
#pragma omp simd reduction(+ : ax, ay, rx, ry, z)
  for (int64_t j = begin; j < end; ++j) {
    const double dx = xi - x[j], dy = yi - y[j];
    const double w = 1 / (1 + dx * dx + dy * dy), pw = p[j] * w, ww = w * w;
    ax += pw * dx;
    ay += pw * dy;
    rx += ww * dx;
    ry += ww * dy;
    z += w;
  }
  sums.attraction_x += ax;
  sums.attraction_y += ay;
  sums.repulsion_x += rx;
  sums.repulsion_y += ry;
  sums.weight += z;
}

// One coordinate's step. A gain grows while the gradient keeps its sign (then velocity and gradient
// point opposite ways) and shrinks when it turns: Jacobs, "Increased rates of convergence through
// learning rate adaptation" (1988).
void step(std::vector<double>& y, std::vector<double>& velocity, std::vector<double>& gain,
          const std::vector<double>& gradient, double momentum, double learning_rate) {
  for (size_t i = 0; i < y.size(); ++i) {
    gain[i] = velocity[i] * gradient[i] < 0 ? gain[i] + 0.2 : gain[i] * 0.8;
    gain[i] = std::max(gain[i], kSmallestGain);
    velocity[i] = momentum * velocity[i] - learning_rate * gain[i] * gradient[i];
    y[i] += velocity[i];
  }
}

void descend(Layout& y, const std::vector<double>& p, const TsneOptions& o) {
  const size_t n = y.x.size();
  Layout velocity, gain;
  for (int iteration = 0; iteration < o.iterations; ++iteration) {
    const bool early = iteration < kEarlyIterations;
    // Both are reset when the exaggeration ends, as in scikit-learn; the paper does not say.
    if (iteration == 0 || iteration == kEarlyIterations) {
      velocity = {std::vector<double>(n, 0.0), std::vector<double>(n, 0.0)};
      gain = {std::vector<double>(n, 1.0), std::vector<double>(n, 1.0)};
    }
    const Layout gradient = kl_gradient(p, y, early ? kExaggeration : 1);
    const double momentum = early ? kEarlyMomentum : kMomentum;
    step(y.x, velocity.x, gain.x, gradient.x, momentum, o.learning_rate);
    step(y.y, velocity.y, gain.y, gradient.y, momentum, o.learning_rate);
  }
}

// The given start (or 0) plus N(0, deviation^2) by the Box-Muller method. A draw depends only on
// the point's index, so that removing copies of other points does not change it.
Layout start_layout(const std::vector<int64_t>& chosen, std::span<const double> start,
                    const TsneOptions& o) {
  const Rng rng(o.seed);
  Layout y;
  for (int64_t i : chosen) {
    const double u = 1 - static_cast<double>(rng.uniform(2 * i));  // in (0,1]
    const double angle = 2 * std::numbers::pi * rng.uniform(2 * i + 1);
    const double radius = o.start_deviation * std::sqrt(-2 * std::log(u));
    y.x.push_back((start.empty() ? 0 : start[2 * i]) + radius * std::cos(angle));
    y.y.push_back((start.empty() ? 0 : start[2 * i + 1]) + radius * std::sin(angle));
  }
  return y;
}

// What a program may still take: of the machine, or of the container that it runs in.
size_t available_memory() {
  size_t available = std::numeric_limits<size_t>::max();
  std::ifstream meminfo("/proc/meminfo");  // lines like "MemAvailable:   24012345 kB"
  std::string name, unit;
  for (size_t kib = 0; meminfo >> name >> kib; std::getline(meminfo, unit))
    if (name == "MemAvailable:") available = kib << 10;
  size_t limit = 0, used = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used)
    available = std::min(available, limit - std::min(limit, used));
  return available;
}

void check_memory(int64_t distinct, int64_t d) {
  const size_t needed = tsne_bytes(distinct, d), available = available_memory();
  check(needed <= available, kName, distinct, " points need ", readable_bytes(needed),
        " of memory, there is ", readable_bytes(available),
        "; exact t-SNE keeps a number for every pair");
}

bool all_finite(auto begin, auto end) {
  return std::all_of(begin, end, [](auto v) { return std::isfinite(v); });
}

void check_input(const Tensor& points, const TsneOptions& o, std::span<const double> start) {
  check(points.defined() && points.dtype() == DType::f32 && points.shape().rank() == 2, kName,
        "points are f32 [n,D], not ", points.dtype(), " ", points.shape());
  check(std::isfinite(o.perplexity) && o.perplexity >= 1, kName, "perplexity ", o.perplexity,
        " is not at least 1");
  check(std::isfinite(o.learning_rate) && o.learning_rate > 0, kName, "learning rate ",
        o.learning_rate, " is not above 0");
  check(std::isfinite(o.start_deviation) && o.start_deviation >= 0, kName, "start deviation ",
        o.start_deviation, " is negative or not finite");
  check(o.iterations >= 0, kName, o.iterations, " iterations");
  check(start.empty() || static_cast<int64_t>(start.size()) == 2 * points.dim(0), kName,
        "a start of ", start.size(), " numbers does not fit points ", points.shape());
  check(all_finite(start.begin(), start.end()), kName, "the start has a value that is not finite");
}

}  // namespace

// P, the points in double, and a dozen numbers for each point.
size_t tsne_bytes(int64_t distinct, int64_t d) {
  return sizeof(double) * static_cast<size_t>(distinct) * static_cast<size_t>(distinct + d + 12);
}

std::vector<double> squared_distances(std::span<const double> points, int64_t n) {
  const int64_t d = n > 0 ? static_cast<int64_t>(points.size()) / n : 0;
  std::vector<double> result(n * n);
  for_each_row(n, kParallel, [&](int64_t i) {
    for (int64_t j = i + 1; j < n; ++j) {
      const double *a = &points[i * d], *b = &points[j * d];
      double sum = 0;  // of differences: |a|^2 - 2ab + |b|^2 would lose near neighbours
#pragma omp simd reduction(+ : sum)
      for (int64_t k = 0; k < d; ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
      result[i * n + j] = result[j * n + i] = sum;
    }
  });
  return result;
}

double to_conditional(std::vector<double>& distances, int64_t n, double perplexity) {
  std::vector<double> error(n);
  for_each_row(n, kParallel, [&](int64_t i) {
    const std::span<double> row = std::span(distances).subspan(i * n, n);
    error[i] = calibrate_row(row, i, std::log(perplexity));
  });
  return *std::max_element(error.begin(), error.end());
}

void to_joint(std::vector<double>& p, int64_t n) {
  const double half = 0.5 / static_cast<double>(n);
  for_each_row(n, kParallel, [&](int64_t i) {
    for (int64_t j = i + 1; j < n; ++j)
      p[i * n + j] = p[j * n + i] = half * (p[i * n + j] + p[j * n + i]);
  });
}

double kl_divergence(const std::vector<double>& p, const Layout& y) {
  const auto n = static_cast<int64_t>(y.x.size());
  // log q = log w - log(sum w), and the p sum to 1.
  std::vector<double> row_kl(n), row_weight(n), row_p(n);
  for_each_row(n, kParallel, [&](int64_t i) {
    for (int64_t j = 0; j < n; ++j) {
      if (j == i) continue;
      const double dx = y.x[i] - y.x[j], dy = y.y[i] - y.y[j], square = 1 + dx * dx + dy * dy;
      const double pij = p[i * n + j];
      row_weight[i] += 1 / square;
      row_p[i] += pij;
      if (pij > 0) row_kl[i] += pij * std::log(pij * square);  // the limit of p log p at 0 is 0
    }
  });
  return in_order(row_kl) + in_order(row_p) * std::log(in_order(row_weight));
}

Layout kl_gradient(const std::vector<double>& p, const Layout& y, double exaggeration) {
  const auto n = static_cast<int64_t>(y.x.size());
  std::vector<RowSums> rows(n);
  for_each_row(n, kParallelGradient, [&](int64_t i) {
    RowSums sums;
    add_pairs(sums, &p[i * n], y, i, 0, i);
    add_pairs(sums, &p[i * n], y, i, i + 1, n);
    rows[i] = sums;
  });
  double total = 0;  // sum over all pairs of w, the denominator of q
  for (const RowSums& r : rows) total += r.weight;
  Layout gradient{std::vector<double>(n), std::vector<double>(n)};
  for (int64_t i = 0; i < n; ++i) {
    gradient.x[i] = 4 * (exaggeration * rows[i].attraction_x - rows[i].repulsion_x / total);
    gradient.y[i] = 4 * (exaggeration * rows[i].attraction_y - rows[i].repulsion_y / total);
  }
  return gradient;
}

Embedding tsne(const Tensor& points, const TsneOptions& options, std::span<const double> start) {
  check_input(points, options, start);
  const int64_t n = points.dim(0), d = points.dim(1);
  const std::vector<float> values = points.to_vector<float>();
  check(all_finite(values.begin(), values.end()), kName,
        "a point has a value that is not finite (points ", points.shape(), ")");
  const Distinct distinct = find_distinct(values, n, d);
  const auto m = static_cast<int64_t>(distinct.first.size());
  Embedding result;
  result.distinct = m;
  result.representative = distinct.representative;
  result.perplexity = std::max(1.0, std::min(options.perplexity, static_cast<double>(m - 1) / 3));
  Layout y;
  if (m < kFewest) {
    for (int64_t k = 0; k < m; ++k) y.x.push_back(static_cast<double>(k) - 0.5 * (m - 1));
    y.y.resize(m);
  } else {
    check_memory(m, d);
    std::vector<double> p = squared_distances(in_double(values, distinct.first, d), m);
    result.entropy_error = to_conditional(p, m, result.perplexity);
    to_joint(p, m);
    y = start_layout(distinct.first, start, options);
    descend(y, p, options);
    result.kl = kl_divergence(p, y);
  }
  std::vector<int64_t> slot(n);  // of a first copy in y
  for (int64_t k = 0; k < m; ++k) slot[distinct.first[k]] = k;
  for (int64_t r : distinct.representative)
    result.xy.insert(result.xy.end(), {y.x[slot[r]], y.y[slot[r]]});
  check(std::isfinite(result.kl) && all_finite(result.xy.begin(), result.xy.end()), kName,
        "the layout diverged; a smaller learning rate than ", options.learning_rate, " helps");
  return result;
}

}  // namespace versor
