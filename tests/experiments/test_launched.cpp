// The programs as several processes that mpirun has started: what they print, once, and how they
// end. Skipped without MPI.
#include <nlohmann/json.hpp>

#include "tensor/communicator.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// The sanitizers report what Open MPI itself does.
bool without_mpirun() {
  static const bool without = without_programs() || mpi_version().starts_with("none") ||
                              environment("ASAN_OPTIONS") || environment("TSAN_OPTIONS") ||
                              std::system("command -v mpirun >/dev/null 2>&1") != 0;
  return without;
}

// Lines of a program on standard error, without what mpirun says of processes that end with an
// error.
std::vector<std::string> own_lines(const std::string& text) {
  std::vector<std::string> own;
  bool of_mpirun = false;  // between two dashed lines
  for (const std::string& line : lines(text)) {
    if (line.starts_with("-----"))
      of_mpirun = !of_mpirun;
    else if (!of_mpirun && !line.empty())
      own.push_back(line);
  }
  return own;
}

// mpirun -n N for each command; environment variables allow root, and more processes than cores.
Ended launched(const std::vector<std::pair<int, std::string>>& commands) {
  std::string line = "unset OMP_NUM_THREADS\nexec mpirun";
  for (const auto& [ranks, command] : commands)
    line += (line.ends_with("mpirun") ? "" : " :") +
            str(" -n ", ranks, " ", program_folder(), "/", command);
  const TemporaryFolder temporary;
  write_file(temporary / "launch.sh", line + "\n");
  return run("sh " + (temporary / "launch.sh"),
             {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
              "OMPI_MCA_rmaps_base_oversubscribe=1",
              "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe"},
             temporary.path().string());
}

}  // namespace

TEST_CASE("mpirun: a training on two ranks, and again after it was stopped" *
          doctest::skip(without_mpirun())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  const Ended stopped = launched({{2, tiny(folder, "--epochs 1 --stop-after 5steps")}});
  CAPTURE(stopped.err);
  REQUIRE(stopped.code == 0);
  CHECK(lines(stopped.out).size() == 2);
  CHECK(contains(stopped.out, "2 ranks"));
  CHECK(contains(stopped.out, "stopped after 5 steps"));
  const Ended ended = launched({{2, tiny(folder, "--epochs 1 --tensorboard")}});
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(own_lines(ended.err).size() == 2);  // resumed, and the epoch
  CHECK(contains(ended.err, "resuming after 0 epochs and 5 batches"));
}

TEST_CASE("mpirun: one process goes on with the run of two, whose threads it would have by itself" *
          doctest::skip(without_mpirun())) {
  const TemporaryFolder temporary;
  const std::string command =
      "train --data synthetic --latent 8 --codes 8 --train-images 64 --test-images 16 --batch-size "
      "16 "
      "--epochs 1 --out " +
      temporary / "run";
  REQUIRE(launched({{2, command + " --stop-after 1steps"}}).code == 0);
  write_file(temporary / "alone.sh", "unset OMP_NUM_THREADS\n" + program_folder() + "/" + command);
  const Ended ended = run("sh " + (temporary / "alone.sh"));
  CAPTURE(ended.err);
  CHECK(ended.code == 0);
  CHECK(contains(ended.err, "resuming after 0 epochs and 1 batches"));
}

TEST_CASE("mpirun: an error that all ranks meet is printed once, and keeps its exit code" *
          doctest::skip(without_mpirun())) {
  const auto error_of_ranks = [](int code, const std::vector<std::pair<int, std::string>>& all) {
    const Ended ended = launched(all);
    CAPTURE(ended.err);
    CHECK(ended.code == code);
    REQUIRE(own_lines(ended.err).size() == 1);
    return own_lines(ended.err)[0];
  };
  CHECK(error_of_ranks(2, {{2, "train --codes 0"}}).starts_with("error: --codes: "));
  CHECK(error_of_ranks(2, {{2, "table3 --seeds 1,1"}}).starts_with("error: --seeds: 1 "));
  CHECK(error_of_ranks(2, {{2, "inspect --help"}}) ==
        "error: inspect works in one process: start it without mpirun or srun");
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  CHECK(contains(error_of_ranks(1, {{1, tiny(folder, "--beta 0.5")}, {1, tiny(folder)}}),
                 "has other options than rank 0: --beta 0.25 instead of 0.5"));
}

TEST_CASE("mpirun: rank 0 makes a table, and a training that fails does not end the others" *
          doctest::skip(without_mpirun())) {
  const TemporaryFolder temporary;
  const Ended ended = launched(
      {{2,
        "sweep LR=1e30,1e-3 --data synthetic --latent 8 --codes 8 --train-images 64 --test-images "
        "16 --batch-size 16 --epochs 1 --threads 1 --quiet --results " +
            temporary / "results"}});
  CAPTURE(ended.err);
  CHECK(ended.code == 1);
  CHECK(contains(ended.err, "1 of 2 trainings failed"));
  CHECK(contains(ended.out, "A sweep of options"));
  CHECK(std::filesystem::exists(temporary / "results/sweep.md"));
}

}  // namespace versor::testing
