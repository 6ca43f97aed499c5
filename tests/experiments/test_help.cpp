// --help, manual pages, completion, and the option that was probably meant.
#include "experiments/cli/help.h"
#include "experiments/cli/options.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

const std::vector<std::string> kNames = {"--epochs", "--estimator", "--seed", "--seeds"};

}  // namespace

TEST_CASE("help: the word that was probably meant") {
  CHECK(did_you_mean("--epoch", kNames) == "; did you mean --epochs?");
  CHECK(did_you_mean("--epohcs", kNames) == "; did you mean --epochs?");
  CHECK(did_you_mean("--est", kNames) == "; did you mean --estimator?");
  CHECK(did_you_mean("--seed", kNames) == "; did you mean --seed?");  // the nearest of two
  CHECK(did_you_mean("rotaton", {"ste", "rotation"}) == "; did you mean rotation?");
  CHECK(did_you_mean("--colour", kNames).empty());
  CHECK(did_you_mean("", kNames).empty());
  CHECK(did_you_mean("x", {}).empty());
}

TEST_CASE("help: a wrong option or value names the one that was probably meant" *
          doctest::skip(without_programs())) {
  const auto error = [](const std::string& command) { return error_line(run(command)); };
  CHECK(contains(error("train --epoch 3"), "--epoch; did you mean --epochs?"));
  CHECK(contains(error("train --epoch=3"), "; did you mean --epochs?"));
  CHECK(contains(error("train --estimator rotaton"), "rotaton is none of ste, rotation"));
  CHECK(contains(error("train --estimator rotaton"), "; did you mean rotation?"));
  CHECK_FALSE(contains(error("train --frobnicate 1"), "did you mean"));
  CHECK(contains(error("encode run --out x"), "there is no option --out; did you mean --output?"));
}

TEST_CASE("help: groups, defaults of the preset, 80 columns" * doctest::skip(without_programs())) {
  const Ended ended = run("train --preset best --help");
  CHECK(ended.code == 0);
  for (const std::string& line : lines(ended.out)) {
    CAPTURE(line);
    CHECK(line.size() <= 80);
  }
  CHECK(contains(ended.out, "\nTraining:\n"));
  CHECK(contains(ended.out, "Adam's learning rate [0.002]"));
  CHECK(contains(run("train --help").out, "Adam's learning rate [0.0002]"));
}

TEST_CASE("help: a manual page and a completion that bash takes" *
          doctest::skip(without_programs())) {
  const Ended page = run("train --man-page");
  CHECK(page.code == 0);
  CHECK(page.out.starts_with(".TH versor-train 1"));
  CHECK(contains(page.out, ".B \\-\\-epochs N\n"));
  const TemporaryFolder folder;
  write_file(
      folder / "try",
      "source <(" + program_folder() +
          "/train --completion)\n"
          "COMP_WORDS=(bin/train --estimator ro) COMP_CWORD=2; _versor_train; echo "
          "${COMPREPLY[*]}\n"
          "COMP_WORDS=(bin/train --epo) COMP_CWORD=1; _versor_train; echo ${COMPREPLY[*]}\n");
  const Ended tried = run("sh -c bash$IFS" + (folder / "try"));
  CHECK(tried.out == "rotation rotation_unscaled\n--epochs\n");
}

}  // namespace versor::testing
