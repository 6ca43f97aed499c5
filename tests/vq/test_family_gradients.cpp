// Values, losses and gradients of the whole family against one reference in double: every quantizer
// is written as the smooth function that its estimator claims to differentiate, and that function
// is differentiated by central differences. What a stop_gradient or an estimator holds fixed is
// computed from the given point; what it lets through, from the perturbed point.
#include "tests/reference_family.h"
#include "tests/vq/family.h"
#include "vq/losses.h"
#include "vq/names.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;

constexpr int64_t kR = 7;
// Weights of the losses, all different, so that none can be mistaken for another.
constexpr double kCodebookWeight = 0.7, kCommitmentWeight = 0.3;

// Encoder output (or what was made of it) and the state by name.
struct Point {
  Array e;
  std::map<std::string, Array> state;
};

struct Outcome {
  Array value;
  double codebook = 0, commitment = 0, auxiliary = 0;

  double total(const Array& g) const {
    return ref::dot(g, value) + kCodebookWeight * codebook + kCommitmentWeight * commitment +
           auxiliary;
  }
};

Array plus(const Array& a, const Array& b) {
  return ref::add(a, b);
}

// M e row by row, M the matrix of the estimator at (e0, q0).
Array turned(Estimator estimator, const Array& e, const Array& e0, const Array& q0) {
  const auto reference = static_cast<ref::Estimator>(static_cast<int>(estimator));
  Array y = e;
  for (int64_t r = 0; r < e.dim(0); ++r) {
    const Array matrix = ref::surrogate_matrix(reference, ref::row_of(e0, r), ref::row_of(q0, r));
    const Array row = ref::apply(matrix, ref::row_of(e, r));
    for (int64_t d = 0; d < e.dim(1); ++d) y.at(r, d) = row[d];
  }
  return y;
}

// The value of an estimator that works row by row: at (e0, q0) what it passes on, and away from
// there it changes as M e does.
Array passed(Estimator estimator, const Array& e, const Array& e0, const Array& q0) {
  const auto reference = static_cast<ref::Estimator>(static_cast<int>(estimator));
  const Array moved = ref::sub(turned(estimator, e, e0, q0), turned(estimator, e0, e0, q0));
  return plus(ref::estimator_value(reference, e0, q0), moved);
}

// The same about another point [D].
Array passed_about(const Array& origin, Estimator estimator, const Array& e, const Array& e0,
                   const Array& q0) {
  const auto about = [&](const Array& x) { return ref::about(x, origin); };
  return ref::about(passed(estimator, about(e), about(e0), about(q0)), ref::neg(origin));
}

class Reference {
 public:
  // index [L][R] as the quantizer chose it.
  Reference(const QuantizerOptions& options, const Point& fixed, std::vector<Indices> index)
      : o_(options), fixed_(fixed), index_(std::move(index)) {}

  Outcome operator()(const Point& moved) const {
    if (o_.groups == 1) return projected("", moved, fixed_, 0);
    Outcome out;
    const int64_t width = o_.codebook.latent / o_.groups;
    for (int64_t g = 0; g < o_.groups; ++g) {
      const auto columns = [&](const Point& p) {
        return Point{ref::slice_columns(p.e, g * width, (g + 1) * width), p.state};
      };
      const Outcome part = projected(o_.shared ? "groups." : str("groups.", g, "."), columns(moved),
                                     columns(fixed_), g * o_.layers);
      out.value = g == 0 ? part.value : ref::concat_columns(out.value, part.value);
      add(out, part, 1.0 / static_cast<double>(o_.groups));
    }
    return out;
  }

 private:
  bool is_grid() const { return o_.kind != QuantizerKind::vq && o_.kind != QuantizerKind::simvq; }
  static void add(Outcome& sum, const Outcome& part, double share) {
    sum.codebook += share * part.codebook;
    sum.commitment += share * part.commitment;
    sum.auxiliary += share * part.auxiliary;
  }

  // W_out Q(W_in e + b_in) + b_out.
  Outcome projected(const std::string& prefix, const Point& p, const Point& p0,
                    int64_t symbol) const {
    if (!is_grid() && o_.codebook_dim == 0) return residual(prefix, p, p0, symbol);
    const auto in = [&](const Point& at) {
      return Point{ref::linear(at.e, at.state.at(prefix + "project_in.weight"),
                               at.state.at(prefix + "project_in.bias")),
                   at.state};
    };
    Outcome out = residual(prefix, in(p), in(p0), symbol);
    out.value = ref::linear(out.value, p.state.at(prefix + "project_out.weight"),
                            p.state.at(prefix + "project_out.bias"));
    return out;
  }

  Outcome residual(const std::string& prefix, Point p, Point p0, int64_t symbol) const {
    if (o_.layers == 1) return single(prefix, p, p0, symbol);
    Outcome out;
    const Array e = p.e, e0 = p0.e;
    Array sum = ref::zeros(e.shape);
    int64_t used = 0;
    while (used < o_.layers && index_[static_cast<size_t>(symbol + used)][0] >= 0) ++used;
    for (int64_t l = 0; l < used; ++l) {
      const std::string layer = prefix + (o_.shared ? "layers." : str("layers.", l, "."));
      add(out, single(layer, p, p0, symbol + l), 1.0 / static_cast<double>(used));
      const Array q0 = ref::gather_rows(codes(layer, p0), index_[static_cast<size_t>(symbol + l)]);
      sum = plus(sum, q0);
      p.e = ref::sub(p.e, q0);
      p0.e = ref::sub(p0.e, q0);
    }
    out.value = passed_about(ref::filled({e.dim(1)}, o_.estimator.origin.coordinate),
                             o_.estimator.estimator, e, e0, sum);
    return out;
  }

  // The codes [K,d] and the vectors that are compared with them.
  Array codes(const std::string& prefix, const Point& p) const {
    switch (o_.kind) {
      case QuantizerKind::vq: {
        const Array& weight = p.state.at(prefix + "codebook.weight");
        return o_.codebook.cosine ? ref::unit_rows(weight) : weight;
      }
      case QuantizerKind::simvq:
        return ref::linear(p.state.at(prefix + "frozen"), p.state.at(prefix + "transform.weight"),
                           {});
      case QuantizerKind::fsq:
        return ref::fsq_grid(o_.levels);
      default: {
        const auto bits = static_cast<int64_t>(std::log2(o_.codebook.codes));
        const bool spherical = o_.kind == QuantizerKind::bsq;
        return ref::sign_corners(bits, spherical ? 1 / std::sqrt(bits) : 1.0);
      }
    }
  }
  Array vectors(const Array& e) const {
    if (o_.kind == QuantizerKind::fsq) return ref::fsq_bounded(e, o_.levels);
    return o_.kind == QuantizerKind::bsq || o_.codebook.cosine ? ref::unit_rows(e) : e;
  }

  Outcome single(const std::string& prefix, const Point& p, const Point& p0, int64_t symbol) const {
    const Array z = vectors(p.e), z0 = vectors(p0.e), c = codes(prefix, p), c0 = codes(prefix, p0);
    const Indices& index = index_[static_cast<size_t>(symbol)];
    const Array q = ref::gather_rows(c, index), q0 = ref::gather_rows(c0, index);
    const Array noise = o_.estimator.temperature > 0 ? gumbel_noise(c.dim(0)) : Array{};
    check_index(z0, c0, noise, index);

    Outcome out;
    const double t = o_.estimator.temperature;
    switch (o_.estimator.estimator) {
      case Estimator::gumbel: {
        const auto mixture = [&](const Array& e, const Array& k) {
          return ref::matmul(ref::code_probabilities(e, k, t, noise), k, false, false);
        };
        out.value = plus(q0, ref::sub(mixture(z, c), mixture(z0, c0)));
        break;
      }
      case Estimator::diveq:
        out.value = diveq(z, q, z0, q0);
        break;
      default:
        out.value = passed_about(origin(prefix, z.dim(1)), o_.estimator.estimator, z, z0, q0);
    }
    const bool plain = o_.estimator.estimator == Estimator::diveq;  // the estimator without losses
    if (!plain && !is_grid()) out.codebook = ref::mse(z0, q);
    if (!plain && (!is_grid() || o_.kind == QuantizerKind::lfq)) out.commitment = ref::mse(z, q0);
    if (o_.kind == QuantizerKind::lfq || o_.kind == QuantizerKind::bsq)
      out.auxiliary =
          o_.entropy_weight * ref::entropy_loss(ref::code_probabilities(z, c, 0.01), 1.0);
    if (o_.kind == QuantizerKind::vq)
      out.auxiliary = o_.codebook.orthogonality * ref::orthogonality_loss(c) +
                      o_.codebook.diversity * ref::diversity_loss(ref::code_probabilities(
                                                  z, c, o_.codebook.diversity_temperature));
    return out;
  }

  // What the estimator turns about, [d].
  Array origin(const std::string& prefix, int64_t columns) const {
    if (!o_.estimator.origin.mean) return ref::filled({columns}, o_.estimator.origin.coordinate);
    return ref::mean_of(
        {{}, fixed_.state.at(prefix + "ema_cluster_size"), fixed_.state.at(prefix + "ema_dw")});
  }

  // e + |q - e| u, u the direction of (q0 - e0) + s n.
  Array diveq(const Array& e, const Array& q, const Array& e0, const Array& q0) const {
    const double s = o_.estimator.noise_deviation;
    Array noisy = ref::sub(q0, e0);
    for (int64_t i = 0; i < e.count(); ++i)
      noisy[i] += s * static_cast<double>(draws().normal(static_cast<uint64_t>(i)));
    const Array u = ref::unit_rows(noisy);
    Array value = e;
    for (int64_t r = 0; r < e.dim(0); ++r) {
      const double length = ref::norm(ref::sub(ref::row_of(q, r), ref::row_of(e, r)));
      for (int64_t d = 0; d < e.dim(1); ++d) value.at(r, d) += length * u.at(r, d);
    }
    return value;
  }

  // The stream of the first draw: from the seed of made(), with a purpose per kind.
  Rng draws() const {
    const Rng seed(5);
    if (o_.kind == QuantizerKind::vq) return seed.split(100).split(0);
    return o_.kind == QuantizerKind::simvq ? seed.split(2).split(0) : seed.split(0);
  }
  // -log(-log u) [R,K]
  Array gumbel_noise(int64_t K) const {
    Array noise = ref::zeros({kR, K});
    for (int64_t i = 0; i < noise.count(); ++i)
      noise[i] = -std::log(-std::log(draws().uniform(static_cast<uint64_t>(i))));
    return noise;
  }

  // The nearest code, or the one that was drawn.
  void check_index(const Array& z, const Array& c, const Array& noise, const Indices& index) const {
    const double t = noise.count() > 0 ? o_.estimator.temperature : 1.0;
    CHECK(ref::argmax(ref::code_probabilities(z, c, t, noise)) == index);
  }

  QuantizerOptions o_;
  Point fixed_;
  std::vector<Indices> index_;
};

// The quantizer's pass against the reference: values, losses, and the gradients of e and of every
// parameter.
void check_case(const FamilyCase& c) {
  const QuantizerPointer quantizer = made(c);
  const Variable e(draw_rows(90, kR), true);
  const Array g = to_array(draw_rows(91, kR));
  const Quantized out = (*quantizer)(e, true);

  Point fixed{to_array(e.value()), {}};
  for (const auto& [name, variable] : state_of(*quantizer))
    fixed.state[name] = to_array(variable.value());
  const Indices flat = indices_of(out.index);
  std::vector<Indices> index;
  for (size_t i = 0; i < flat.size(); i += kR)
    index.emplace_back(flat.begin() + static_cast<int64_t>(i),
                       flat.begin() + static_cast<int64_t>(i + kR));
  const Reference reference(c.options, fixed, index);

  const Outcome expected = reference(fixed);
  CHECK(error(out.value.value(), expected.value) <= kTolerance);
  const auto check_loss = [](const char* name, const Variable& loss, double value) {
    CAPTURE(std::string(name));
    CHECK(loss.defined() == (value != 0));
    if (loss.defined()) CHECK(loss.item() == doctest::Approx(value).epsilon(1e-5));
  };
  check_loss("codebook", out.codebook_loss, expected.codebook);
  check_loss("commitment", out.commitment_loss, expected.commitment);
  check_loss("auxiliary", out.auxiliary_loss, expected.auxiliary);

  Variable total = sum(mul(out.value, Variable(to_tensor(g))));
  const auto add_loss = [&](double weight, const Variable& loss) {
    if (loss.defined()) total = total + static_cast<float>(weight) * loss;
  };
  add_loss(kCodebookWeight, out.codebook_loss);
  add_loss(kCommitmentWeight, out.commitment_loss);
  add_loss(1, out.auxiliary_loss);
  backward(total);

  const auto check_gradient = [&](const Tensor& found, const Array& start, auto place) {
    const auto f = [&](const Array& x) {
      Point moved = fixed;
      place(moved) = x;
      return ref::scalar(reference(moved).total(g));
    };
    const Array gradient = ref::finite_difference(f, start, ref::scalar(1));
    CHECK(found.defined() == (ref::norm(gradient) > 1e-7));
    if (found.defined()) CHECK(error(found, gradient) <= kTolerance);
  };
  check_gradient(e.grad(), fixed.e, [](Point& p) -> Array& { return p.e; });
  for (const auto& [name, parameter] : quantizer->named_parameters()) {
    CAPTURE(name);
    check_gradient(parameter.grad(), fixed.state.at(name),
                   [&, &key = name](Point& p) -> Array& { return p.state.at(key); });
  }
}

TEST_CASE("family gradients: value, losses and gradients against central differences") {
  for (FamilyCase c : family()) {
    CAPTURE(c.name);
    check_case(c);
    // Where a gradient may update the codes too.
    if (c.options.codebook.learning != CodebookLearning::ema || c.options.codebook.soft_em > 0)
      continue;
    CAPTURE("owner gradient");
    c.options.codebook.learning = CodebookLearning::gradient;
    if (c.options.kind == QuantizerKind::vq) check_case(c);
  }
}

TEST_CASE("family gradients: draws and losses in other combinations") {
  for (QuantizerKind kind : {QuantizerKind::simvq, QuantizerKind::fsq, QuantizerKind::lfq})
    for (Estimator estimator :
         {Estimator::rotation, Estimator::reflection, Estimator::gumbel, Estimator::diveq}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(name_of(estimator));
      FamilyCase c;
      c.options.kind = kind;
      c.options.estimator = estimator;
      if (estimator == Estimator::gumbel) c.options.estimator.temperature = 1;
      c.options.levels = {4, 3, 3};
      c.options.codebook = {.codes = kCodes, .latent = kLatent};
      check_case(c);
    }
  FamilyCase both;  // auxiliary losses add up
  both.options.codebook = {.codes = kCodes,
                           .latent = kLatent,
                           .learning = CodebookLearning::gradient,
                           .cosine = true,
                           .orthogonality = 2,
                           .diversity = 3,
                           .diversity_temperature = 1};
  check_case(both);
}

}  // namespace
}  // namespace versor::testing
