// What a run is: the same options give the same bytes, whatever the number of threads; a finished
// run is left alone; a folder belongs to one config and one process; evaluation changes nothing.
#include <omp.h>

#include <nlohmann/json.hpp>

#include "data/synthetic.h"
#include "experiments/run/metrics.h"
#include "experiments/run/run_folder.h"
#include "experiments/run/trainer.h"
#include "nn/safetensors.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

// Trains and returns metrics.csv.
std::string metrics_after(const std::string& folder, const std::string& more = "",
                          const std::string& threads = "1",
                          const std::vector<std::string>& environment = {}) {
  const Ended ended = run(tiny(folder, "--epochs 2 " + more, threads), environment);
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  return read_file(folder + "/metrics.csv");
}

// The bits of all weights. The file also names the run, and so differs between runs.
std::string weights_of(const std::string& folder) {
  const SafetensorsFile file = read_safetensors(folder + "/model.safetensors");
  std::string all;
  for (const auto& [name, tensor] : file.tensors) all += name + bits_of(tensor);
  return all;
}

}  // namespace

TEST_CASE("runs: a seed gives the same bytes again, another seed others" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string first = metrics_after(temporary / "a", "--seed 3");
  CHECK(lines(first).size() == 3);
  CHECK((metrics_after(temporary / "b", "--seed 3") == first));
  CHECK((metrics_after(temporary / "c", "--seed 4") != first));
  CHECK((read_file(temporary / "a/model.safetensors") ==
         read_file(temporary / "b/model.safetensors")));
}

// The reference kernels promise the same bits for every number of threads. oneDNN does not: it
// divides its sums among threads, and even this small run differs in the last digits. So the number
// of threads is part of what a run is, and only the reference kernels are held to the promise.
TEST_CASE("runs: reference kernels give the same bytes with 1 and 2 threads" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::vector<std::string> reference = {"VERSOR_ONEDNN=0", "OMP_WAIT_POLICY=passive"};
  const std::string one = metrics_after(temporary / "1", "", "1", reference);
  CHECK((metrics_after(temporary / "2", "", "2", reference) == one));
  CHECK((weights_of(temporary / "1") == weights_of(temporary / "2")));
  CHECK((read_file(temporary / "1/config.json") != read_file(temporary / "2/config.json")));
}

TEST_CASE("runs: images per second counts the images of the last batch" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  // 33 images in batches of 32: counted as two batches they would be 64.
  REQUIRE(run("train --data synthetic --latent 32 --codes 8 --train-images 33 --test-images 32 "
              "--batch-size 32 --threads 1 --epochs 2 --out " +
              (temporary / "a"))
              .code == 0);
  const MetricsTable timing = read_metrics(temporary / "a/timing.csv");
  for (size_t epoch = 0; epoch < 2; ++epoch) {
    const double seconds = timing.column("train_seconds")[epoch];
    const double rounding = 0.0005 / seconds + 0.05;  // the file has three decimals and one
    CHECK(timing.column("images_per_second")[epoch] * seconds ==
          doctest::Approx(33).epsilon(rounding));
  }
}

TEST_CASE("runs: a trace, and a clock that goes backwards, change nothing" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string plain = metrics_after(temporary / "plain");
  CHECK((metrics_after(temporary / "traced", "", "1", {"VERSOR_TRACE=1"}) == plain));
  CHECK((read_file(temporary / "traced/model.safetensors") ==
         read_file(temporary / "plain/model.safetensors")));
  // The files in the folder are dated in the future. (Nothing reads the time of day; only monotonic
  // clocks measure.)
  const std::string folder = temporary / "future";
  metrics_after(folder, "");
  fs::remove(folder + "/metrics.csv");
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file())
      fs::last_write_time(entry, fs::file_time_type::clock::now() + std::chrono::hours(10'000));
  CHECK((metrics_after(folder) == plain));
}

TEST_CASE("runs: the preset versor's evaluation moves nothing, the published one's does" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const auto model = [&](const std::string& preset, const std::string& test_images) {
    const std::string folder = temporary / (preset + test_images);
    const std::string command =
        "train --data synthetic --latent 8 --codes 8 --train-images 64 "
        "--batch-size 16 --epochs 2 --threads 1 --quiet";
    const Ended ended =
        run(command + " --preset " + preset + " --test-images " + test_images + " --out " + folder);
    CAPTURE(ended.err);
    REQUIRE(ended.code == 0);
    return weights_of(folder);
  };
  CHECK((model("versor", "16") == model("versor", "48")));
  CHECK((model("published", "16") != model("published", "48")));
}

TEST_CASE("runs: a finished run is not run again" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  metrics_after(folder);
  const auto before = tree(folder);
  const Ended again = run(tiny(folder, "--epochs 2"));
  CHECK(again.code == 0);
  CHECK(contains(again.out, "finished before, after 2 epochs"));
  CHECK(again.err.empty());
  CHECK((tree(folder) == before));
}

TEST_CASE("runs: the name of a folder tells runs apart where --out is not given" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string command =
      "train --data synthetic --latent 8 --codes 8 --train-images 32 "
      "--test-images 16 --batch-size 16 --epochs 1 --threads 1 --results ";
  CHECK(run(command + (temporary / "r")).code == 0);
  CHECK(run(command + (temporary / "r") + " --beta 0.5").code == 0);
  const auto before = tree(temporary / "r");
  CHECK(run(command + (temporary / "r")).code == 0);
  CHECK((tree(temporary / "r") == before));
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(temporary / "r/runs"))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  REQUIRE(names.size() == 2);
  CHECK(names[0].starts_with("rotation-kmeans-k8-d8-beta0.25-seed1-"));
  CHECK(names[1].starts_with("rotation-kmeans-k8-d8-beta0.5-seed1-"));
  for (const char* file : {"config.json", "metrics.csv", "timing.csv", "model.safetensors",
                           "trainer.safetensors", "reconstructions.png"})
    CHECK(fs::exists(temporary / ("r/runs/" + names[0] + "/" + file)));
}

TEST_CASE("runs: a folder with another config is refused" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  metrics_after(folder);
  const auto before = tree(folder);
  const std::pair<const char*, const char*> others[] = {
      {"--epochs 3", "--epochs 2, asked for 3; choose"},
      {"--epochs 2 --seed 2", "--seed 1, asked for 2; choose"},
      {"--epochs 2 --cosine", "--cosine 0, asked for 1; choose"},
      {"--epochs 4 --beta 1", "--beta 0.25, asked for 1.0, and --epochs 2, asked for 4; choose"},
      {"--epochs 2 --preset published --owner ema --dead-codes 0.1 --ema-in-eval 0",
       "--estimator rotation, asked for published, and --codebook-start kmeans, asked for uniform, "
       "and --accumulators warm, asked for zero; choose"}};
  for (const auto& [other, difference] : others) {
    CAPTURE(other);
    const Ended ended = run(tiny(folder, std::string(other) + " --quiet"));
    CHECK(ended.code == 1);
    const std::string line = error_line(ended);
    CHECK(contains(line, folder));
    CHECK(contains(line, std::string("holds a run with ") + difference));
    CHECK(contains(line, "--out"));
  }
  CHECK((tree(folder) == before));
}

// As a library, without a command line: options from numbers and enumerators, nothing resolved.
TEST_CASE("runs: other pixels under the same labels are another run, on reuse and on resumption") {
  const ThreadCount restored(omp_get_max_threads());
  const TemporaryFolder temporary;
  const std::string path = temporary / "run";
  RunOptions options;
  options.latent = options.codes = 8;
  options.batch_size = 16;
  options.epochs = 1;
  options.threads = 1;
  DatasetPair images = synthetic_images(32, 16);
  CHECK(Trainer(options, images, {.folder = path, .quiet = true}).run() == TrainingEnd::finished);
  CHECK(Trainer(options, images, {.folder = path, .quiet = true}).run() ==
        TrainingEnd::was_finished);
  images = synthetic_images(32, 16);
  images.test.images.data<uint8_t>()[5] ^= 1;
  for (const bool interrupted : {false, true}) {
    if (interrupted) fs::remove(path + "/metrics.csv");
    const std::string error =
        error_of([&] { Trainer(options, images, {.folder = path, .quiet = true}); });
    CHECK(contains(error, "holds a run with pixels and labels: "));
  }
  // Nor is a shorter run of such options the beginning of a longer one.
  const auto folder_of = [&](const RunOptions& o, const DatasetPair& i) {
    RunOptions resolved = o;
    resolve(resolved);
    return temporary / ("runs/" + run_name(config_of(resolved, i)));
  };
  Trainer(options, images, {.folder = folder_of(options, images), .quiet = true}).run();
  options.epochs = 2;
  const auto continues = [&](const DatasetPair& i) {
    const std::string folder = folder_of(options, i);
    Trainer(options, i, {.folder = folder, .quiet = true}).run();
    return contains(read_file(folder + "/config.json"), "continues");
  };
  CHECK(continues(images));
  images = synthetic_images(32, 16);
  images.train.images.data<uint8_t>()[8] ^= 1;
  CHECK_FALSE(continues(images));
}

TEST_CASE("runs: one that was begun with another number of threads is named, and how to go on" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  const auto train = [&](const std::string& more) {
    return run(
        "train --data synthetic --latent 8 --codes 8 --train-images 32 --test-images 16 "
        "--batch-size 16 --quiet --results " +
        results + " " + more);
  };
  REQUIRE(train("--threads 2 --epochs 2").err.empty());
  std::string folder;
  for (const auto& entry : fs::directory_iterator(results + "/runs")) folder = entry.path();
  const std::string go_on = "; with --threads 2 the same command goes on with it, with 1 it begins";
  // First a longer run, which can begin with the finished one; then that one is unfinished.
  CHECK(contains(train("--threads 1 --epochs 3").err,
                 "note: " + folder +
                     " is a finished run of the same options with 2 threads and 2 "
                     "epochs" +
                     go_on));
  fs::remove(folder + "/metrics.csv");
  const std::string note = train("--threads 1 --epochs 2").err;
  CHECK(contains(note, "note: " + folder +
                           " is an unfinished run of the same options with 2 "
                           "threads" +
                           go_on));
  CHECK(lines(note).size() == 1);
  // Nothing is said if there is nothing to begin with, or for other options.
  CHECK(train("--threads 1 --epochs 2").err.empty());
  CHECK(train("--threads 1 --epochs 2 --seed 2").err.empty());
  CHECK(train("--threads 1 --epochs 1").err.empty());
  CHECK(train("--threads 2 --epochs 2").err.empty());
}

TEST_CASE("runs: a malformed config.json is named" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run", path = folder + "/config.json";
  fs::create_directories(folder);
  for (const char* text : {"", "{", "{}", "[1]", "\xff"}) {
    CAPTURE(text);
    write_file(path, text);
    const Ended ended = run(tiny(folder, "--epochs 2 --quiet"));
    CHECK(ended.code == 1);
    CHECK(contains(error_line(ended), path));
    CHECK(read_file(path) == text);
  }
}

TEST_CASE("runs: a folder is one process's at a time" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  const std::string endless = tiny(folder, "--epochs 1000000 --quiet");
  {
    Process first(endless);
    while (first.running() && !fs::exists(folder + "/metrics.csv"))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const Ended second = run(endless);
    CHECK(second.code == 1);
    const std::string line = error_line(second);
    CHECK(contains(line, folder));
    CHECK(contains(line, "in use by another process"));
    CHECK(first.running());
    first.send(SIGKILL);
    CHECK(first.wait().signal == SIGKILL);
  }
  // The lock went with its process: now only the options prevent it.
  CHECK(contains(error_line(run(tiny(folder, "--epochs 1 --quiet"))),
                 "--epochs 1000000, asked for 1;"));
}

TEST_CASE("run folder: text files are replaced as a whole") {
  const TemporaryFolder temporary;
  const std::string path = temporary / "file";
  write_file(path, "first");
  write_file(path, "second\n");
  CHECK(read_file(path) == "second\n");
  CHECK_FALSE(fs::exists(path + ".tmp"));
  CHECK(contains(error_of([&] { write_file(temporary / "no/file", "x"); }), temporary / "no/file"));
  CHECK(contains(error_of([&] { read_file(temporary / "no"); }), temporary / "no"));
}

TEST_CASE("run folder: rows of a CSV file, up to the epoch that is resumed") {
  const TemporaryFolder temporary;
  const RunFolder folder(temporary / "run", {{"epochs", 2}});
  CHECK(folder.csv_rows("x.csv", 5).empty());
  folder.write_csv("x.csv", "a,b", {"1,2", "3,4", "5,6"});
  CHECK(read_file(folder.file("x.csv")) == "a,b\n1,2\n3,4\n5,6\n");
  CHECK(folder.csv_rows("x.csv", 0).empty());
  CHECK(folder.csv_rows("x.csv", 2) == std::vector<std::string>{"1,2", "3,4"});
  CHECK(folder.csv_rows("x.csv", 9) == std::vector<std::string>{"1,2", "3,4", "5,6"});
}

TEST_CASE("run folder: finished means the config's epochs in metrics.csv") {
  const TemporaryFolder temporary;
  const nlohmann::ordered_json config = {{"epochs", 2}, {"seed", 1}};
  const std::string path = temporary / "run";
  CHECK_FALSE(is_finished(path, config));
  const RunFolder folder(path, config);
  folder.write_csv("metrics.csv", "epoch", {"1", "2"});
  CHECK(is_finished(path, config));  // without its model: it may stay where the run was made
  CHECK_FALSE(is_finished(path, {{"epochs", 2}, {"seed", 2}}));
  folder.write_csv("metrics.csv", "epoch", {"1"});
  CHECK_FALSE(is_finished(path, config));
  write_file(folder.file("metrics.csv"), "epoch\n1\n2");  // a row that a kill cut off
  CHECK_FALSE(is_finished(path, config));
}

TEST_CASE("run folder: with a patience, finished means so many epochs without a better one") {
  const nlohmann::ordered_json config = {{"epochs", 9}, {"patience", 2}};
  const auto ended = [&](const std::vector<double>& losses) {
    MetricsTable metrics{"metrics.csv", {"epoch", "test_recon_loss"}, {}};
    for (double loss : losses) metrics.rows.push_back({double(metrics.rows.size() + 1), loss});
    return has_ended(config, metrics);
  };
  CHECK_FALSE(ended({}));
  CHECK_FALSE(ended({3, 2, 1}));
  CHECK_FALSE(ended({3, 2, 2}));
  CHECK(ended({3, 2, 2, 2}));  // the same is not better
  CHECK_FALSE(ended({3, 2, 4, 1}));
  CHECK(ended({3, 2, 4, 3}));
  CHECK(ended({9, 8, 7, 6, 5, 4, 3, 2, 1}));
}

}  // namespace versor::testing
