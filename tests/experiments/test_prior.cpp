// Symbols as sequences, the prior over them, sampling, and the models that it is compared with.
#include <cmath>
#include <numeric>

#include "experiments/generate/context_mixture.h"
#include "experiments/generate/pixel_cnn.h"
#include "experiments/generate/prior.h"
#include "nn/adam.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// A top level of 2 layers of 2x2 symbols of 3 codes, then one layer of 2x4 symbols of 5 codes.
SymbolSequence two_levels() {
  return SymbolSequence({{3, 2, 2, 2}, {5, 1, 2, 4}});
}

Tensor random_sequences(const SymbolSequence& sequence, int64_t count, uint64_t seed) {
  Tensor all({count, sequence.length()}, DType::i32);
  for (int64_t i = 0; i < all.numel(); ++i) {
    const int64_t codes = sequence.levels()[sequence.level_at(i % sequence.length())].codes;
    all.data<int32_t>()[i] = static_cast<int32_t>(Rng(seed).bits(static_cast<uint64_t>(i)) %
                                                  static_cast<uint64_t>(codes));
  }
  return all;
}

PriorOptions tiny(int64_t classes) {
  return {.layers = 2, .width = 16, .heads = 2, .classes = classes, .dropout = 0};
}

// Weights large enough that what comes before a symbol matters.
void make_lively(Prior& prior) {
  for (auto& [name, parameter] : prior.named_parameters())
    if (parameter.shape().rank() == 2)
      ops::copy(parameter.mutable_value(), ops::scaled(parameter.value(), 3.f));
}

}  // namespace

TEST_CASE("symbols to sequences and back: levels, rows, columns, then layers") {
  const SymbolSequence sequence = two_levels();
  CHECK(sequence.length() == 16);
  CHECK(sequence.vocabulary() == 2 * 3 + 5);
  CHECK(sequence.level_at(7) == 0);
  CHECK(sequence.level_at(8) == 1);
  CHECK(sequence.offset_at(0) == 0);
  CHECK(sequence.offset_at(3) == 3);  // the second layer of the second latent
  CHECK(sequence.offset_at(15) == 6);
  const std::vector<Tensor> symbols = {
      Tensor::from<int32_t>({0, 1, 2, 0, 1, 1, 2, 2}, {1, 2, 2, 2}),
      Tensor::from<int32_t>({4, 3, 2, 1, 0, 1, 2, 3}, {1, 1, 2, 4})};
  const Tensor flat = sequence.flatten(symbols);
  CHECK(flat.to_vector<int32_t>() ==
        std::vector<int32_t>{0, 1, 1, 1, 2, 2, 0, 2, 4, 3, 2, 1, 0, 1, 2, 3});
  const Tensor many = random_sequences(sequence, 5, 1);
  CHECK(sequence.flatten(sequence.unflatten(many)).to_vector<int32_t>() ==
        many.to_vector<int32_t>());
  CHECK_THROWS_AS(SymbolSequence({}), Error);
  CHECK_THROWS_AS(SymbolSequence({{70000, 1, 8, 8}}), Error);
  CHECK_THROWS_AS(sequence.flatten({symbols[0]}), Error);
}

// Changes one symbol after the other: it must move the logits of all later places and no others.
void check_causal(const Prior& prior) {
  const SymbolSequence& sequence = prior.sequence();
  const Tensor one = random_sequences(sequence, 1, 2);
  const auto logits_of = [&](const Tensor& symbols, int32_t label) {
    std::vector<std::vector<float>> levels;
    for (const Variable& level : prior(symbols, {label}))
      levels.push_back(level.value().to_vector<float>());
    return levels;
  };
  const auto base = logits_of(one, 1);
  for (int64_t changed = 0; changed < sequence.length(); ++changed) {
    Tensor other = ops::clone(one);
    int32_t& symbol = other.data<int32_t>()[changed];
    symbol = symbol == 0 ? 1 : 0;
    const auto now = logits_of(other, 1);
    for (int64_t t = 0; t < sequence.length(); ++t) {
      const size_t level = sequence.level_at(t);
      const int64_t K = sequence.levels()[level].codes, at = (t - sequence.first(level)) * K;
      bool same = true;
      for (int64_t k = at; k < at + K; ++k) same &= now[level][k] == base[level][k];
      INFO("place " << t << ", changed " << changed);
      CHECK(same == (t <= changed));
    }
  }
  CHECK(logits_of(one, 2)[0] != base[0]);
}

TEST_CASE("the prior of a symbol depends on all before it and no others, and on the class") {
  const SymbolSequence sequence = two_levels();
  TransformerPrior prior(sequence, tiny(4), Rng(1), test_device());
  make_lively(prior);
  prior.set_training(false);
  check_causal(prior);
  const Tensor one = random_sequences(sequence, 1, 2);
  const auto losses = prior.losses(one, {1});
  CHECK(prior.loss(one, {1}).item() ==
        doctest::Approx(0.5 * losses[0].item() + 0.5 * losses[1].item()));
  const auto bits = bits_per_symbol(prior, one, {1});
  CHECK(bits[1] == doctest::Approx(losses[1].item() / std::log(2.0)));
}

TEST_CASE("a gated PixelCNN sees all symbols before one and no others, and draws from them") {
  const SymbolSequence sequence({{5, 1, 3, 4}});
  GatedPixelCnn prior(sequence, {.layers = 4, .width = 8, .classes = 3}, Rng(4), test_device());
  for (auto& [name, parameter] : prior.named_parameters())  // biases of classes start at 0
    ops::copy(parameter.mutable_value(), ops::normal(parameter.shape(), Rng(5), test_device()));
  check_causal(prior);
  const Tensor drawn = sample(prior, {0, 1, 2, 3}, {.temperature = 0});
  const std::vector<float> logits = prior(drawn, {0, 1, 2, 3})[0].value().to_vector<float>();
  for (int64_t i = 0; i < drawn.numel(); ++i)  // each is the most probable after those before it
    CHECK(drawn.data<int32_t>()[i] == draw_symbol({&logits[i * 5], 5}, {.temperature = 0}, 0));
  CHECK_THROWS_AS(GatedPixelCnn(two_levels(), {}, Rng(1), test_device()), Error);
}

TEST_CASE("sampling with cached keys and values draws what whole passes draw") {
  const SymbolSequence sequence = two_levels();
  TransformerPrior prior(sequence, tiny(4), Rng(3), test_device());
  make_lively(prior);
  prior.set_training(false);
  const NoGradGuard no_grad;
  std::vector<int32_t> labels(40);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i % 5);
  const SamplingOptions options{.seed = 7};
  const Tensor cached = sample(prior, labels, options);

  const int64_t T = sequence.length();
  Tensor whole = ops::zeros({40, T}, {}, DType::i32);
  double error = 0;
  const auto steps = prior.begin(40);
  std::vector<int32_t> previous = labels;
  for (int64_t t = 0; t < T; ++t) {
    const size_t level = sequence.level_at(t);
    const int64_t K = sequence.levels()[level].codes, T_l = sequence.levels()[level].length();
    const std::vector<float> all = prior(whole, labels)[level].value().to_vector<float>();
    const std::vector<float> next = steps->next(previous).to_vector<float>();
    for (int64_t n = 0; n < 40; ++n) {
      const float* logits = &all[(n * T_l + t - sequence.first(level)) * K];
      for (int64_t k = 0; k < K; ++k)
        error = std::max<double>(error, std::abs(logits[k] - next[n * K + k]));
      const auto b = Rng(7).split(n).block(t);
      const double u = static_cast<double>((uint64_t{b[0]} << 32 | b[1]) >> 11) * 0x1p-53;
      previous[n] = draw_symbol({logits, static_cast<size_t>(K)}, options, u);
      whole.data<int32_t>()[n * T + t] = previous[n];
    }
  }
  CHECK(error < 1e-5);
  CHECK(whole.to_vector<int32_t>() == cached.to_vector<int32_t>());
  CHECK(sample(prior, labels, options).to_vector<int32_t>() == cached.to_vector<int32_t>());
  // An image of a seed does not depend on the others.
  const Tensor last = sample(prior, {labels.end() - 3, labels.end()}, options, 37);
  CHECK(last.to_vector<int32_t>() == cached.rows(37, 40).to_vector<int32_t>());
}

TEST_CASE("temperature, top-k and top-p keep the symbols that they promise") {
  const std::vector<float> logits = {0.f, std::log(4.f), std::log(2.f), std::log(1.f)};  // 1 4 2 1
  const auto drawn = [&](const SamplingOptions& options) {
    std::vector<double> share(4);
    for (int i = 0; i < 8000; ++i)
      share[draw_symbol(logits, options, (i + 0.5) / 8000)] += 1.0 / 8000;
    return share;
  };
  const auto is = [](const std::vector<double>& a, const std::vector<double>& b) {
    for (size_t k = 0; k < 4; ++k) CHECK(a[k] == doctest::Approx(b[k]).epsilon(1e-3));
  };
  is(drawn({}), {1. / 8, 4. / 8, 2. / 8, 1. / 8});
  is(drawn({.temperature = 0.5}), {1. / 22, 16. / 22, 4. / 22, 1. / 22});
  is(drawn({.temperature = 0}), {0, 1, 0, 0});
  is(drawn({.top_k = 2}), {0, 4. / 6, 2. / 6, 0});
  is(drawn({.top_k = 1}), {0, 1, 0, 0});
  is(drawn({.top_p = 0.7}), {0, 4. / 6, 2. / 6, 0});
  is(drawn({.top_p = 0.8}), {1. / 7, 4. / 7, 2. / 7, 0});  // of equals the first
  is(drawn({.top_p = 0}), {0, 1, 0, 0});
  CHECK(draw_symbol(logits, {}, 1 - 0x1p-53) == 3);
}

TEST_CASE("a trained prior finds what can be known: each symbol repeats the one before") {
  const SymbolSequence sequence({{4, 1, 2, 3}});
  Tensor data({64, 6}, DType::i32);
  for (int64_t n = 0; n < 64; ++n)
    for (int64_t t = 0; t < 6; ++t) data.data<int32_t>()[n * 6 + t] = static_cast<int32_t>(n % 4);
  const std::vector<int32_t> labels(64, 0);
  TransformerPrior prior(sequence, tiny(0), Rng(5), test_device());
  Adam adam(prior.flat_parameters(), {.lr = 3e-3f});
  for (int step = 0; step < 150; ++step) {
    adam.zero_grad();
    backward(prior.loss(data, labels));
    adam.step();
  }
  prior.set_training(false);
  // 2 bits for the first of six, nothing for the others
  CHECK(bits_per_symbol(prior, data, labels)[0] < 2.0 / 6 + 0.05);
  const Tensor drawn = sample(prior, labels, {.seed = 2});
  int64_t repeats = 0;
  for (int64_t n = 0; n < 64; ++n)
    for (int64_t t = 1; t < 6; ++t)
      repeats += drawn.data<int32_t>()[n * 6 + t] == drawn.data<int32_t>()[n * 6];
  CHECK(repeats >= 64 * 5 * 95 / 100);
}

TEST_CASE("mixed contexts and frequencies cost what they must") {
  const SymbolSequence sequence({{4, 1, 4, 4}});
  const Tensor noise = random_sequences(sequence, 2000, 8),
               test = random_sequences(sequence, 500, 9);
  CHECK(unigram_bits(sequence, test)[0] == doctest::Approx(2).epsilon(0.002));
  CHECK(context_mixture_bits(sequence, noise, test)[0] == doctest::Approx(2).epsilon(0.01));
  // Runs of equal symbols.
  const auto repeated = [](const SymbolSequence& of, int64_t run, int64_t count, uint64_t seed) {
    Tensor all = random_sequences(of, count, seed);
    auto* s = all.data<int32_t>();
    for (int64_t i = 0; i < all.numel(); ++i) s[i] = s[i / run * run];
    return all;
  };
  // Rows of one symbol: 2 bits for the first of four.
  CHECK(context_mixture_bits(sequence, repeated(sequence, 4, 2000, 1),
                             repeated(sequence, 4, 500, 2))[0] ==
        doctest::Approx(0.5).epsilon(0.05));
  // The second layer repeats the first: half of the symbols are known.
  const SymbolSequence layers({{4, 2, 4, 4}});
  CHECK(context_mixture_bits(layers, repeated(layers, 2, 2000, 1),
                             repeated(layers, 2, 500, 2))[0] == doctest::Approx(1).epsilon(0.05));
  CHECK_THROWS_AS(context_mixture_bits(sequence, noise.rows(0, 5), test), Error);
}

TEST_CASE("a prior's file cannot ask for more memory than it takes, and names what is wrong") {
  const TemporaryFolder folder;
  const std::string file = folder / "model.safetensors";
  const auto error_with = [&](const std::string& levels, const std::string& more) {
    SafetensorsFile hostile;
    hostile.tensors["norm.weight"] = ops::zeros({16});
    hostile.metadata = {{"format", "versor-network"},
                        {"config", R"({"task":"prior","levels":)" + levels +
                                       R"(,"classes":0,"first_stage":"0",)" + more + "}"}};
    write_safetensors(file, hostile);
    return error_of([&] { load_prior(file, {}); });
  };
  const std::string tiny = R"("network":"transformer","layers":1,"width":1,"heads":1,"dropout":0)";
  const std::string wide =
      R"("network":"transformer","layers":64,"width":4096,"heads":1,"dropout":0)";
  for (const auto& [levels, more, what] :
       {std::tuple{"[[4,1,2,2]]", wide, "larger than the file"},
        {"[[4,1,65536,65536]]", tiny, "larger than the file"},
        {"[[65536,65536,1,1]]", tiny, "larger than the file"},
        {"[[4,1,2,2]]", std::string(R"("network":"pixelcnn","layers":64,"width":4096)"),
         "larger than the file"},
        {"[[4,1,1e300,2]]", tiny, "no whole number"},
        {"[[4,1,2]]", tiny, "has no prior"},
        {"[]", tiny, "no levels"},
        {"[[4,1,2,2]]", std::string(R"("network":"mystery","layers":1,"width":1)"),
         "unknown kind"}}) {
    const std::string error = error_with(levels, more);
    INFO(error);
    CHECK(contains(error, what));
    CHECK(contains(error, file));
  }
}

}  // namespace versor::testing
