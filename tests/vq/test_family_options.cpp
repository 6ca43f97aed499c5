// Options that do not go together are refused, with the reason; those just within the limits are
// not.
#include "tests/vq/family.h"
#include "vq/fsq.h"
#include "vq/grouped.h"
#include "vq/lfq.h"
#include "vq/residual.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

struct Refusal {
  const char* name;
  void (*change)(QuantizerOptions&);  // changes a vq that its gradient owns, D 8, K 16
  const char* reason;                 // part of the message; "": it is accepted
};

const Refusal kRefusals[] = {
    {"plain", [](QuantizerOptions&) {}, ""},

    // Estimators that draw.
    {"rotation, drawn", [](QuantizerOptions& o) { o.estimator.temperature = 1; },
     "the angle and the ratio of lengths that rotation is made of are noise"},
    {"diveq, drawn",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::diveq;
       o.estimator.temperature = 1;
     },
     "diveq does not go with drawn codes"},
    {"ste, drawn",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::ste;
       o.estimator.temperature = 1;
     },
     ""},
    {"ste, drawn, ema",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::ste;
       o.estimator.temperature = 1;
       o.codebook.learning = CodebookLearning::ema;
     },
     "moving averages would mix them all"},
    {"gumbel without temperature",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::gumbel;
       o.estimator.temperature = 0;
     },
     "needs a temperature above 0"},
    {"negative temperature",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::ste;
       o.estimator.temperature = -1;
     },
     "temperature -1 is not a number >= 0"},
    {"negative noise", [](QuantizerOptions& o) { o.estimator.noise_deviation = -1; },
     "noise deviation -1"},
    {"gumbel, ema",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::gumbel;
       o.codebook.learning = CodebookLearning::ema;
     },
     "gumbel trains the codes by the gradient of the value, which moving averages would undo"},
    {"diveq, both",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::diveq;
       o.codebook.learning = CodebookLearning::both;
     },
     "diveq trains the codes by the gradient of the value, which moving averages would undo"},
    {"gumbel, residual",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::gumbel;
       o.layers = 2;
     },
     "gumbel reaches a code through the value, but here the value is a sum of codes"},
    {"diveq, residual",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::diveq;
       o.layers = 2;
     },
     "diveq reaches a code through the value, but here the value is a sum of codes"},

    // Origins of a turn.
    {"rotation about 0.5", [](QuantizerOptions& o) { o.estimator.origin = {.coordinate = 0.5}; },
     ""},
    {"rotation about infinity",
     [](QuantizerOptions& o) { o.estimator.origin = {.coordinate = 1e300}; },
     "is not a finite number"},
    {"ste about 0.5",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::ste;
       o.estimator.origin = {.coordinate = 0.5};
     },
     "ste turns nothing and so has no origin"},
    {"gumbel about the mean",
     [](QuantizerOptions& o) {
       o.estimator = Estimator::gumbel;
       o.estimator.origin = {.mean = true};
     },
     "gumbel turns nothing and so has no origin"},
    {"the mean, gradient and dead codes",
     [](QuantizerOptions& o) { o.estimator.origin = {.mean = true}; }, ""},
    {"the mean, gradient alone",
     [](QuantizerOptions& o) {
       o.estimator.origin = {.mean = true};
       o.codebook.dead_code_fraction = 0;
     },
     "with gradients alone and no replacement of dead codes"},
    {"the mean, simvq",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::simvq;
       o.estimator.origin = {.mean = true};
     },
     "the origin `mean` is the mean of a codebook's moving averages"},
    {"fsq about the mean",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::fsq;
       o.estimator.origin = {.mean = true};
     },
     "the origin `mean` is the mean of a codebook's moving averages"},
    {"residual about the mean",
     [](QuantizerOptions& o) {
       o.layers = 2;
       o.estimator.origin = {.mean = true};
     },
     "but here the estimator turns the sum of all layers"},

    // Codebooks.
    {"orthogonality, ema",
     [](QuantizerOptions& o) {
       o.codebook.orthogonality = 1;
       o.codebook.learning = CodebookLearning::ema;
     },
     "the orthogonality loss reaches the codes by its gradient"},
    {"soft EM, gradient", [](QuantizerOptions& o) { o.codebook.soft_em = 1; },
     "soft EM is a way to update by moving averages"},
    {"soft EM, both",
     [](QuantizerOptions& o) {
       o.codebook.soft_em = 1;
       o.codebook.learning = CodebookLearning::both;
     },
     "soft EM is a way to update by moving averages"},
    {"negative weight", [](QuantizerOptions& o) { o.codebook.diversity = -1; },
     "must be numbers >= 0"},

    // Structure.
    {"no groups", [](QuantizerOptions& o) { o.groups = 0; }, "at least 1, got 0 and 1"},
    {"no layers", [](QuantizerOptions& o) { o.layers = 0; }, "at least 1, got 1 and 0"},
    {"3 groups of 8", [](QuantizerOptions& o) { o.groups = 3; },
     "the latent size 8 is not a multiple of 3 groups"},
    {"16 groups of 8", [](QuantizerOptions& o) { o.groups = 16; },
     "the latent size 8 is not a multiple of 16 groups"},
    {"8 groups of 8", [](QuantizerOptions& o) { o.groups = 8; }, ""},
    {"shared by groups and layers",
     [](QuantizerOptions& o) {
       o.groups = o.layers = 2;
       o.shared = true;
     },
     "with groups or with layers, not with both"},
    {"negative length of a code", [](QuantizerOptions& o) { o.codebook_dim = -1; },
     "the length of a code cannot be -1"},

    // Grids.
    {"fsq, residual",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::fsq;
       o.layers = 2;
     },
     "residual layers need codes that shrink with what is left over"},
    {"lfq, residual",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::lfq;
       o.layers = 2;
     },
     "a grid's have a fixed distance: use groups"},
    {"lfq, 24 codes",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::lfq;
       o.codebook.codes = 24;
     },
     "codes made of signs come in powers of two, got 24"},
    {"bsq, 1 code",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::bsq;
       o.codebook.codes = 1;
     },
     "powers of two, got 1"},
    {"lfq, 2^17 codes",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::lfq;
       o.codebook.codes = 1 << 17;
     },
     "needs 1 to 16 bits, got 17"},
    {"lfq, other dimensions",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::lfq;
       o.codebook_dim = 5;
     },
     "the codes of this grid have 4 dimensions, not 5"},
    {"fsq, its own dimensions",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::fsq;
       o.codebook_dim = 4;
     },
     ""},
    {"fsq, one level",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::fsq;
       o.levels = {4, 1};
     },
     "at least 2 levels, got 1"},
    {"fsq, no levels",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::fsq;
       o.levels = {};
     },
     "there are no levels"},
    {"fsq, 2^16 codes",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::fsq;
       o.levels = {256, 256};
     },
     ""},
    {"fsq, more codes",
     [](QuantizerOptions& o) {
       o.kind = QuantizerKind::fsq;
       o.levels = {256, 257};
     },
     "more than 65536 codes; group several quantizers"},
};

TEST_CASE("family: options that do not go together are refused with the reason") {
  for (const Refusal& refusal : kRefusals) {
    CAPTURE(std::string(refusal.name));
    QuantizerOptions options;
    options.codebook = {.codes = kCodes, .latent = kLatent, .learning = CodebookLearning::gradient};
    refusal.change(options);
    const std::string message = error_of([&] { make_quantizer(options, Rng(1), test_device()); });
    CAPTURE(message);
    CHECK(message.empty() == std::string(refusal.reason).empty());
    CHECK(contains(message, refusal.reason));
  }
}

TEST_CASE("family: parts that do not fit each other are refused") {
  const auto vq = [](int64_t codes, int64_t latent) -> QuantizerPointer {
    return std::make_unique<VectorQuantizer>(CodebookOptions{.codes = codes, .latent = latent},
                                             Estimator::ste, Rng(1), test_device());
  };
  const auto residual = [&](const ResidualOptions& options, const MakeQuantizer& make) {
    return error_of([&] { ResidualQuantizer(options, make, Rng(1), test_device()); });
  };
  const MakeQuantizer growing = [&](int64_t part) { return vq(4 + part, 8); };
  const MakeQuantizer equal = [&](int64_t) { return vq(4, 8); };
  CHECK(contains(residual({.layers = 2}, growing), "all parts must have the same vocabulary"));
  CHECK(contains(residual({.layers = 0}, equal), "at least 1, got 0"));
  CHECK(contains(residual({.layers = 2, .dropout = true, .fewest = 3}, equal),
                 "must leave 1 to 2 layers, got 3"));
  CHECK(contains(residual({.layers = 2, .dropout = true, .fewest = 0}, equal),
                 "must leave 1 to 2 layers, got 0"));
  CHECK(contains(error_of([&] { GroupedQuantizer(8, 3, false, equal); }), "not a multiple of 3"));

  // A different number of symbols from the quantizer's.
  ResidualQuantizer two({.layers = 2}, equal, Rng(1), test_device());
  const Tensor one_symbol = index_tensor({0, 1}).reshape({1, 2});
  CHECK(contains(error_of([&] { two.decode(one_symbol); }), "decodes 2 symbols per row"));
  CHECK(contains(error_of([&] {
                   vq(4, 8)->decode(index_tensor({0, 1}));
                 }),
                 "decodes one symbol per row"));
  // A projection inside a layer makes its codes shorter than the vector they are subtracted from.
  QuantizerOptions projected;
  projected.codebook = {.codes = 4, .latent = 8};
  projected.codebook_dim = 3;
  ResidualQuantizer inside(
      {.layers = 2}, [&](int64_t) { return make_quantizer(projected, Rng(1), test_device()); },
      Rng(1), test_device());
  CHECK(contains(error_of([&] { inside(Variable(draw_rows(1, 5)), true); }),
                 "a projection belongs around all layers"));
}

}  // namespace
}  // namespace versor::testing
