// Trainings on GPUs that NCCL joins, all replaced by the CPU (cuda_on_cpu_nccl.cpp): a process
// alone has the bits of one without NCCL, and captured steps of several ranks those of called ones.
// Only part of the program that tests the kernel files; a machine with GPUs has make verify-gpu.
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "experiments/run/metrics.h"
#include "experiments/run/trainer.h"
#include "experiments/run/training_step.h"
#include "tensor/cuda/nccl.h"
#include "tensor/ops.h"
#include "tensor/replay.h"
#include "tests/cuda_on_cpu.h"
#include "tests/support.h"
#include "tests/thread_communicator.h"
#include "tests/vq/family.h"
#include "tests/vq/models.h"
#include "vq/vqvae.h"

namespace versor::testing {
namespace {

// 8 images in batches of 3, 3 and 2, of which three ranks have 1, 1, 1 and 0, 1, 1. Each shape
// comes three times or more: called, captured, replayed.
RunOptions tiny_run(Preset preset) {
  RunOptions o;
  o.latent = 8;
  o.codes = 16;
  o.batch_size = 3;
  o.epochs = 3;
  o.data.kind = DataKind::synthetic;
  o.train_images = 8;
  o.test_images = 3;
  o.device = {DeviceType::cuda, 0};
  o.preset = preset;
  o.seed = 3;
  return o;
}

// The files that a run leaves.
struct Run {
  std::string metrics, weights, trainer;
  double loss = 0;
  bool operator==(const Run&) const = default;
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void train_rank(RunOptions options, bool graph, Communicator& communicator,
                const std::string& folder) {
  resolve(options, communicator);
  Trainer trainer(options, load_data(options),
                  {.folder = folder, .quiet = true, .graph = graph, .ranks = &communicator});
  check(trainer.run() == TrainingEnd::finished, "test", "the training did not finish");
  backend_for(options.device).configure({});  // strict again, for other tests
}

Run run_in(const std::string& folder) {
  return {content(folder + "/metrics.csv"), content(folder + "/model.safetensors"),
          content(folder + "/trainer.safetensors"),
          read_metrics(folder + "/metrics.csv").last("test_recon_loss")};
}

Run train(const RunOptions& options, bool graph) {
  const TemporaryFolder folder;
  train_rank(options, graph, alone(), folder / "run");
  return run_in(folder / "run");
}

Run train(int ranks, const RunOptions& options, bool graph) {
  const TemporaryFolder folder;
  run_ranks(ranks, [&](ThreadCommunicator& communicator) {
    cuda_on_cpu::set_visible_device(communicator.rank());
    train_rank(options, graph, communicator, folder / "run");
  });
  return run_in(folder / "run");
}

}  // namespace

namespace {

// The state of a rank after three steps, each on the same 3 images, 2 of which are rank 1's.
std::string three_steps(const QuantizerOptions& quantizer, Communicator& nccl, bool capture) {
  const Device device{DeviceType::cuda, 0};
  Backend& backend = backend_for(device);
  VqVaeOptions options;
  options.quantizer = quantizer;
  VqVae model(options, device, Rng(11));
  const Tensor images = images_of(20, 3, 8, 8).to(device);
  const Sharing sharing(nccl, 2);
  const auto images_of_part = [&](const BatchPart& part) {
    return images.rows(part.worked_first(), part.worked_first() + part.worked_count());
  };
  model.start_codebooks(
      1,
      [&](int64_t) {
        std::vector<Tensor> own;
        for (const BatchPart& part : sharing.parts(3))
          if (!part.is_empty()) own.push_back(images_of_part(part));
        return own;
      },
      nccl);
  Adam adam(model.flat_parameters(), {.lr = 1e-3f});
  TrainingStep step(model, adam, sharing);
  FiniteGuard guard(adam.step_counter());
  MetricsLog log(3, model.vocabulary(), device);
  Tensor number = ops::zeros({1}, device, DType::i32);
  Replay replay(backend, std::make_shared<MemoryPool::Arena>(backend.pool()),
                capture && model.capturable());
  for (int i = 0; i < 3; ++i)
    replay.run([&] {
      log.record(step(3, images_of_part, 0.25f, &guard), number, nccl);
      ops::increment(number);
    });
  check(!guard.found(), "test", "a number is not finite");
  PassMetrics metrics(model.vocabulary());
  metrics.add(log, 0, 3);
  std::string state = metrics.save().dump();
  for (const auto& [name, bits] : state_bits(model)) state += bits;
  return state;
}

}  // namespace

// Those quantizers that communicate each in a way of their own; of all others this holds too.
TEST_CASE(
    "cuda_on_cpu: captured steps of two ranks with micro-batches have the bits of called ones") {
  const std::set<std::string> own_ways{"vq soft EM", "vq diversity", "vq rotation about the mean",
                                       "lfq",        "vq gumbel",    "residual dropout"};
  for (const FamilyCase& c : family()) {
    if (!own_ways.contains(c.name)) continue;
    CAPTURE(c.name);
    std::string states[2];
    run_ranks(2, [&](ThreadCommunicator& host) {
      cuda_on_cpu::set_visible_device(host.rank());
      const auto nccl = cuda::nccl_communicator({DeviceType::cuda, 0}, host);
      std::string& state = states[host.rank()];
      state = three_steps(c.options, *nccl, true);
      check(state == three_steps(c.options, *nccl, false), "test", "captured and called differ");
    });
    CHECK((states[0] == states[1]));
  }
}

TEST_CASE("cuda_on_cpu: NCCL in the step of a process alone changes no bit") {
  for (const Preset preset : {Preset::versor, Preset::published}) {
    const RunOptions options = tiny_run(preset);
    const Run expected = train(options, true);
    const EnvironmentVariable nccl("VERSOR_NCCL", "1");
    CHECK(expected == train(options, true));
    if (preset == Preset::published) continue;
    const EnvironmentVariable branches("VERSOR_BRANCHES", "1");
    CHECK(expected == train(options, true));
  }
}

TEST_CASE("cuda_on_cpu: captured steps of several ranks have the bits of called ones") {
  const RunOptions options = tiny_run(Preset::versor);
  const Run captured = train(3, options, true);
  CHECK(captured == train(3, options, false));
  CHECK(captured.loss == doctest::Approx(train(options, true).loss).epsilon(1e-3));
}

}  // namespace versor::testing
