// What a checkpoint keeps of Adam: the steps of the optimiser and of each parameter.
// test_resume.cpp has the whole cycle of an interrupted run.
#include <nlohmann/json.hpp>

#include "experiments/run/checkpoint.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/data/temporary_folder.h"
#include "tests/vq/support.h"
#include "vq/vqvae.h"

namespace versor::testing {
namespace {

const nlohmann::ordered_json kConfig = {{"epochs", 1}};

struct Trained {
  VqVae model{{.quantizer = {.codebook = {.codes = 2, .latent = 2}}}, {}, Rng(1)};
  Adam adam{model.flat_parameters()};

  std::vector<int64_t> counts() {
    std::vector<int64_t> all;
    for (const Tensor& count : adam.parameter_steps()) all.push_back(indices_of(count)[0]);
    return all;
  }
};

TEST_SUITE_BEGIN(cpu_only());

}  // namespace

TEST_CASE("checkpoint: each parameter's steps come back; one without them stands at the step") {
  const TemporaryFolder temporary;
  const RunFolder run(temporary / "run", kConfig);
  Trained trained;
  const size_t n = trained.counts().size();
  std::vector<int64_t> expected;
  ops::fill(trained.adam.step_counter(), 100);
  for (size_t i = 0; i < n; ++i) {
    ops::fill(trained.adam.parameter_steps()[i], static_cast<float>(i));
    expected.push_back(static_cast<int64_t>(i));
  }
  write_checkpoint(run, kConfig, Progress(2), trained.model, trained.adam);
  Trained again;
  CHECK(restore_checkpoint(run, kConfig, again.model, again.adam));
  CHECK(again.counts() == expected);
  CHECK(indices_of(again.adam.step_counter()) == ref::Indices{100});

  // As written by a version that knew only the optimiser's steps.
  const std::string path = run.file("trainer.safetensors");
  SafetensorsFile file = read_safetensors(path);
  const size_t erased = std::erase_if(
      file.tensors, [](const auto& entry) { return entry.first.starts_with("adam.count."); });
  CHECK(erased == n);
  write_safetensors(path, file);
  Trained older;
  CHECK(restore_checkpoint(run, kConfig, older.model, older.adam));
  CHECK(older.counts() == std::vector<int64_t>(n, 100));

  file.tensors["adam.count.encoder.0.bias"] = index_tensor({1, 2});
  write_safetensors(path, file);
  CHECK(error_of([&] { restore_checkpoint(run, kConfig, older.model, older.adam); }) ==
        "[run] " + path + ": adam.count.encoder.0.bias is i32 [2], not i32 [1]");
}

TEST_SUITE_END();

}  // namespace versor::testing
