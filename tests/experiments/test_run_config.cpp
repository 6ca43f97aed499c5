// The config of a run: every option that changes results changes the run's name, and whatever makes
// a run different from the paper's is named.
#include <algorithm>
#include <functional>
#include <set>

#include "tests/experiments/run_options.h"

namespace versor::testing {

TEST_CASE("run name: readable, then 8 digits; equal for equal options") {
  const std::string name = run_name(config(parsed("--codes 16 --latent 8 --beta 0.5 --seed 7")));
  const std::string slug = "rotation-kmeans-k16-d8-beta0.5-seed7-";
  REQUIRE(name.starts_with(slug));
  CHECK(name.size() == slug.size() + 8);
  CHECK(name.find_first_not_of("0123456789abcdef", slug.size()) == std::string::npos);
  CHECK(run_name(config(parsed("--codes 16 --latent 8 --beta 0.5 --seed 7"))) == name);
  CHECK(run_name(config(parsed("--seed 7 --beta 0.50 --latent 8 --codes 16"))) == name);
}

TEST_CASE("run name: every option that changes results changes its digits") {
  std::set<std::string> digits;
  int names = 0;
  const auto add = [&](const nlohmann::ordered_json& c) {
    const std::string name = run_name(c);
    digits.insert(name.substr(name.size() - 8));
    ++names;
  };
  add(config(parsed("")));
  for (const char* flag : {"--estimator ste",
                           "--estimator reflection",
                           "--estimator published",
                           "--estimator rotation_unscaled",
                           "--owner gradient",
                           "--owner both",
                           "--codebook-start uniform",
                           "--accumulators zero",
                           "--dead-codes 0.2",
                           "--ema-in-eval 1",
                           "--codes 512",
                           "--latent 128",
                           "--beta 0.1",
                           "--beta 0.25001",
                           "--decay 0.9",
                           "--lr 1e-3",
                           "--batch-size 64",
                           "--epochs 51",
                           "--seed 2",
                           "--quantizer simvq",
                           "--quantizer fsq",
                           "--quantizer fsq --levels 8,5,5",
                           "--quantizer lfq",
                           "--quantizer bsq",
                           "--quantizer lfq --entropy-weight 0.2",
                           "--groups 2",
                           "--layers 2",
                           "--layers 2 --shared-codebook",
                           "--layers 2 --layer-dropout",
                           "--codebook-dim 8",
                           "--cosine",
                           "--estimator gumbel",
                           "--estimator gumbel --temperature 0.1",
                           "--estimator diveq",
                           "--estimator diveq --diveq-noise 0.07",
                           "--estimator diveq --diveq-noise 0",
                           "--rotation-origin 0.5",
                           "--rotation-origin -0.5",
                           "--rotation-origin mean",
                           "--soft-em 0.1",
                           "--owner gradient --orthogonality 0.1",
                           "--diversity 0.1",
                           "--lr-schedule cosine",
                           "--lr-schedule cosine --epochs 51",
                           "--warmup 9",
                           "--validation-images 5"})
    add(config(parsed(flag)));
  add(config(parsed(""), 21, 10));  // other sets of images
  add(config(parsed(""), 20, 11));
  RunOptions other = parsed("");
  other.threads += 1;
  add(config(other));
  other = parsed("");
  other.precision = other.precision == Precision::bf16 ? Precision::fp32 : Precision::bf16;
  add(config(other));
  other = parsed("");
  other.device = {DeviceType::cuda, 0};
  add(config(other));
  DatasetPair shuffled = synthetic_images(20, 10);
  std::swap(shuffled.train.labels[0], shuffled.train.labels[1]);
  add(config_of(parsed(""), shuffled));
  // Other pixels under the same labels: one pixel of each part, all (negatives), and two that are
  // swapped.
  const auto changed = [](const std::function<void(uint8_t*, uint8_t*)>& change) {
    DatasetPair images = synthetic_images(20, 10);
    change(images.train.images.data<uint8_t>(), images.test.images.data<uint8_t>());
    return config_of(parsed(""), images);
  };
  add(changed([](uint8_t* train, uint8_t*) { train[20 * 3072 - 1] ^= 0x80; }));
  add(changed([](uint8_t* train, uint8_t*) { train[7] ^= 0x80, train[15] ^= 0x80; }));
  add(changed([](uint8_t*, uint8_t* test) { test[0] += 1; }));
  add(changed([](uint8_t* train, uint8_t* test) {
    std::for_each(train, train + 20 * 3072, [](uint8_t& p) { p = static_cast<uint8_t>(255 - p); });
    std::for_each(test, test + 10 * 3072, [](uint8_t& p) { p = static_cast<uint8_t>(255 - p); });
  }));
  add(changed(
      [](uint8_t* train, uint8_t*) { std::swap_ranges(train, train + 3072, train + 30720); }));
  DatasetPair renamed = synthetic_images(20, 10);
  renamed.train.name = "CIFAR-10";
  add(config_of(parsed(""), renamed));
  CHECK(static_cast<int>(digits.size()) == names);
}

TEST_CASE("run name: where results go or how data is found is no part of it") {
  CHECK(config(parsed("--data synthetic")) == config(parsed("--data-dir somewhere")));
  CHECK(config(parsed("--train-images 20 --batch-size 16 --data synthetic")) ==
        config(parsed("--batch-size 16")));
}

TEST_CASE("options: the paper's size is all of its sizes") {
  const nlohmann::ordered_json paper = {
      {"data", "CIFAR-10"}, {"train_images", 50'000}, {"test_images", 10'000}, {"latent", 256},
      {"codes", 1024},      {"batch_size", 128},      {"epochs", 50},          {"lr", 2e-4},
      {"decay", 0.99}};
  CHECK(differences_from_paper(paper, 1024, 50).empty());
  CHECK(differences_from_paper(paper, 512, 50) ==
        std::vector<std::string>{"K 1024 instead of 512"});
  CHECK(differences_from_paper(paper, 1024, 100) == std::vector<std::string>{"50 of 100 epochs"});
  const std::pair<const char*, nlohmann::ordered_json> changes[] = {
      {"data", "synthetic images (not CIFAR-10)"},
      {"train_images", 49'999},
      {"test_images", 9'999},
      {"latent", 255},
      {"codes", 1023},
      {"batch_size", 127},
      {"epochs", 49},
      {"lr", 1e-3},
      {"decay", 0.9}};
  for (const auto& [key, value] : changes) {
    CAPTURE(key);
    auto other = paper;
    other[key] = value;
    CHECK_FALSE(differences_from_paper(other, 1024, 50).empty());
  }
}

}  // namespace versor::testing
