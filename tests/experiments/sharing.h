// Trainings on batches that ranks and micro-batches share, to be compared with those of one
// process: every quantizer, the choices of the presets, two levels. The batches have uneven parts,
// and the last has fewer images than there are parts.
#pragma once

#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/run/metrics.h"
#include "experiments/run/training_step.h"
#include "tests/vq/family.h"
#include "tests/vq/models.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor::testing {

// Of four batches that are trained on in turn.
inline constexpr int64_t kBatches[] = {11, 7, 2, 1};
inline constexpr int kSteps = 20;
inline constexpr size_t kRatio = 5;  // of Trained::metrics

struct SharedCase {
  std::string name;
  VqVaeOptions options;
  bool two_levels = false, updates_in_evaluation = false;
};

inline std::vector<SharedCase> shared_cases() {
  std::vector<SharedCase> all;
  for (const FamilyCase& c : family()) {
    SharedCase shared{c.name, {}};
    shared.options.quantizer = c.options;
    all.push_back(shared);
  }
  const auto vq = [&](std::string name) -> SharedCase& {
    SharedCase c{std::move(name), small(kLatent, kCodes)};
    return all.emplace_back(std::move(c));
  };
  // The choices of the presets.
  CodebookOptions& published = vq("preset published").options.quantizer.codebook;
  published.learning = CodebookLearning::both;
  published.start = CodebookStart::uniform;
  published.accumulators = Accumulators::zero;
  published.dead_code_fraction = 0;
  all.back().options.quantizer.estimator = Estimator::published;
  all.back().updates_in_evaluation = true;
  vq("preset versor");
  // Nearly all codes die in each step.
  vq("many dead codes").options.quantizer.codebook.dead_code_fraction = 1;
  vq("more codes than rows").options.quantizer.codebook.codes = 200;
  all.back().options.quantizer.codebook.dead_code_fraction = 0.9;
  vq("two levels").two_levels = true;
  vq("two levels, residual").two_levels = true;
  all.back().options.quantizer.layers = 2;
  return all;
}

struct Trained {
  // By name, all parameters and buffers: after the start, one step, and all steps.
  std::map<std::string, ref::Array> start, one, all;
  std::vector<double> metrics;     // of every batch and of an evaluation
  std::vector<int64_t> histogram;  // of the first batch
  std::vector<std::string> bits;   // of the state after each step, and of the metrics
};

inline std::map<std::string, ref::Array> arrays_of(const Module& module) {
  std::map<std::string, ref::Array> all;
  for (const auto& [name, variable] : state_of(module)) all[name] = to_array(variable.value());
  return all;
}

inline std::string bits_of_state(VqModel& model, Adam& adam) {
  std::string bits;
  for (const auto& [name, content] : state_bits(model)) bits += content;
  for (const auto& [name, counter] : model.counters()) bits += bits_of(counter);
  for (const Tensor& m : adam.first_moments()) bits += bits_of(m);
  for (const Tensor& v : adam.second_moments()) bits += bits_of(v);
  return bits;
}

inline Trained train_shared(const SharedCase& c, const Sharing& sharing, int steps = kSteps) {
  const Rng rng(11);
  std::unique_ptr<VqModel> model;
  if (c.two_levels)
    model = std::make_unique<VqVae2>(c.options, Device(), rng);
  else
    model = std::make_unique<VqVae>(c.options, Device(), rng);
  std::vector<Tensor> batches;
  for (int64_t n : kBatches) batches.push_back(images_of(20 + batches.size(), n, 8, 8));
  const auto rows_of = [](const Tensor& batch, const BatchPart& part) {
    return batch.rows(part.worked_first(), part.worked_first() + part.worked_count());
  };
  model->start_codebooks(
      4,
      [&](int64_t b) {
        std::vector<Tensor> own;
        for (const BatchPart& part : sharing.parts(kBatches[b]))
          if (!part.is_empty()) own.push_back(rows_of(batches[static_cast<size_t>(b)], part));
        return own;
      },
      sharing.communicator());
  Adam adam(model->flat_parameters(), {.lr = 1e-3f});
  TrainingStep step(*model, adam, sharing);
  FiniteGuard guard(adam.step_counter());
  MetricsLog log(steps + 1, model->vocabulary(), Device());
  PassMetrics first(model->vocabulary());
  Tensor number = ops::zeros({1}, {}, DType::i32);
  Trained trained;
  trained.start = arrays_of(*model);
  const auto note = [&] {
    PassMetrics m(model->vocabulary());
    const auto at = number.to_vector<int32_t>()[0];
    m.add(log, at, at + 1);
    for (const double value :
         {m.loss(), m.reconstruction_loss(), m.codebook_loss(), m.commitment_loss(), m.perplexity(),
          m.quantization_ratio(), m.max_lambda(), m.mean_lambda(), m.mean_angle(),
          m.replaced_codes(), m.images()})
      trained.metrics.push_back(value);
    if (at == 0) trained.histogram = m.histogram().counts();
    trained.bits.push_back(bits_of_state(*model, adam) + m.save().dump());
    ops::increment(number);
  };
  for (int s = 0; s < steps; ++s) {
    const Tensor& batch = batches[static_cast<size_t>(s) % batches.size()];
    const auto images = [&](const BatchPart& part) { return rows_of(batch, part); };
    log.record(step(batch.dim(0), images, 0.25f, &guard), number, sharing.communicator());
    note();
    if (s == 0) trained.one = arrays_of(*model);
  }
  CHECK(!guard.found());
  trained.all = arrays_of(*model);
  model->set_training(false);
  const auto images = [&](const BatchPart& part) { return rows_of(batches[3], part); };
  log.record(step.evaluate(kBatches[3], images, 0.25f, c.updates_in_evaluation), number,
             sharing.communicator());
  note();
  return trained;
}

// ||change - change'|| / ||change'|| of all parameters and buffers together.
inline double difference(const Trained& a, const Trained& b,
                         std::map<std::string, ref::Array> Trained::*after) {
  double difference = 0, size = 0;
  for (const auto& [name, start] : b.start) {
    const ref::Array change = ref::sub((b.*after).at(name), start);
    difference +=
        std::pow(ref::norm(ref::sub(ref::sub((a.*after).at(name), a.start.at(name)), change)), 2);
    size += std::pow(ref::norm(change), 2);
  }
  return std::sqrt(difference / size);
}

inline void check_equal(const Trained& shared, const Trained& whole) {
  for (const auto& [name, start] : whole.start) {
    CAPTURE(name);
    if (ref::norm(start) > 0) CHECK(ref::relative_error(shared.start.at(name), start) <= 1e-5);
  }
  CHECK(difference(shared, whole, &Trained::one) <= 1e-5);
  CHECK(difference(shared, whole, &Trained::all) <= 1e-3);
  CHECK(shared.histogram == whole.histogram);
  REQUIRE(shared.metrics.size() == whole.metrics.size());
  for (size_t i = 0; i < whole.metrics.size(); ++i) {
    CAPTURE(i);
    // The variance in the quantization ratio is a difference of means, and may be a small one.
    const double first = i == kRatio ? 1e-4 : 1e-5;
    CHECK(shared.metrics[i] == doctest::Approx(whole.metrics[i]).epsilon(i < 11 ? first : 2e-3));
  }
}

}  // namespace versor::testing
