// The codec: the arithmetic coder, the prior in integers, the packed file, and encode --compress.
#include <bit>
#include <cmath>
#include <limits>

#include "data/npy.h"
#include "experiments/generate/packed_symbols.h"
#include "experiments/generate/pixel_cnn.h"
#include "experiments/generate/range_coder.h"
#include "tensor/hash.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

const std::string kFirstStage = "00000000000000ff";

Tensor random_sequences(const SymbolSequence& sequence, int64_t count) {
  Tensor all({count, sequence.length()}, DType::i32);
  for (int64_t i = 0; i < all.numel(); ++i) {
    const int64_t codes = sequence.levels()[sequence.level_at(i % sequence.length())].codes;
    all.data<int32_t>()[i] = static_cast<int32_t>(Rng(5).bits(i) % static_cast<uint64_t>(codes));
  }
  return all;
}

// A prior whose logits spread like those of a trained one.
std::unique_ptr<Prior> lively(const SymbolSequence& sequence, int64_t layers = 2,
                              int64_t width = 32, int64_t heads = 2) {
  auto prior = std::make_unique<TransformerPrior>(
      sequence, PriorOptions{.layers = layers, .width = width, .heads = heads, .classes = 3},
      Rng(3), Device{});
  prior->set_training(false);
  for (auto& [name, parameter] : prior->named_parameters())
    if (parameter.shape().rank() == 2)
      ops::copy(parameter.mutable_value(), ops::scaled(parameter.value(), 4.f));
  return prior;
}

double prior_bits(const Prior& prior, const Tensor& sequences) {
  const std::vector<int32_t> unknown(sequences.dim(0), static_cast<int32_t>(prior.no_class()));
  const std::vector<double> of_levels = bits_per_symbol(prior, sequences, unknown);
  double bits = 0;
  for (size_t level = 0; level < of_levels.size(); ++level)
    bits += of_levels[level] *
            static_cast<double>(prior.sequence().levels()[level].length() * sequences.dim(0));
  return bits;
}

// All frequencies of some sequences, as the coder gets them.
std::vector<uint32_t> all_sums(const CodingNetwork& network, const Tensor& sequences) {
  CodingNetwork::State state = network.begin(sequences.dim(0));
  std::vector<int32_t> previous(static_cast<size_t>(state.images));
  std::vector<uint32_t> all, sums;
  for (int64_t place = 0; place < sequences.dim(1); ++place) {
    network.next(state, previous, sums);
    all.insert(all.end(), sums.begin(), sums.end());
    for (int64_t n = 0; n < state.images; ++n)
      previous[n] = sequences.data<int32_t>()[n * sequences.dim(1) + place];
  }
  return all;
}

}  // namespace

TEST_CASE("range coder: symbols come back, in as many bytes as their bits" * cpu_only()) {
  struct Coded {
    uint32_t low, frequency, total;
  };
  std::vector<Coded> coded;
  double bits = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    const auto word = [&](uint64_t n) { return static_cast<uint32_t>(Rng(n).bits(i)); };
    const uint32_t total = std::max(2u, word(1) >> word(2) % 31);
    // at the upper end, where carries run far, and of all sizes
    const uint32_t frequency = i % 3 == 0 ? 1 : 1 + word(3) % (total - 1) / (1 + word(4) % 1000);
    const uint32_t low = i % 5 < 3 ? total - frequency : word(5) % (total - frequency + 1);
    coded.push_back({low, frequency, total});
    bits += std::log2(static_cast<double>(total) / frequency);
  }
  RangeEncoder encoder;
  for (const Coded& c : coded) encoder.encode(c.low, c.frequency, c.total);
  const std::string bytes = encoder.finish();
  CHECK(static_cast<double>(bytes.size()) * 8 < bits * (1 + 1e-6) + 16);
  CHECK(encoder.finish().size() == 1);  // as new
  RangeDecoder decoder(bytes);
  bool right = true;
  for (const Coded& c : coded) {
    const uint32_t number = decoder.number(c.total);
    right = right && c.low <= number && number - c.low < c.frequency;
    decoder.decoded(c.low, c.frequency, c.total);
  }
  CHECK(right);
  CHECK(decoder.at_end());
  RangeDecoder beyond("");  // zeros
  for (int i = 0; i < 100; ++i) {
    CHECK(beyond.number(3) == 0);
    beyond.decoded(0, 1, 3);
  }
  CHECK(beyond.missing() > RangeDecoder::kMissing);
}

TEST_CASE("codec: layouts come back, near the prior's cross-entropy, with any threads" *
          cpu_only()) {
  const TemporaryFolder folder;
  const std::string path = folder / "s.vqc";
  const std::vector<std::vector<SymbolLevel>> layouts = {
      {{2, 1, 4, 4}},                // bits
      {{1000, 2, 2, 3}},             // two residual layers
      {{5, 1, 1, 2}, {9, 1, 3, 4}},  // two levels
      {{4096, 1, 1, 3}},
      {{7, 1, 1, 1}}};  // one symbol
  for (const auto& layout : layouts) {
    CAPTURE(layout[0].codes);
    const SymbolSequence sequence(layout);
    const auto prior = lively(sequence);
    const CodingNetwork network(*prior, "a prior");
    // more images than a chunk has; sampled, so that they are as probable as the prior says
    const int64_t images = sequence.length() > 4 ? 150 : 1300;
    const Tensor sequences = sample(*prior, std::vector<int32_t>(images, 3), {});
    PackedSize one, two;
    std::string bytes;
    {
      const ThreadCount threads(1);
      one = write_packed(path, network, kFirstStage, sequences);
      bytes = read_file(path);
    }
    const ThreadCount threads(2);
    CHECK(read_packed(path, network, kFirstStage).to_vector<int32_t>() ==
          sequences.to_vector<int32_t>());
    two = write_packed(path, network, kFirstStage, sequences);
    CHECK((read_file(path) == bytes));
    CHECK(one.file == bytes.size());
    CHECK(one.file - one.code == 72 + 16 * layout.size());
    const double code = 8 * static_cast<double>(one.code), own = prior_bits(*prior, sequences);
    CHECK(code < one.bits + 16);
    CHECK(code > one.bits - 8);
    // 2^-10 of the numbers belong to no symbol
    const double symbols = static_cast<double>(sequences.numel());
    CHECK(one.bits > own - 0.001 * own);
    CHECK(one.bits < own + 0.001 * own + 0.0015 * symbols);
  }
}

// Made of integers alone: on every machine and with every compiler these are the frequencies.
TEST_CASE("codec: the frequencies of given weights are a constant" * cpu_only()) {
  const SymbolSequence sequence({{5, 1, 1, 2}, {9, 1, 3, 4}});
  TransformerPrior prior(sequence, {.layers = 2, .width = 24, .heads = 3, .classes = 1}, Rng(1),
                         {});
  uint64_t i = 0;
  for (auto& [name, parameter] : prior.named_parameters()) {
    float* x = parameter.mutable_value().data<float>();
    for (int64_t e = 0; e < parameter.value().numel(); ++e)
      x[e] = static_cast<float>(static_cast<int64_t>(Rng(8).bits(i++) % 4096) - 2048) / 3000.f;
  }
  const CodingNetwork network(prior, "a prior");
  const std::vector<uint32_t> sums = all_sums(network, random_sequences(sequence, 21));
  CHECK(network.fingerprint() == 13915894811325958153u);
  CHECK(hash_words(sums.data(), sums.size() * sizeof sums[0]) == 5367718440370432841u);
}

TEST_CASE("codec: any finite weights give frequencies, others are refused" * cpu_only()) {
  const SymbolSequence sequence({{6, 1, 2, 3}});
  const Tensor sequences = random_sequences(sequence, 5);
  for (const float size : {0.f, 1e-42f, 1e-20f, 1e-3f, 30.f, 1e6f, 1e20f, 3.4e38f}) {
    CAPTURE(size);
    TransformerPrior prior(sequence, {.layers = 2, .width = 8, .heads = 2}, Rng(1), {});
    for (auto& [name, parameter] : prior.named_parameters())
      ops::copy(parameter.mutable_value(),
                ops::scaled(ops::uniform(parameter.shape(), Rng(2).split(parameter.value().numel()),
                                         -1, 1, {}),
                            size));
    const CodingNetwork network(prior, "a prior");
    const std::vector<uint32_t> sums = all_sums(network, sequences);
    bool right = true;
    for (size_t i = 0; i < sums.size(); i += 7)
      for (size_t k = 0; k < 6; ++k)
        right =
            right && sums[i] == 0 && sums[i + k] < sums[i + k + 1] && sums[i + 6] <= (1u << 31) + 6;
    CHECK(right);
  }
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")})
    for (const std::string name : {"positions", "blocks.1.mlp.2.weight", "heads.0.bias"}) {
      const auto prior = lively(sequence);
      for (auto& [other, parameter] : prior->named_parameters())
        if (other == name) parameter.mutable_value().data<float>()[1] = bad;
      CHECK(error_of([&] { CodingNetwork(*prior, "x/model"); }) ==
            "[coding] x/model: " + name + " is not finite");
    }
  const GatedPixelCnn other(sequence, {.layers = 1, .width = 8}, Rng(1), {});
  CHECK(contains(error_of([&] { CodingNetwork(other, "x/model"); }), "x/model is no transformer"));
}

TEST_CASE("codec: every flipped, missing or further byte of a file is noticed" * cpu_only()) {
  const TemporaryFolder folder;
  const std::string path = folder / "s.vqc";
  const SymbolSequence sequence({{6, 1, 2, 3}});
  const auto prior = lively(sequence, 1, 8, 1);
  const CodingNetwork network(*prior, "a prior");
  write_packed(path, network, kFirstStage, random_sequences(sequence, 20));
  const std::string right = read_file(path);
  const auto refusal = [&](const std::string& bytes) {
    write_file(path, bytes, Survives::kill);
    const std::string what = error_of([&] { read_packed(path, network, kFirstStage); });
    CHECK(contains(what, path));
    CHECK_FALSE(contains(what, "\n"));
    return what;
  };
  for (size_t i = 0; i < right.size(); ++i) {
    CAPTURE(i);
    std::string bytes = right;
    bytes[i] ^= static_cast<char>(1 << i % 8);
    refusal(bytes);
    CHECK(contains(refusal(right.substr(0, i)), i < 8 ? "not a file of packed" : "truncated"));
  }
  refusal(right + "x");
  CHECK(contains(refusal(""), "not a file of packed symbols"));
  write_npy(path, sequence.unflatten(random_sequences(sequence, 2))[0]);
  CHECK(contains(refusal(read_file(path)), "not a file of packed symbols"));

  // a header that is right in itself
  const auto changed = [&](size_t at, uint64_t value) {
    std::string bytes = right;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    const uint64_t hash = hash_bytes(bytes.data(), 80);
    std::memcpy(bytes.data() + 80, &hash, sizeof hash);
    return refusal(bytes);
  };
  CHECK(contains(changed(16, 0xfe), "another first stage: 00000000000000fe"));
  CHECK(contains(changed(24, 1), "another prior: 0000000000000001"));
  CHECK(contains(changed(32, uint64_t{1} << 62), "cannot hold 4611686018427387904 images"));
  CHECK(contains(changed(32, 0), "cannot hold 0 images"));
  CHECK(contains(changed(32, 19), "more code than symbols"));
  CHECK(contains(changed(32, 25), "damaged"));
  CHECK(contains(changed(56, 1), "does not decode to the symbols"));
  CHECK(contains(changed(64, 5), "other levels"));
  std::string version = right;
  version[8] = 2;
  CHECK(contains(refusal(version), "version 2"));

  const CodingNetwork other(*lively(sequence, 1, 8, 2), "another prior");
  write_file(path, right);
  CHECK(contains(error_of([&] { read_packed(path, other, kFirstStage); }), "another prior"));
  CHECK(error_of([&] { read_packed(path, network, kFirstStage); }).empty());
  CHECK(contains(error_of([&] {
                   write_packed(path, network, kFirstStage, Tensor({3, 5}, DType::i32));
                 }),
                 path));
  CHECK(contains(error_of([&] {
                   write_packed(path, network, kFirstStage, ops::full({1, 6}, 6, {}, DType::i32));
                 }),
                 "the symbol 6"));
  CHECK((read_file(path) == right));
}

TEST_CASE("programs: images as a packed file and back" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run", here = temporary.path().string();
  const std::string data = " --data synthetic --threads ";
  REQUIRE(run(tiny(folder, "--epochs 1 --quiet --model vqvae2")).code == 0);
  REQUIRE(run("prior " + folder + data +
              "1 --layers 1 --width 16 --heads 2 --epochs 1 --no-mirror --quiet")
              .code == 0);
  const std::string prior = folder + "/prior-seed1";
  const auto before = tree(folder);
  const Ended encoded = run("encode " + folder + data + "1 --compress " + prior +
                                " --output s.vqc --reconstructions made",
                            {}, here);
  CAPTURE(encoded.err);
  REQUIRE(encoded.code == 0);
  for (const char* word : {"SSIM", "PSNR", "prior ", "packed ", "per symbol", "s.vqc  "})
    CHECK(contains(encoded.out, word));
  const Ended decoded = run("decode " + folder + " s.vqc --threads 2 --output again", {}, here);
  CAPTURE(decoded.err);
  REQUIRE(decoded.code == 0);
  for (int i = 0; i < 32; ++i) {
    const std::string name = str(i < 10 ? "/0000" : "/000", i, ".png");
    CHECK((read_file((temporary / "again") + name) == read_file((temporary / "made") + name)));
  }
  // as symbols, and without the wide instructions
  REQUIRE(run("encode " + folder + data + "1 --output s.npy", {}, here).code == 0);
  REQUIRE(run("decode " + folder + " s.vqc --prior " + prior + " --output t.npy",
              {"VERSOR_AVX512=0"}, here)
              .code == 0);
  for (const char* level : {"top", "bottom"})
    CHECK((read_file(temporary / str("s.", level, ".npy")) ==
           read_file(temporary / str("t.", level, ".npy"))));
  CHECK((tree(folder) == before));

  const auto refusal = [&](const std::string& command) {
    const std::string line = error_line(run(command, {}, here));
    CHECK_FALSE(is_there(temporary / "x"));
    return line;
  };
  write_file(temporary / "cut.vqc", read_file(temporary / "s.vqc").substr(0, 200));
  CHECK(contains(refusal("decode " + folder + " cut.vqc --output x"), "cut.vqc is truncated"));
  CHECK(contains(refusal("decode " + folder + " none.vqc --output x"), "none.vqc"));
  CHECK(contains(refusal("decode " + folder + " s.vqc --prior nowhere --output x"), "nowhere"));
  CHECK(contains(refusal("decode " + folder + " s.vqc --prior " + folder + " --output x"), folder));
  REQUIRE(run(tiny(temporary / "other", "--epochs 1 --quiet --model vqvae2 --seed 2")).code == 0);
  CHECK(contains(refusal("decode other s.vqc --output x --prior " + prior), "another model"));
  CHECK(contains(refusal("encode other" + data + "1 --output x --compress " + prior),
                 "another model"));
}

}  // namespace versor::testing
