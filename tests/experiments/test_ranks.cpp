// A training by several ranks, which here are threads: what each of them does, what they agree on,
// and how they fail. That their steps are those of one process is shown in tests/vq and tests/nn.
#include <atomic>
#include <nlohmann/json.hpp>

#include "data/synthetic.h"
#include "experiments/cli/host_share.h"
#include "experiments/cli/options.h"
#include "experiments/cli/ranks.h"
#include "experiments/run/rank_checks.h"
#include "experiments/run/trainer.h"
#include "experiments/study/runs.h"
#include "nn/safetensors.h"
#include "tensor/environment.h"
#include "tensor/ops.h"
#include "tests/data/temporary_folder.h"
#include "tests/support.h"
#include "tests/thread_communicator.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSteps = 4;  // of an epoch

RunOptions tiny_options() {
  RunOptions options;
  options.latent = options.codes = 8;
  options.train_images = 52;
  options.test_images = 16;
  options.batch_size = 16;
  options.epochs = 2;
  options.threads = 1;
  options.precision = Precision::fp32;
  options.dead_codes = 0.9;
  return options;
}

const DatasetPair& tiny_images() {
  static const DatasetPair images = synthetic_images(52, 16);
  return images;
}

// Trains on so many ranks. Throws what one of them throws.
TrainingEnd train(int ranks, const RunOptions& options, TrainerSettings settings) {
  std::atomic<int> end = -1;
  settings.quiet = true;
  run_ranks(ranks, [&](Communicator& communicator) {
    TrainerSettings own = settings;
    own.ranks = &communicator;
    const auto reached = static_cast<int>(Trainer(options, tiny_images(), own).run());
    int other = -1;
    CHECK((end.compare_exchange_strong(other, reached) || other == reached));
  });
  return static_cast<TrainingEnd>(end.load());
}

nlohmann::json sizes_in(const std::string& folder) {
  return nlohmann::json::parse(read_file(folder + "/config.json")).at("ranks");
}

std::vector<double> timing(const std::string& folder, const char* column) {
  return read_metrics(folder + "/timing.csv").column(column);
}

// What each rank throws.
std::vector<std::string> errors_of(int ranks, const std::function<void(Communicator&)>& work) {
  std::vector<std::string> errors(static_cast<size_t>(ranks));
  run_ranks(ranks, [&](Communicator& communicator) {
    try {
      work(communicator);
    } catch (const SharedError& e) {
      errors[static_cast<size_t>(communicator.rank())] = e.what();
    }
  });
  return errors;
}

// All ranks throw the same.
std::string shared_error_of(int ranks, const std::function<void(Communicator&)>& work) {
  const auto errors = errors_of(ranks, work);
  for (const std::string& error : errors) CHECK(error == errors[0]);
  return errors[0];
}

// A rank that gets one wrong bit when rank 0 shares its state.
class WrongBit final : public Communicator {
 public:
  WrongBit(Communicator& other, int rank) : other_(other), wrong_rank_(rank) {}

  int rank() const override { return other_.rank(); }
  int size() const override { return other_.size(); }
  std::string name_of(int rank) const override { return other_.name_of(rank); }
  void finish() override { other_.finish(); }
  std::vector<std::string> all_gather(const std::string& text) override {
    return other_.all_gather(text);
  }
  std::string broadcast(const std::string& text, int root) override {
    return other_.broadcast(text, root);
  }
  int64_t largest(int64_t value) override { return other_.largest(value); }

 protected:
  void reduce(Tensor& x, Reduction reduction) override { other_.all_reduce(x, reduction); }
  void start(const Tensor& x) override { other_.start_all_reduce(x); }
  void reduce_guard(Tensor& guard) override { other_.all_reduce_guard(guard); }
  void send_to_all(Tensor& x, int root) override {
    other_.broadcast(x, root);
    if (number_++ == 0 && rank() == wrong_rank_) static_cast<unsigned char*>(x.address())[2] ^= 1;
  }

 private:
  Communicator& other_;
  int wrong_rank_, number_ = 0;
};

}  // namespace

TEST_CASE("ranks: rank 0 alone writes, and the metrics are those of one process") {
  const TemporaryFolder temporary;
  const std::string one = temporary / "1";
  REQUIRE(train(1, tiny_options(), {.folder = one}) == TrainingEnd::finished);
  const MetricsTable expected = read_metrics(one + "/metrics.csv");
  for (int ranks : {2, 3}) {
    CAPTURE(ranks);
    const std::string folder = temporary / std::to_string(ranks);
    CHECK(train(ranks, tiny_options(), {.folder = folder}) == TrainingEnd::finished);
    for (const char* name : {"train_recon_loss", "train_loss", "test_recon_loss", "test_loss"})
      for (size_t epoch = 0; epoch < 2; ++epoch)
        CHECK(read_metrics(folder + "/metrics.csv").column(name)[epoch] ==
              doctest::Approx(expected.column(name)[epoch]).epsilon(1e-3));
    for (const char* name :
         {"mean_lambda", "max_lambda", "mean_angle", "max_angle", "gradient_scale",
          "gradient_angle", "encoder.0.weight.norm", "decoder.4.bias.std"})
      CHECK(read_metrics(folder + "/gradients.csv").last(name) ==
            doctest::Approx(read_metrics(one + "/gradients.csv").last(name)).epsilon(1e-3));
    CHECK(sizes_in(folder) == nlohmann::json{ranks});
    CHECK(timing(folder, "ranks") == std::vector<double>(2, ranks));
    CHECK(timing(folder, "accumulate") == std::vector<double>(2, 1));
    for (const auto& entry : fs::directory_iterator(one))
      CHECK(fs::exists(fs::path(folder) / entry.path().filename()));
    CHECK(train(ranks, tiny_options(), {.folder = folder}) == TrainingEnd::was_finished);
  }
}

TEST_CASE(
    "ranks: a run goes on with other numbers of ranks, and the same ones give the same bytes") {
  const TemporaryFolder temporary;
  const std::string first = temporary / "first", second = temporary / "second";
  for (const std::string& folder : {first, second}) {
    RunOptions options = tiny_options();
    CHECK(train(1, options, {.folder = folder, .stop_after_steps = 3}) == TrainingEnd::stopped);
    CHECK(read_safetensors(folder + "/trainer.safetensors")
              .metadata.at("position")
              .find("\"batches\":3") != std::string::npos);
    CHECK(train(3, options, {.folder = folder, .stop_after_steps = 2}) == TrainingEnd::stopped);
    options.accumulate = 5;  // some of 10 parts have none of the last batch's 4 images
    CHECK(train(2, options, {.folder = folder}) == TrainingEnd::finished);
    CHECK(sizes_in(folder) == nlohmann::json{1, 3, 2});
    CHECK(timing(folder, "ranks") == std::vector<double>{3, 2});
    CHECK(timing(folder, "accumulate") == std::vector<double>{1, 5});
    const Run run{options,
                  std::make_shared<nlohmann::ordered_json>(config_in(folder + "/config.json")),
                  folder};
    CHECK(record_of(run).hardware.ends_with(" on 1 and 3 and 2 ranks"));
  }
  for (const char* name : {"/metrics.csv", "/model.safetensors", "/trainer.safetensors",
                           "/gradients.csv", "/reconstructions.png"}) {
    CAPTURE(name);
    CHECK((read_file(first + name) == read_file(second + name)));
  }
}

TEST_CASE("ranks: what an older version has recorded is that of one process") {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  REQUIRE(train(1, tiny_options(), {.folder = folder, .stop_after_steps = kSteps + 1}) ==
          TrainingEnd::stopped);
  auto record = nlohmann::ordered_json::parse(read_file(folder + "/config.json"));
  record.erase("ranks");
  write_file(folder + "/config.json", record.dump());
  write_file(folder + "/timing.csv",
             "epoch,train_seconds,eval_seconds,images_per_second,peak_bytes\n1,2.5,0.5,20,1000\n");
  REQUIRE(train(2, tiny_options(), {.folder = folder}) == TrainingEnd::finished);
  CHECK(sizes_in(folder) == nlohmann::json{1, 2});
  CHECK(timing(folder, "train_seconds")[0] == 2.5);
  CHECK(timing(folder, "ranks") == std::vector<double>{1, 2});
}

TEST_CASE("ranks: other options or images on one rank are refused by all") {
  const TemporaryFolder temporary;
  const auto error_with = [&](const std::function<void(RunOptions&, DatasetPair&)>& change) {
    return shared_error_of(3, [&](Communicator& ranks) {
      RunOptions options = tiny_options();
      DatasetPair images = synthetic_images(52, 16);
      if (ranks.rank() == 2) change(options, images);
      Trainer(options, images, {.folder = temporary / "run", .quiet = true, .ranks = &ranks});
    });
  };
  CHECK(error_with([](RunOptions& o, DatasetPair&) { o.beta = 0.5; }) ==
        "[ranks] rank 2 has other options than rank 0: --beta 0.5 instead of 0.25");
  CHECK(error_with([](RunOptions& o, DatasetPair&) { o.accumulate = 2; }) ==
        "[ranks] rank 2 has other options than rank 0: --accumulate 2 instead of 1");
  CHECK(contains(error_with([](RunOptions&, DatasetPair& images) {
                   images.test.images.data<uint8_t>()[5] ^= 1;
                 }),
                 "rank 2 has other options than rank 0: pixels and labels: "));
  CHECK(contains(error_with([](RunOptions& o, DatasetPair&) { o.batch_size = 100; }),
                 "rank 2: --batch-size: 100 is larger than the data"));
  CHECK_FALSE(fs::exists(temporary / "run"));
}

TEST_CASE("ranks: a folder that rank 0 cannot use is an error of all") {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  REQUIRE(train(1, tiny_options(), {.folder = folder, .stop_after_steps = 1}) ==
          TrainingEnd::stopped);
  const auto error = [&](const RunOptions& options) {
    return shared_error_of(2, [&](Communicator& ranks) {
      Trainer(options, tiny_images(), {.folder = folder, .quiet = true, .ranks = &ranks}).run();
    });
  };
  RunOptions other = tiny_options();
  other.seed = 2;
  CHECK(contains(error(other), "[run] the folder " + folder + " holds a run with --seed 1"));
  write_file(folder + "/trainer.safetensors", "damaged");
  CHECK(contains(error(tiny_options()), folder + "/trainer.safetensors"));
}

TEST_CASE("ranks: one that must stop stops all after the same step") {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  run_ranks(3, [&](Communicator& ranks) {
    TrainerSettings settings{.folder = folder, .quiet = true, .ranks = &ranks};
    if (ranks.rank() == 1) settings.stop_after_steps = kSteps + 2;
    CHECK(Trainer(tiny_options(), tiny_images(), settings).run() == TrainingEnd::stopped);
  });
  const auto position = nlohmann::json::parse(
      read_safetensors(folder + "/trainer.safetensors").metadata.at("position"));
  CHECK(position.at("epoch") == 1);
  CHECK(position.at("train").at("batches") == 2);
}

TEST_CASE("ranks: a number that is not finite is found by all") {
  const TemporaryFolder temporary;
  RunOptions options = tiny_options();
  options.lr = 1e30;
  const std::string error = shared_error_of(2, [&](Communicator& ranks) {
    Trainer(options, tiny_images(), {.folder = temporary / "run", .quiet = true, .ranks = &ranks})
        .run();
  });
  CHECK(contains(error, " is not finite on rank 0 in step 2 of epoch 1"));
  CHECK(fs::exists(temporary / "run/not-finite.safetensors"));
}

TEST_CASE("ranks: a longer run was trained by those who trained the shorter one") {
  const TemporaryFolder temporary;
  RunOptions options = tiny_options();
  resolve(options);
  std::string folder;
  for (int64_t epochs : {1, 2}) {
    options.epochs = epochs;
    folder = temporary / run_name(config_of(options, tiny_images()));
    run_ranks(2, [&](ThreadCommunicator& ranks) {
      Trainer(options, tiny_images(), {.folder = folder, .quiet = true, .ranks = &ranks}).run();
    });
  }
  CHECK(sizes_in(folder) == std::vector<int>{2});
}

TEST_CASE("ranks: options that make no model are one error of all") {
  const TemporaryFolder temporary;
  RunOptions options = tiny_options();
  options.quantizer = QuantizerKind::lfq;
  options.codebook_dim = 2;
  options.dead_codes.reset();
  const std::string error = shared_error_of(3, [&](Communicator& ranks) {
    Trainer(options, tiny_images(), {.folder = temporary / "run", .quiet = true, .ranks = &ranks});
  });
  CAPTURE(error);
  CHECK(contains(error, "[quantizer] the codes of this grid have "));
}

TEST_CASE("ranks: a drift is found after an epoch, or after so many steps") {
  const TemporaryFolder temporary;
  for (int64_t every : {0, 3}) {
    CAPTURE(every);
    RunOptions options = tiny_options();
    options.compare_every = every;
    const std::string error = shared_error_of(3, [&](Communicator& ranks) {
      WrongBit one(ranks, 1);
      Trainer(options, tiny_images(),
              {.folder = temporary / std::to_string(every), .quiet = true, .ranks = &one})
          .run();
    });
    CAPTURE(error);
    CHECK(contains(error, "[drift] "));
    CHECK(contains(error, " differs between rank 0 and rank 1 after step " +
                              std::to_string(every == 0 ? kSteps : every)));
  }
}

TEST_CASE("ranks: a drift names the first tensor, or the metrics") {
  const std::string error = shared_error_of(3, [&](Communicator& ranks) {
    std::vector<std::pair<std::string, Tensor>> state = {
        {"encoder.0.weight", ops::full({300}, 1.f, Device{})},
        {"adam.m.encoder.0.weight", ops::full({5}, -0.f, Device{})},
        {"adam.step", ops::full({1}, 7.f, Device{}, DType::i32)}};
    check_no_drift(ranks, state, "sums", 119);
    if (ranks.rank() == 2) state[1].second.data<float>()[4] = 0.f;  // equal, but not its bits
    check_no_drift(ranks, state, "sums", 120);
  });
  CHECK(error ==
        "[drift] adam.m.encoder.0.weight differs between rank 0 and rank 2 after step 120");
  CHECK(contains(shared_error_of(2,
                                 [&](Communicator& ranks) {
                                   check_no_drift(ranks, {}, ranks.is_root() ? "1" : "2", 5);
                                 }),
                 "[drift] metrics.csv differs between rank 0 and rank 1"));
}

TEST_CASE("ranks: an error of one rank is thrown by all, with its exit code") {
  const auto failing = [](int failing_rank, const std::function<void()>& fails) {
    return shared_error_of(3, [&](Communicator& ranks) {
      together(ranks, [&] {
        if (ranks.rank() == failing_rank) fails();
      });
    });
  };
  CHECK(failing(2, [] { fail("data", "is not there"); }) == "rank 2: [data] is not there");
  CHECK(failing(0, [] { fail("data", "is not there"); }) == "[data] is not there");
  CHECK(failing(1, [] { throw std::bad_alloc(); }) == "rank 1: out of memory");
  CHECK(shared_error_of(3, [](Communicator& ranks) {
          together(ranks, [] { throw UsageError("--beta", "is wrong"); });
        }) == "--beta: is wrong (see --help)");
  run_ranks(2, [](Communicator& ranks) {
    const Failure failure =
        failure_of([&] { at_root(ranks, [] { throw UsageError("--beta", "is wrong"); }); });
    CHECK(failure.code == 2);
    CHECK(failure.shared);
    CHECK(root_says(ranks, [] { return true; }));
    CHECK_FALSE(root_says(ranks, [] { return false; }));
  });
}

TEST_CASE("ranks: each rank on a host gets one of its GPUs, in turn") {
  struct OnHost final : Communicator {
    OnHost(int rank, int ranks) : place(rank), all(ranks) {}
    int local_rank() const override { return place; }
    int local_size() const override { return all; }
    int place, all;
  };
  const auto before = environment("CUDA_VISIBLE_DEVICES");
  const auto gpu_of = [](int rank, int ranks) {
    setenv("CUDA_VISIBLE_DEVICES", "3,5", 1);
    take_gpu(OnHost(rank, ranks));
    return *environment("CUDA_VISIBLE_DEVICES");
  };
  CHECK(gpu_of(0, 1) == "3,5");
  CHECK(gpu_of(0, 3) == "3");
  CHECK(gpu_of(1, 3) == "5");
  CHECK(gpu_of(2, 3) == "3");
  unsetenv("CUDA_VISIBLE_DEVICES");
  if (before) setenv("CUDA_VISIBLE_DEVICES", before->c_str(), 1);
}

TEST_CASE("ranks: the cores of a host are shared, and a process by itself would run them all") {
  const ThreadCount restored(omp_get_max_threads());
  run_ranks(2, [](Communicator& ranks) {
    for (int threads : {0, 3}) {
      RunOptions options = tiny_options();
      options.threads = threads;
      resolve(options, ranks);
      const Cores cores = share_cores(ranks, threads);
      CHECK(options.threads == cores.host);
      CHECK(options.rank_threads == cores.rank);
      CHECK(omp_get_max_threads() == cores.rank);
      if (threads > 0) CHECK((cores.host == threads && cores.rank == threads));
      RunOptions again = options;
      resolve(again, ranks);  // changes nothing
      CHECK((again.threads == options.threads && again.rank_threads == options.rank_threads));
    }
  });
}

}  // namespace versor::testing
