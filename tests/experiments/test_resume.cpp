// A run that is killed or interrupted, and started again, ends with the bytes of one that never
// was: metrics.csv and model.safetensors. This holds wherever the kill falls: inside an epoch, or
// between the files that are written at its end.
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>

#include "experiments/run/metrics.h"
#include "nn/safetensors.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

// Steps that the checkpoint of a tiny run holds; none if there is no checkpoint.
std::optional<int64_t> steps_saved(const std::string& folder) {
  const std::string path = folder + "/trainer.safetensors";
  if (!fs::exists(path)) return {};
  const auto position = nlohmann::json::parse(read_safetensors(path).metadata.at("position"));
  return kTinySteps * position.at("epoch").get<int64_t>() +
         position.at("train").at("batches").get<int64_t>();
}

// Starts a run and sends it a signal once `ready`. If a slow machine let the run end before, the
// run is started anew, a few times.
template <class Ready>
Ended run_and_signal(const std::string& command, const std::string& folder, int signal,
                     const Ready& ready) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    Process process(command);
    while (process.running() && !ready())
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    process.send(signal);
    const Ended ended = process.wait();
    if (ended.code != 0) return ended;
    fs::remove_all(folder);
  }
  FAIL("the run was always over before the signal came");
  return {};
}

void check_same_results(const std::string& folder, const std::string& expected) {
  for (const char* name : {"metrics.csv", "model.safetensors", "reconstructions.png"}) {
    CAPTURE(name);
    CHECK((read_file(folder + "/" + name) == read_file(expected + "/" + name)));
  }
}

}  // namespace

TEST_CASE("resume: a run killed several times ends as one that was not" *
          doctest::skip(without_programs())) {
  // With codes that count as dead early, so that random replacements must be resumed too.
  for (const std::string choices : {"--preset versor --dead-codes 0.9", "--preset published",
                                    "--model vqvae2 --dead-codes 0.9", "--mirror 1 --shift 2"}) {
    // The images of the run that is killed come from the host, with the same bits.
    CAPTURE(choices);
    const TemporaryFolder temporary;
    const std::string undisturbed = temporary / "undisturbed", folder = temporary / "killed";
    const std::string options = "--epochs 3 " + choices;
    REQUIRE(run(tiny(undisturbed, options)).code == 0);
    if (contains(choices, "dead"))
      for (double replaced :
           read_metrics(undisturbed + "/metrics.csv").column("train_replaced_codes"))
        REQUIRE(replaced > 0);
    const std::string command = tiny(folder, options + " --save-every 1 --feed streamed");
    int inside_an_epoch = 0;
    for (int64_t steps : {2, 11, 20}) {
      const Ended ended = run_and_signal(command, folder, SIGKILL,
                                         [&] { return steps_saved(folder).value_or(0) >= steps; });
      REQUIRE(ended.signal == SIGKILL);
      const int64_t reached = steps_saved(folder).value();
      CHECK(reached >= steps);
      CHECK(reached < 3 * kTinySteps);
      if (reached % kTinySteps != 0) ++inside_an_epoch;
    }
    CHECK(inside_an_epoch > 0);
    const Ended ended = run(command);
    REQUIRE(ended.code == 0);
    CHECK(contains(ended.err, "resuming after "));
    check_same_results(folder, undisturbed);
  }
}

TEST_CASE("resume: a kill between the files of an epoch's end leaves nothing behind" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string undisturbed = temporary / "undisturbed", folder = temporary / "run";
  REQUIRE(run(tiny(undisturbed, "--epochs 2")).code == 0);
  REQUIRE(run(tiny(folder, "--epochs 2")).code == 0);
  const std::vector<std::string> rows = lines(read_file(undisturbed + "/metrics.csv"));
  REQUIRE(rows.size() == 3);
  SUBCASE("the checkpoint is there, its row is not") {
    write_file(folder + "/metrics.csv", rows[0] + "\n" + rows[1] + "\n");
  }
  SUBCASE("the checkpoint is there, the model is not") {
    fs::remove(folder + "/model.safetensors");
    fs::remove(folder + "/metrics.csv");
  }
  SUBCASE("rows of epochs that no checkpoint holds") {
    write_file(folder + "/metrics.csv", rows[0] + "\n" + rows[1] + "\n");
    fs::remove(folder + "/trainer.safetensors");
  }
  SUBCASE("half of a file that was being written") {
    fs::remove(folder + "/trainer.safetensors");
    fs::remove(folder + "/metrics.csv");
    for (const char* name : {"trainer.safetensors", "model.safetensors", "metrics.csv"})
      write_file(folder + "/" + name + ".tmp", "half");
  }
  CHECK(run(tiny(folder, "--epochs 2")).code == 0);
  check_same_results(folder, undisturbed);
  CHECK(lines(read_file(folder + "/timing.csv")).size() == 3);
}

TEST_CASE("resume: an interrupted run saves in the middle of an epoch and goes on" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string undisturbed = temporary / "undisturbed";
  REQUIRE(run(tiny(undisturbed, "--epochs 4")).code == 0);
  for (int signal : {SIGINT, SIGTERM}) {
    CAPTURE(signal);
    const std::string folder = temporary / std::to_string(signal);
    const std::string command = tiny(folder, "--epochs 4");
    // Only the signal makes this run save inside an epoch. If it came between two epochs the run is
    // tried again.
    bool inside_an_epoch = false;
    for (int attempt = 0; attempt < 10 && !inside_an_epoch; ++attempt) {
      fs::remove_all(folder);
      const Ended ended = run_and_signal(command, folder, signal, [&] {
        if (!fs::exists(folder + "/metrics.csv")) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return true;
      });
      CAPTURE(ended.err);
      REQUIRE(ended.code == 130);
      CHECK(contains(ended.err, "interrupted; saved in " + folder));
      const int64_t reached = steps_saved(folder).value();
      CHECK(reached < 4 * kTinySteps);
      inside_an_epoch = reached % kTinySteps != 0;
    }
    CHECK(inside_an_epoch);
    CHECK(run(command).code == 0);
    check_same_results(folder, undisturbed);
  }
}

TEST_CASE("resume: a damaged checkpoint is named, not used and not overwritten" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run", path = folder + "/trainer.safetensors";
  REQUIRE(run(tiny(folder, "--epochs 1")).code == 0);
  fs::remove(folder + "/metrics.csv");  // not finished any more
  SafetensorsFile file = read_safetensors(path);
  const auto size = fs::file_size(path);
  SUBCASE("cut in half") {
    fs::resize_file(path, size / 2);
  }
  SUBCASE("the last byte missing") {
    fs::resize_file(path, size - 1);
  }
  SUBCASE("empty") {
    fs::resize_file(path, 0);
  }
  SUBCASE("no position") {
    file.metadata.clear();
    write_safetensors(path, file);
  }
  SUBCASE("a position without its rows") {
    file.metadata["position"] = R"({"epoch": 1, "batch": 0})";
    write_safetensors(path, file);
  }
  SUBCASE("a moment of Adam missing") {
    file.tensors.erase("adam.v.encoder.0.weight");
    write_safetensors(path, file);
  }
  SUBCASE("a parameter missing") {
    file.tensors.erase("model.decoder.4.bias");
    write_safetensors(path, file);
  }
  SUBCASE("a bit flipped") {
    std::string bytes = read_file(path);
    bytes[bytes.size() / 2] ^= 4;
    write_file(path, bytes);
  }
  SUBCASE("another run's") {
    file.metadata["options"].replace(file.metadata["options"].find("\"beta\":0.25"), 11,
                                     "\"beta\":0.5");
    write_safetensors(path, file);
  }
  SUBCASE("a position outside the run") {
    std::string& position = file.metadata["position"];
    position.replace(position.find("\"batches\":0"), 11, "\"batches\":99");
    write_safetensors(path, file);
  }
  const auto before = tree(folder);
  const Ended ended = run(tiny(folder, "--epochs 1 --quiet"));
  CHECK(ended.code == 1);
  CHECK(contains(error_line(ended), folder));
  CHECK((tree(folder) == before));
}

TEST_CASE("resume: where the newest checkpoint is damaged the one before it serves" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string undisturbed = temporary / "undisturbed", folder = temporary / "run";
  const std::string path = folder + "/trainer.safetensors",
                    previous = folder + "/trainer.previous.safetensors",
                    damaged = folder + "/trainer.damaged.safetensors";
  REQUIRE(run(tiny(undisturbed, "--epochs 3")).code == 0);
  CHECK_FALSE(fs::exists(undisturbed + "/trainer.previous.safetensors"));
  const std::string command = tiny(folder, "--epochs 3 --save-every 1");
  run_and_signal(command, folder, SIGKILL, [&] { return steps_saved(folder).value_or(0) >= 5; });
  const int64_t reached = steps_saved(folder).value();
  REQUIRE(read_safetensors(previous).metadata.contains("position"));
  std::string bytes = read_file(path);
  bytes[bytes.size() - 100] ^= 1;
  write_file(path, bytes);
  const Ended ended = run(command);
  CAPTURE(ended.err);
  CHECK(ended.code == 0);
  CHECK(contains(ended.err, path + " is damaged"));
  const int64_t before = reached - 1;  // the step before
  CHECK(contains(ended.err, "resuming after " + std::to_string(before / kTinySteps) +
                                " epochs and " + std::to_string(before % kTinySteps) + " batches"));
  CHECK((read_file(damaged) == bytes));
  check_same_results(folder, undisturbed);
}

TEST_CASE("resume: interrupted in the evaluation, also where that moves the codebook" *
          doctest::skip(without_programs())) {
  // 8 steps of training and 128 of evaluation, so most signals arrive during the evaluation.
  for (const std::string preset : {"versor", "published"}) {
    CAPTURE(preset);
    const TemporaryFolder temporary;
    const auto command = [&](const std::string& folder) {
      return "train --data synthetic --latent 8 --codes 8 --train-images 32 --test-images 512 "
             "--batch-size 4 --epochs 2 --threads 1 --preset " +
             preset + " --out " + folder;
    };
    const std::string undisturbed = temporary / "undisturbed", folder = temporary / "run";
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(run(command(undisturbed)).code == 0);
    const auto both_epochs = std::chrono::steady_clock::now() - start;  // sanitizers take longer
    bool in_evaluation = false;
    for (int attempt = 0; attempt < 20 && !in_evaluation; ++attempt) {
      fs::remove_all(folder);
      const Ended ended = run_and_signal(command(folder), folder, SIGTERM, [&] {
        if (!fs::exists(folder + "/metrics.csv")) return false;
        std::this_thread::sleep_for(both_epochs * attempt / 40);
        return true;
      });
      REQUIRE(ended.code == 130);
      const auto position = nlohmann::json::parse(
          read_safetensors(folder + "/trainer.safetensors").metadata.at("position"));
      in_evaluation = position.at("test").at("batches").get<int64_t>() > 0;
    }
    CHECK(in_evaluation);
    CHECK(run(command(folder)).code == 0);
    check_same_results(folder, undisturbed);
  }
}

TEST_CASE("resume: a terminal that is closed interrupts, unless under nohup" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  const auto begun = [&] { return fs::exists(folder + "/metrics.csv"); };
  const auto ours = std::signal(SIGHUP, SIG_DFL);  // the tests themselves may run under nohup
  const Ended ended = run_and_signal(tiny(folder, "--epochs 300"), folder, SIGHUP, begun);
  CHECK(ended.code == 130);
  CHECK(contains(ended.err, "interrupted; saved in " + folder));
  fs::remove_all(folder);
  std::signal(SIGHUP, SIG_IGN);  // as nohup sets it for what it starts
  Process process(tiny(folder, "--epochs 3"));
  std::signal(SIGHUP, ours);
  while (process.running() && !begun()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  process.send(SIGHUP);
  CHECK(process.wait().code == 0);
}

TEST_CASE("resume: a full disk is one clear error, and the run goes on when there is room" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string undisturbed = temporary / "undisturbed", folder = temporary / "run";
  REQUIRE(run(tiny(undisturbed, "--epochs 2")).code == 0);
  run_and_signal(tiny(folder, "--epochs 2 --save-every 1"), folder, SIGKILL,
                 [&] { return steps_saved(folder).value_or(0) >= 3; });
  const std::string before = read_file(folder + "/trainer.safetensors");
  {
    // Too little for a checkpoint: with 8 latents it takes some 60 KB.
    const FullDisk full(16384);
    const Ended ended = run(tiny(folder, "--epochs 2 --save-every 1 --quiet"));
    CHECK(ended.code == 1);
    const std::string line = error_line(ended);
    CHECK(contains(line, "cannot write " + folder));
    CHECK(contains(line, "unchanged"));
  }
  CHECK((read_file(folder + "/trainer.safetensors") == before));
  CHECK_FALSE(fs::exists(folder + "/trainer.safetensors.tmp"));
  CHECK(run(tiny(folder, "--epochs 2")).code == 0);
  check_same_results(folder, undisturbed);
}

}  // namespace versor::testing
