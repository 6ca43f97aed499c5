// Every quantizer of the family as options for make_quantizer, with its peculiarities: the tests of
// the family loop over these.
#pragma once

#include <utility>

#include "tests/vq/support.h"
#include "vq/family.h"
#include "vq/names.h"

namespace versor::testing {

constexpr int64_t kLatent = 8, kCodes = 16;  // D, K

struct FamilyCase {
  std::string name;
  QuantizerOptions options;
  // Whether the value equals decode() of the index, bit for bit.
  bool code_in_training = true, code_in_evaluation = true;
  bool draws = false;  // random codes, noise or layers in training
};

inline std::vector<FamilyCase> make_family() {
  std::vector<FamilyCase> all;
  // Adds a named case and returns its options, which start as those of the paper's quantizer.
  const auto add = [&](std::string name) -> QuantizerOptions& {
    FamilyCase c;
    c.name = std::move(name);
    c.options.codebook.codes = kCodes;
    c.options.codebook.latent = kLatent;
    return all.emplace_back(std::move(c)).options;
  };
  const auto add_gradient = [&](std::string name) -> QuantizerOptions& {
    QuantizerOptions& o = add(std::move(name));
    o.codebook.learning = CodebookLearning::gradient;
    return o;
  };

  // One codebook, every estimator. published and rotation_unscaled keep the length of e, which the
  // index does not hold.
  for (Estimator estimator : {Estimator::ste, Estimator::rotation, Estimator::reflection,
                              Estimator::published, Estimator::rotation_unscaled}) {
    add(str("vq ", name_of(estimator))).estimator = estimator;
    all.back().code_in_training = all.back().code_in_evaluation = passes_code(estimator);
  }
  // The same about another point.
  add("vq rotation about 0.5").estimator.origin = {.coordinate = 0.5};
  add("vq rotation about the mean").estimator.origin = {.mean = true};
  add("vq published about -2").estimator = Estimator::published;
  all.back().options.estimator.origin = {.coordinate = -2};
  all.back().code_in_training = all.back().code_in_evaluation = false;
  add_gradient("vq gradient");
  add("vq both").codebook.learning = CodebookLearning::both;
  add_gradient("vq gumbel").estimator = Estimator::gumbel;
  all.back().options.estimator.temperature = 1;  // rows and codes lie in [-1,1]
  all.back().draws = true;
  add_gradient("vq diveq").estimator = Estimator::diveq;
  all.back().options.estimator.noise_deviation = 0.07;  // enough to turn the direction
  all.back().draws = true;
  all.back().code_in_training = false;  // e + |q - e| u, near the code
  add_gradient("vq ste drawn").estimator = Estimator::ste;
  all.back().options.estimator.temperature = 0.5;
  all.back().draws = true;

  // One codebook, its options.
  add("vq cosine").codebook.cosine = true;
  add("vq soft EM").codebook.soft_em = 0.5;
  add("vq diversity").codebook.diversity = 0.1;
  all.back().options.codebook.diversity_temperature = 1;
  add_gradient("vq orthogonality").codebook.orthogonality = 10;
  add("vq projected").codebook_dim = 3;

  // The other kinds.
  add("simvq").kind = QuantizerKind::simvq;
  add("fsq 8 5 5 5").kind = QuantizerKind::fsq;
  add("fsq 4 3 2").kind = QuantizerKind::fsq;
  all.back().options.levels = {4, 3, 2};
  add("lfq").kind = QuantizerKind::lfq;
  add("bsq").kind = QuantizerKind::bsq;

  // Made of several.
  const auto residual = [&](QuantizerOptions& o) -> QuantizerOptions& {
    o.layers = 3;
    return o;
  };
  residual(add("residual"));
  residual(add("residual about 0.5")).estimator.origin = {.coordinate = 0.5};
  residual(add("residual shared")).shared = true;
  residual(add("residual dropout")).layer_dropout = true;
  all.back().draws = true;
  residual(add("residual shared dropout")).shared = true;
  all.back().options.layer_dropout = all.back().draws = true;
  residual(add("residual projected")).codebook_dim = 3;
  add("grouped").groups = 2;
  add("grouped projected about the mean").groups = 2;
  all.back().options.codebook_dim = 3;
  all.back().options.estimator.origin = {.mean = true};
  add("grouped shared").groups = 2;
  all.back().options.shared = true;
  add("grouped fsq").groups = 2;
  all.back().options.kind = QuantizerKind::fsq;
  add("grouped projected").groups = 2;
  all.back().options.codebook_dim = 3;
  residual(add("grouped residual")).groups = 2;
  return all;
}

inline const std::vector<FamilyCase>& family() {
  static const std::vector<FamilyCase> cases = make_family();
  return cases;
}

// Rows that are spread as widely as the books of made().
inline Tensor draw_rows(uint64_t seed, int64_t rows, int64_t latent = kLatent) {
  ref::Random random(seed);
  return to_tensor(random.array({rows, latent}));
}

// The case's quantizer, with random books in place of its tiny ones.
inline QuantizerPointer made(const FamilyCase& c) {
  QuantizerPointer quantizer = make_quantizer(c.options, Rng(5), test_device());
  std::map<std::string, Tensor> books;
  for (auto& [name, book] : state_of(*quantizer))
    if (name.ends_with("codebook.weight")) {
      books[name] = draw_rows(70 + books.size(), book.shape()[0], book.shape()[1]);
      ops::copy(book.mutable_value(), books[name]);
    }
  for (const auto& [name, book] : books) {  // accumulators as after a start
    const std::string prefix = name.substr(0, name.size() - std::string("codebook.weight").size());
    ops::copy(state_of(*quantizer, prefix + "ema_dw").mutable_value(), book);
  }
  return quantizer;
}

// All that a checkpoint must hold: parameters, buffers and counters, by name.
inline std::vector<std::pair<std::string, Tensor>> checkpoint_of(const Quantizer& quantizer) {
  std::vector<std::pair<std::string, Tensor>> all = quantizer.counters();
  for (const auto& [name, variable] : state_of(quantizer)) all.emplace_back(name, variable.value());
  return all;
}

inline std::map<std::string, std::string> checkpoint_bits(const Quantizer& quantizer) {
  std::map<std::string, std::string> bits;
  for (const auto& [name, tensor] : checkpoint_of(quantizer))
    CHECK(bits.emplace(name, bits_of(tensor)).second);  // no name twice
  return bits;
}

// Index, counts, value and losses.
inline std::string bits_of(const Quantized& out) {
  std::string bits = bits_of(out.index) + bits_of(out.counts) + bits_of(out.value.value());
  for (const Variable& loss : {out.codebook_loss, out.commitment_loss, out.auxiliary_loss})
    if (loss.defined()) bits += bits_of(loss.value());
  return bits;
}

}  // namespace versor::testing
