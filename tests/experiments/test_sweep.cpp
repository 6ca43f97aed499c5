// bin/sweep: the combinations it lists, the table it makes of them, and what it refuses.
#include <set>

#include "experiments/report/section.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

const std::string kTiny =
    " --data synthetic --latent 8 --batch-size 16 --threads 1 --quiet --train-images 32 "
    "--test-images 16 --results ";

}  // namespace

TEST_CASE("sweep: every combination is listed once and trained, and the table says what differs" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results",
                    sweep = "sweep LR=1e-3,0.002 CODES=4,8 SEED=3 EPOCHS=1" + kTiny + results;
  const Ended list = run(sweep + " --list");
  CAPTURE(list.err);
  REQUIRE(list.code == 0);
  const auto commands = lines(list.out);
  CHECK(commands.size() == 4);
  for (const std::string lr : {"0.001", "0.002"})
    for (const std::string codes : {"4", "8"})
      CHECK(std::ranges::count_if(commands, [&](const std::string& command) {
              return contains(command, " --lr " + lr + " ") &&
                     contains(command, " --codes " + codes + " ") &&
                     contains(command, " --seed 3 ");
            }) == 1);
  const Ended made = run(sweep);
  CAPTURE(made.err);
  REQUIRE(made.code == 0);
  CHECK(run(sweep + " --list").out.empty());
  const Section section = read_section(results + "/sweep.json");
  REQUIRE(section.tables.size() == 1);
  const Table& table = section.tables[0];
  CHECK(std::vector(table.columns.begin(), table.columns.begin() + 2) ==
        std::vector<std::string>{"lr", "codes"});
  std::set<std::pair<std::string, std::string>> rows;
  for (const auto& row : table.rows) rows.emplace(row[0], row[1]);
  CHECK(rows == std::set<std::pair<std::string, std::string>>{
                    {"0.001", "4"}, {"0.001", "8"}, {"0.002", "4"}, {"0.002", "8"}});
  CHECK(section.runs.size() == 4);
  CHECK(contains(section.findings.at(0), "of 4 combinations"));
}

TEST_CASE("sweep: lists, flags and presets are options too" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const auto listed = [&](const std::string& words) {
    const Ended ended = run("sweep " + words + kTiny + (temporary / "r") + " --list");
    CAPTURE(ended.err);
    CHECK(ended.code == 0);
    return ended.out;
  };
  const std::string levels = listed("QUANTIZER=fsq LEVELS=8,5;4,4,4");
  CHECK(lines(levels).size() == 2);
  CHECK(contains(levels, " --levels 4,4,4 "));
  const std::string cosine = listed("COSINE=0,1 CODES=8");
  REQUIRE(lines(cosine).size() == 2);
  CHECK(contains(lines(cosine)[1], " --cosine "));
  CHECK_FALSE(contains(lines(cosine)[0], " --cosine "));
  CHECK(lines(listed("PRESET=versor,published BETA=1,2 SEEDS=1,2")).size() == 8);
}

TEST_CASE("sweep: what it does not know is refused with the nearest name" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  for (const auto& [words, part] : std::vector<std::pair<std::string, std::string>>{
           {"EPOCH=5", "EPOCH: there is no such option; did you mean EPOCHS?"},
           {"LR=1e-3,x", "--lr: "},
           {"LR=1e-3,2e-3 LR=1,2", "LR: is there twice"},
           {"lr=1", "lr: there is no such option"},
           {"SIZE", "SIZE: is no NAME=VALUE"},
           {"COSINE=2,3", "--cosine: 2 is neither 0 nor 1"},
           {"LEVELS=8,5;4,4", "--levels: is of --quantizer fsq"}}) {
    CAPTURE(words);
    const Ended ended = run("sweep " + words + kTiny + (temporary / "r") + " --list");
    CHECK(ended.code == 2);
    CHECK(contains(error_line(ended), part));
  }
}

}  // namespace versor::testing
