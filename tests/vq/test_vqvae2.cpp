// VQ-VAE-2, the hierarchy of two levels: names, shapes and number of parameters, the path of the
// latents and the loss over both levels, the start of both codebooks, decoding of symbols, bits.
// Gradients and training: test_vqvae2_training.cpp.
#include <cmath>

#include "tests/vq/models.h"
#include "vq/usage.h"
#include "vq/vqvae2.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Random;

// A quantizer that records its input, its output and how many codes it replaced.
class Recording final : public Quantizer {
 public:
  Recording(const QuantizerOptions& options, Rng rng, int64_t wanted = 0)
      : inner_(make_quantizer(options, rng, test_device())), wanted_(wanted) {
    register_module("", *inner_);
  }
  Quantized operator()(const Variable& e, ForwardPass pass) const override {
    last = (*inner_)(e, pass);
    return last;
  }
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard,
                Communicator& communicator) override {
    return replaced = inner_->update(passes, guard, communicator);
  }
  Tensor decode(const Tensor& index) const override { return inner_->decode(index); }
  Vocabulary vocabulary() const override { return inner_->vocabulary(); }
  int64_t start_rows() const override { return wanted_; }
  void start_from(const Tensor& latents) override {
    started_from = latents;
    inner_->start_from(latents);
  }

  mutable Quantized last;
  Tensor replaced;
  Tensor started_from;

 private:
  QuantizerPointer inner_;
  int64_t wanted_;
};

struct Recorded {
  explicit Recorded(const VqVaeOptions& options, int64_t wanted = 0)
      : top(new Recording(options.quantizer, Rng(11), wanted)),
        bottom(new Recording(options.quantizer, Rng(12), wanted)),
        model(options, test_device(), Rng(1), QuantizerPointer(top), QuantizerPointer(bottom)) {}

  Recording *top, *bottom;
  VqVae2 model;
};

}  // namespace

TEST_CASE("vqvae2: names of the parts, then of the levels") {
  const VqVae2 model(small(), test_device(), Rng(1));
  std::vector<std::string> expected;
  const auto layer = [&](const std::string& name) {
    expected.push_back(name + ".weight");
    expected.push_back(name + ".bias");
  };
  const auto block = [&](const std::string& name) {
    layer(name + ".conv1");
    layer(name + ".conv2");
  };
  layer("encoder_bottom.0");
  layer("encoder_bottom.2");
  block("encoder_bottom.4");
  block("encoder_bottom.5");
  layer("encoder_top.0");
  block("encoder_top.2");
  block("decoder_top.0");
  layer("decoder_top.1");
  layer("join_bottom");
  layer("upsample_top");
  layer("join_decoder");
  block("decoder.0");
  block("decoder.1");
  layer("decoder.2");
  layer("decoder.4");
  CHECK(names_of(model.named_parameters()) == expected);
  CHECK(names_of(model.named_buffers()) ==
        std::vector<std::string>{"top.codebook.weight", "top.ema_cluster_size", "top.ema_dw",
                                 "bottom.codebook.weight", "bottom.ema_cluster_size",
                                 "bottom.ema_dw"});
  REQUIRE(model.counters().size() == 2);
  CHECK(model.counters()[0].first == "top.updates");
  CHECK(model.counters()[1].first == "bottom.updates");
  CHECK(model.capturable());
}

TEST_CASE("vqvae2: number of parameters at D 256 and K 1024") {
  // encoder_bottom, decoder: those of VqVae    5,782,019
  // 3 x conv 4x4  4*4*256*256 + 256 = 1,048,832 each   encoder_top, decoder_top, upsample_top
  // 4 x conv 3x3  3*3*256*256 + 256 =   590,080 each   encoder_top's and decoder_top's blocks
  // 2 x conv 1x1      512*256 + 256 =   131,328 each   join_bottom, join_decoder
  // network                                   11,551,491
  // codebooks     2 * 1,024*256               524,288
  VqVaeOptions options = small(256, 1024);
  CHECK(VqVae2(options, test_device(), Rng(1)).parameter_count() == 11'551'491);
  options.quantizer.codebook.learning = CodebookLearning::gradient;
  CHECK(VqVae2(options, test_device(), Rng(1)).parameter_count() == 12'075'779);
}

TEST_CASE("vqvae2: every layer and codebook draws values of its own, from the seed") {
  const VqVae2 a(small(), test_device(), Rng(1)), again(small(), test_device(), Rng(1)),
      other(small(), test_device(), Rng(2));
  CHECK(state_bits(a) == state_bits(again));
  std::map<std::string, std::string> owner_of;  // bits -> name
  for (const auto& [name, bits] : state_bits(a)) {
    if (contains(name, "ema_")) continue;
    CAPTURE(name);
    CHECK((bits != state_bits(other).at(name)));
    CHECK(owner_of.emplace(bits, name).second);
  }
}

TEST_CASE("vqvae2: shapes of both levels, in one and in several symbols") {
  VqVaeOptions options = small(8, 5);
  for (int64_t groups : {1, 2}) {
    options.quantizer.groups = groups;
    VqVae2 model(options, test_device(), Rng(1));
    const VqVaeOutput out = model(images_of(1, 3, 16, 24));
    CHECK(out.reconstruction.shape() == Shape{3, 16, 24, 3});
    CHECK(out.latents().shape() == Shape{3, 4, 6, 8});
    REQUIRE(out.symbols().size() == 2);
    CHECK(out.symbols()[0].shape() == Shape{groups, 3 * 2 * 3});
    CHECK(out.symbols()[1].shape() == Shape{groups, 3 * 4 * 6});
    CHECK(out.counts().shape() == Shape{2 * groups, 5});
    CHECK(model.vocabulary().symbols == 2 * groups);
    CHECK(model.vocabulary().codes == 5);
  }
}

TEST_CASE("vqvae2: losses and counts are of both levels, the rest is the bottom's") {
  Recorded r(small());
  const Tensor images = images_of(2);
  start(r.model, images);
  const VqVaeOutput out = r.model(images);
  const Quantized &top = r.top->last, &bottom = r.bottom->last;
  CHECK(top.codebook_loss.item() > 0);
  CHECK(bottom.codebook_loss.item() > 0);
  CHECK(vqvae_loss(out, images, 0).codebook.item() ==
        doctest::Approx(top.codebook_loss.item() + bottom.codebook_loss.item()));
  for (float beta : {0.f, 0.25f, 2.f}) {
    const double expected = ops::mse(out.reconstruction.value(), images).item() +
                            top.codebook_loss.item() + bottom.codebook_loss.item() +
                            beta * (top.commitment_loss.item() + bottom.commitment_loss.item());
    CHECK(vqvae_loss(out, images, beta).total.item() == doctest::Approx(expected).epsilon(1e-5));
  }
  const auto counts = out.counts().to_vector<int32_t>();
  auto expected = top.counts.to_vector<int32_t>();
  for (int32_t n : bottom.counts.to_vector<int32_t>()) expected.push_back(n);
  CHECK(counts == expected);
  CHECK((bits_of(out.symbols()[0]) == bits_of(top.index)));
  CHECK((bits_of(out.symbols()[1]) == bits_of(bottom.index)));
  CHECK((bits_of(out.quantized().index) == bits_of(bottom.index)));
  CHECK((bits_of(out.quantized().input) == bits_of(bottom.input)));
  CHECK((bits_of(out.quantized().codes) == bits_of(bottom.codes)));
  CHECK((bits_of(out.quantized().error) == bits_of(bottom.error)));
  CHECK((bits_of(out.latents().value()) == bits_of(bottom.input)));
}

TEST_CASE("vqvae2: auxiliary losses and replaced codes add up too") {
  VqVaeOptions options = small(4, 16);
  options.quantizer.codebook.diversity = 0.5;
  options.quantizer.codebook.dead_code_fraction = 1;
  Recorded r(options);
  const Tensor images = images_of(3);
  // Replacements come once the average use of a code has had time to fall.
  int64_t replaced = 0;
  for (int pass = 0; pass < 200 && replaced == 0; ++pass) {
    const VqVaeOutput out = r.model(images);
    const int64_t both = indices_of(r.model.update({out}))[0];
    const auto top = indices_of(r.top->replaced)[0], bottom = indices_of(r.bottom->replaced)[0];
    replaced = std::min(top, bottom);
    CHECK(both == top + bottom);
    const VqVaeLoss loss = vqvae_loss(out, images, 0);
    CHECK(loss.total.item() ==
          doctest::Approx(loss.reconstruction.item() + loss.codebook.item() +
                          r.top->last.auxiliary_loss.item() + r.bottom->last.auxiliary_loss.item())
              .epsilon(1e-5));
  }
  CHECK(replaced > 0);
}

TEST_CASE("vqvae2: symbols of both levels decode to the reconstruction, bit for bit") {
  const ThreadCount threads(1);  // many small passes
  QuantizerOptions choices[4];
  choices[1].estimator = Estimator::ste;
  choices[2].groups = 2;
  choices[3].kind = QuantizerKind::fsq;
  choices[3].levels = {3, 3};
  choices[3].estimator = Estimator::ste;
  for (QuantizerOptions& choice : choices) {
    choice.codebook.latent = 8;
    choice.codebook.codes = 7;
    for (DType type : {DType::f32, DType::bf16}) {
      VqVae2 model({.quantizer = choice, .activations = type}, test_device(), Rng(3));
      const Tensor images = images_of(4);
      start(model, images);
      model.update({model(images)});
      model.set_training(false);
      const VqVaeOutput out = model(images);
      const Tensor decoded = model.decode_symbols(out.symbols(), images.shape());
      CHECK((bits_of(decoded) == bits_of(out.reconstruction.value())));
      // Decoding needs both levels.
      for (size_t level : {0, 1}) {
        std::vector<Tensor> other = out.symbols();
        other[level] = ops::zeros(other[level].shape(), test_device(), DType::i32);
        REQUIRE(bits_of(other[level]) != bits_of(out.symbols()[level]));
        CHECK((bits_of(model.decode_symbols(other, images.shape())) != bits_of(decoded)));
      }
    }
  }
  VqVae2 model(small(), test_device(), Rng(3));
  CHECK(contains(error_of([&] { model.decode_symbols({}, {1, 8, 8, 3}); }), "got 0 levels"));
}

TEST_CASE("vqvae2: a pass changes nothing; an update changes both codebooks") {
  VqVae2 model(small(), test_device(), Rng(7));
  const Tensor images = images_of(7);
  const auto before = state_bits(model);
  model.set_training(false);
  const std::string once = bits_of(model(images).reconstruction.value());
  CHECK((bits_of(model(images).reconstruction.value()) == once));
  CHECK(state_bits(model) == before);
  model.set_training(true);
  const VqVaeOutput out = model(images);
  CHECK(state_bits(model) == before);
  model.update({out});
  const auto after = state_bits(model);
  for (const auto& [name, bits] : before)
    CHECK((after.at(name) != bits) == (name.starts_with("top.") || name.starts_with("bottom.")));
}

TEST_CASE("vqvae2: the bottom starts from the latents that the started top gives") {
  VqVaeOptions options = small(8, 3);
  Recorded r(options, /*wanted=*/3);
  const Tensor batches[] = {images_of(8, 2, 8, 8), images_of(9, 2, 8, 8)};
  std::vector<int64_t> asked;
  r.model.start_codebooks(2, [&](int64_t b) {
    asked.push_back(b);
    return std::vector{batches[b]};
  });
  // An image has one top row and four bottom rows.
  CHECK(asked == std::vector<int64_t>{0, 1, 0});
  CHECK(r.top->started_from.shape() == Shape{4, 8});
  CHECK(r.bottom->started_from.shape() == Shape{8, 8});
  r.model.set_training(false);
  const Tensor top_codes = ops::clone(state_of(r.model, "top.codebook.weight").value());
  const VqVaeOutput out = r.model(batches[0]);
  CHECK((bits_of(r.top->last.input) == bits_of(r.top->started_from.rows(0, 2))));
  CHECK((bits_of(out.latents().value()) == bits_of(r.bottom->started_from)));
  r.model(batches[1]);
  CHECK((bits_of(r.top->last.input) == bits_of(r.top->started_from.rows(2, 4))));
}

TEST_CASE("vqvae2: bits of an image, by hand") {
  VqVae2 model(small(8, 6), test_device(), Rng(8));
  const Tensor images = images_of(10, 3, 32, 32);
  start(model, images);
  const VqVaeOutput out = model(images);
  UsageHistogram histogram(model.vocabulary());
  histogram.add(out.counts());
  // 16 symbols of the top and 64 of the bottom, each level with its own usage of the codes.
  CHECK(histogram.nominal_bits() == doctest::Approx(3 * 80 * std::log2(6.0)));
  double bits = 0;
  for (const Tensor& symbols : out.symbols()) {
    std::map<int32_t, double> times;
    for (int32_t k : symbols.to_vector<int32_t>()) ++times[k];
    const auto n = static_cast<double>(symbols.numel());
    for (const auto& [k, count] : times) bits -= count * std::log2(count / n);
  }
  CHECK(bits > 0);
  CHECK(histogram.entropy_bits() == doctest::Approx(bits));
}

TEST_CASE("vqvae2: with activations in bf16 it computes the same, less exactly") {
  VqVaeOptions options = small(8, 2);
  VqVae2 exact(options, test_device(), Rng(9));
  options.activations = DType::bf16;
  VqVae2 rounding(options, test_device(), Rng(9));
  const Tensor images = images_of(46);
  const VqVaeOutput out = exact(images);
  const Array decoded = to_array(exact.decode_symbols(out.symbols(), images.shape()));
  const Tensor found = rounding.decode_symbols(out.symbols(), images.shape());
  CHECK(found.dtype() == DType::f32);
  CHECK(error(found, decoded) > 1e-4);
  CHECK(error(found, decoded) <= 5e-2);
  const VqVaeOutput rounded_out = rounding(images);
  CHECK(rounded_out.latents().value().dtype() == DType::f32);
  CHECK(rounded_to_bf16(to_array(rounded_out.reconstruction.value())).data !=
        to_array(rounded_out.reconstruction.value()).data);
  backward(vqvae_loss(rounded_out, images, 0.25f).total);
  for (const auto& [name, p] : rounding.named_parameters()) {
    CAPTURE(name);
    CHECK(p.value().dtype() == DType::f32);
    REQUIRE(p.grad().defined());
    CHECK(p.grad().dtype() == DType::f32);
    CHECK(all_finite(p.grad()));
  }
}

TEST_CASE("vqvae2: sizes that do not fit are errors that name them") {
  VqVae2 model(small(), test_device(), Rng(1));
  for (const Shape& shape : {Shape{2, 12, 8, 3}, Shape{2, 8, 4, 3}, Shape{2, 0, 8, 3}}) {
    const std::string message = error_of([&] { model(empty(shape)); });
    CHECK(contains(message, "[vqvae2]"));
    CHECK(contains(message, str(shape)));
  }
  QuantizerOptions other;
  other.codebook = {.codes = 7, .latent = 8};
  CHECK(contains(error_of([&] {
                   VqVae2(small(), test_device(), Rng(1),
                          make_quantizer(other, Rng(1), test_device()));
                 }),
                 "same number of codes"));
  CHECK(contains(error_of([] { VqVae2(small(1, 4), test_device(), Rng(1)); }),
                 "latent size 1 is too small"));
}

}  // namespace versor::testing
