// bin/prune: what it removes, what it refuses, and that a pruned run is still a finished one.
#include <fcntl.h>
#include <sys/file.h>

#include "experiments/study/figure_epochs.h"
#include "tests/experiments/programs.h"

namespace versor::testing {

TEST_CASE("figures: the snapshots that they show, in a whole run and in short ones") {
  std::vector<int64_t> kept;
  for (int64_t epoch = 0; epoch <= 100; ++epoch) kept.push_back(epoch);
  const FigureEpochs whole = figure_epochs(kept, 100);
  CHECK(whole.pictures == std::vector<int64_t>{1, 26, 51, 76, 100});
  CHECK(whole.codebooks == std::vector<int64_t>{0, 1, 26, 50});
  CHECK(whole.evolution == std::vector<int64_t>{0, 14, 29, 43, 57, 71, 86, 100});
  const FigureEpochs little = figure_epochs({0, 1}, 1);
  CHECK(little.pictures == std::vector<int64_t>(5, 1));
  CHECK(little.evolution == std::vector<int64_t>{0, 1});
}

TEST_CASE("programs: prune leaves a finished run that trains no more" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string runs = temporary / "runs";
  const auto train = [&](const std::string& epochs) {
    return run(
        "train --data synthetic --latent 4 --codes 4 --train-images 16 --test-images 4 "
        "--batch-size 16 --threads 1 --quiet --results " +
        temporary.path().string() + " --epochs " + epochs);
  };
  REQUIRE(train("16").code == 0);
  const std::string folder = std::filesystem::directory_iterator(runs)->path().string();
  write_file(folder + "/trainer.damaged.safetensors", "");

  const auto before = tree(folder);
  const Ended dry = run("prune --dry-run " + folder);
  CHECK(dry.code == 0);
  CHECK(contains(dry.out, "would remove " + folder + "/trainer.safetensors"));
  CHECK((tree(folder) == before));

  const Ended pruned = run("prune " + folder);
  CAPTURE(pruned.err);
  REQUIRE(pruned.code == 0);
  CHECK(contains(pruned.out, folder + "  0."));
  auto expected = before;
  // Of 0 to 6, 11 and 16 the figures show all but these two.
  for (const char* name : {"/trainer.safetensors", "/trainer.damaged.safetensors",
                           "/snapshots/epoch-0003.png", "/snapshots/epoch-0003.safetensors",
                           "/snapshots/epoch-0004.png", "/snapshots/epoch-0004.safetensors"})
    CHECK(expected.erase(folder + name) == 1);
  CHECK((tree(folder) == expected));

  // It counts as finished, and a longer run begins anew instead of failing.
  CHECK(train("16").code == 0);
  CHECK((tree(folder) == expected));
  CHECK(run("evaluate --data synthetic " + folder).code == 0);
  const Ended longer = train("17");
  CHECK(longer.code == 0);
  CHECK(std::distance(std::filesystem::directory_iterator(runs), {}) == 2);
}

TEST_CASE("programs: prune refuses what is not finished or in use, and then touches nothing" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string good = temporary / "good", bad = temporary / "bad";
  for (const std::string& folder : {good, bad})
    REQUIRE(run(tiny(folder, "--epochs 1 --quiet")).code == 0);
  const std::string metrics = read_file(bad + "/metrics.csv");
  const auto refused = [&](const std::string& part) {
    const auto before = tree(temporary.path().string());
    CHECK(contains(error_line(run("prune " + good + " " + bad)), part));
    CHECK((tree(temporary.path().string()) == before));
  };
  write_file(bad + "/metrics.csv", metrics.substr(0, metrics.find('\n') + 1));
  refused(bad + " holds no finished run");
  write_file(bad + "/metrics.csv", metrics);
  {
    const Descriptor lock(open((bad + "/lock").c_str(), O_RDWR));
    REQUIRE(flock(lock.get(), LOCK_EX) == 0);
    refused("in use");
  }
  std::filesystem::rename(bad + "/model.safetensors", temporary / "model");
  refused("no model.safetensors");
  std::filesystem::remove_all(bad);
  refused(bad + "/config.json");
}

}  // namespace versor::testing
