// No finite input makes the quantizer produce a NaN: a grid of lengths from 0 to 1e20 for encoder
// vectors and codes, equal and opposite to one another, duplicate codes, more codes than vectors,
// with every estimator, owner and way to start. What f32 cannot represent, such as the mean square
// of 1e20, may become infinite, and the guard of a training then reports it.
#include "tests/vq/support.h"
#include "vq/names.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

constexpr int64_t kD = 4;
constexpr float kLengths[] = {0.f, 1e-42f, 1e-20f, 1e-7f, 1e-6f, 1.f, 1e20f};
constexpr Estimator kAll[] = {Estimator::ste, Estimator::rotation, Estimator::reflection,
                              Estimator::published, Estimator::rotation_unscaled};

using Rows = std::vector<std::vector<float>>;

Tensor tensor_of(const Rows& rows) {
  std::vector<float> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor::from(flat, {static_cast<int64_t>(rows.size()), kD}, test_device());
}

bool has_nan(const Tensor& t) {
  for (float value : t.to_vector<float>())
    if (std::isnan(value)) return true;
  return false;
}

std::vector<float> along(float x, float y) {
  return {x, y, 0.f, 0.f};
}

// Runs three training steps of the quantizer on these vectors, without an optimiser. Returns the
// first thing that is NaN (or infinite, unless it is a loss), "" if nothing is.
std::string run(const CodebookOptions& options, Estimator estimator, const Tensor& codes,
                const Rows& vectors) {
  VectorQuantizer quantizer(options, estimator, Rng(1), test_device());
  Variable weight = quantizer.codebook().weight();
  if (options.start == CodebookStart::kmeans)
    quantizer.codebook().start_from(tensor_of(vectors));
  else
    ops::copy(weight.mutable_value(), codes);
  for (int step = 0; step < 3; ++step) {
    Variable e(tensor_of(vectors), true);
    const Quantized out = quantizer(e, true);
    for (const auto& [name, loss] : {std::pair("codebook loss", out.codebook_loss),
                                     std::pair("commitment loss", out.commitment_loss)})
      if (has_nan(loss.value())) return name;
    if (!all_finite(out.value.value())) return "value";
    backward(sum(out.value) + out.codebook_loss + 0.25f * out.commitment_loss);
    if (!all_finite(e.grad())) return "gradient";
    if (weight.grad().defined() && !all_finite(weight.grad())) return "gradient of the codebook";
    weight.zero_grad();
    for (const auto& [name, state] : state_of(quantizer))
      if (!all_finite(state.value())) return name;
  }
  return "";
}

// Every owner, start of the accumulators and treatment of dead codes.
void check_all(const Tensor& codes, const Rows& vectors, CodebookStart start) {
  for (Estimator estimator : kAll)
    for (CodebookLearning owner :
         {CodebookLearning::ema, CodebookLearning::gradient, CodebookLearning::both})
      for (Accumulators accumulators : {Accumulators::warm, Accumulators::zero})
        for (double dead : {0.0, 0.5}) {
          CAPTURE(name_of(estimator));
          CAPTURE(static_cast<int>(owner));
          CAPTURE(static_cast<int>(accumulators));
          CAPTURE(dead);
          CodebookOptions o;
          o.codes = codes.dim(0);
          o.latent = kD;
          o.learning = owner;
          o.start = start;
          o.accumulators = accumulators;
          o.dead_code_fraction = dead;
          CHECK(run(o, estimator, codes, vectors) == "");
        }
}

}  // namespace

TEST_CASE("numeric guards: vectors and codes of every length, equal, opposite and across") {
  // With a single code every vector is assigned to it.
  Rows vectors;
  for (float e : kLengths)
    for (const auto& vector : {along(e, 0), along(-e, 0), along(0, e), along(-e, 1e-3f * e)})
      vectors.push_back(vector);
  for (float q : kLengths) {
    CAPTURE(q);
    check_all(tensor_of({along(q, 0)}), vectors, CodebookStart::uniform);
  }
}

TEST_CASE("numeric guards: duplicate codes, more codes than vectors, all lengths in one batch") {
  Rows vectors, codes;
  for (float length : kLengths)
    for (float sign : {1.f, -1.f}) vectors.push_back(along(sign * length, 0.5f * length));
  for (size_t i = 0; i < 3 * vectors.size(); ++i) codes.push_back(vectors[i % vectors.size()]);
  check_all(tensor_of(codes), vectors, CodebookStart::uniform);
  check_all(tensor_of(codes), vectors, CodebookStart::kmeans);
  const Rows equal(9, along(1, 1)), zeros(9, along(0, 0));
  for (const Rows& all : {equal, zeros}) {
    check_all(tensor_of(all), {along(1, 1), along(0, 0)}, CodebookStart::uniform);
    check_all(tensor_of(all), all, CodebookStart::kmeans);
  }
}

}  // namespace versor::testing
