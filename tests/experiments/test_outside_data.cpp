// What programs read from outside: every reader accepts a file or a link to one, and answers a
// named pipe, a folder, a dangling link and a link to itself at once with one Error that names it.
// Then the fuzzer's findings, spelled out (tests/fuzz/ has the inputs).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>

#include "data/load_images.h"
#include "experiments/cli/json_file.h"
#include "experiments/report/section.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/one_step.h"
#include "experiments/run/snapshot.h"
#include "experiments/study/published_runs.h"
#include "experiments/tsne/points.h"
#include "nn/safetensors.h"
#include "tensor/backend.h"
#include "tensor/file.h"
#include "tensor/ops.h"
#include "tests/support.h"
#include "vq/vqvae.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

const nlohmann::ordered_json kConfig = {{"epochs", 1}};

void restore(const RunFolder& folder) {
  VqVae model({.quantizer = {.codebook = {.codes = 2, .latent = 2}}}, {}, Rng(1));
  Adam adam(model.parameters(), {});
  restore_checkpoint(folder, kConfig, model, adam);
}

// Writes a valid file of this name into a run's folder and returns its reader.
struct Reader {
  const char* name;
  std::function<void(const RunFolder&)> write, read;
};

const Reader kReaders[] = {
    {"config.json", [](const RunFolder&) {},
     [](const RunFolder& run) { is_finished(run.path(), kConfig); }},
    {"metrics.csv", [](const RunFolder& run) { run.write_csv("metrics.csv", "epoch", {"1"}); },
     [](const RunFolder& run) { is_finished(run.path(), kConfig); }},
    {"timing.csv", [](const RunFolder& run) { run.write_csv("timing.csv", "epoch", {"1"}); },
     [](const RunFolder& run) { run.csv_rows("timing.csv", 1); }},
    {"gradients.csv", [](const RunFolder& run) { run.write_csv("gradients.csv", "epoch", {"1"}); },
     [](const RunFolder& run) { read_metrics(run.file("gradients.csv")); }},
    {"trainer.safetensors",
     [](const RunFolder& run) {
       VqVae model({.quantizer = {.codebook = {.codes = 2, .latent = 2}}}, {}, Rng(1));
       Adam adam(model.parameters(), {});
       write_checkpoint(run, kConfig, Progress(2), model, adam);
     },
     restore},
    {"points.csv", [](const RunFolder& run) { write_file(run.file("points.csv"), "1,2\n"); },
     [](const RunFolder& run) { read_points(run.file("points.csv")); }},
    {"table1.json",
     [](const RunFolder& run) { write_file(run.file("table1.json"), section_text({})); },
     [](const RunFolder& run) { read_section(run.file("table1.json")); }},
    {"data_batch_1.bin",
     [](const RunFolder& run) {
       write_file(run.file("data_batch_1.bin"), std::string(3073, '\0'));
       write_file(run.file("test_batch.bin"), std::string(3073, '\0'));
     },
     [](const RunFolder& run) { load_images({DataKind::cifar10}, run.path()); }}};

// The message of reading. A reader that waits for a named pipe's writer has failed; it then gets
// one.
std::string said_at_once(const std::string& path, const std::function<void()>& read) {
  auto said = std::async(std::launch::async, [&] { return error_of(read); });
  const bool at_once = said.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  CHECK(at_once);
  if (!at_once) close(open(path.c_str(), O_RDWR | O_NONBLOCK));
  return said.get();
}

std::string section_with(const std::string& key, const nlohmann::json& value) {
  nlohmann::json json = nlohmann::json::parse(section_text({}));
  json[key] = value;
  return json.dump();
}

TEST_SUITE_BEGIN(cpu_only());

}  // namespace

TEST_CASE("outside data: every reader takes files and links to files, and nothing else") {
  for (const Reader& reader : kReaders) {
    CAPTURE(reader.name);
    const TemporaryFolder temporary;
    const RunFolder run(temporary / "run", kConfig);
    write_file(run.file("metrics.csv"), "epoch\n1\n");
    write_file(run.file("model.safetensors"), "");
    reader.write(run);
    const std::string path = run.file(reader.name), other = temporary / "other";
    const auto said = [&] { return said_at_once(path, [&] { reader.read(run); }); };
    CHECK(said() == "");
    fs::rename(path, other);
    fs::create_symlink(other, path);
    CHECK(said() == "");
    fs::remove(path);

    const std::pair<const char*, std::function<void()>> wrong[] = {
        {"not a regular file", [&] { REQUIRE(mkfifo(path.c_str(), 0600) == 0); }},
        {"is a folder", [&] { fs::create_directory(path); }},
        {"o", [&] { fs::create_symlink(temporary / "nowhere", path); }},  // its words differ
        {"Too many levels of symbolic links", [&] { fs::create_symlink(path, path); }}};
    for (const auto& [part, make] : wrong) {
      CAPTURE(part);
      make();
      const std::string message = said();
      CHECK(contains(message, path));
      CHECK(contains(message, part));
      CHECK_FALSE(contains(message, "\n"));
      fs::remove(path);
    }
  }
}

TEST_CASE("outside data: files that are nested deeply or very long are refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "config.json";
  const std::string deep(1'000'000, '['), close(1'000'000, ']');
  for (const std::string& text : {deep, deep + close, R"({"options":)" + deep + close + "}"}) {
    write_file(path, text);
    CHECK(contains(error_of([&] { read_json<nlohmann::ordered_json>(path); }), path));
    CHECK(contains(error_of([&] { read_section(path); }), "nested too deeply"));
    CHECK(contains(error_of([&] { parse_progress(text, 2, "checkpoint"); }), "nested too deeply"));
  }
  fs::resize_file(path, 17 << 20);
  CHECK(contains(error_of([&] { read_section(path); }), "too large"));
  CHECK(contains(error_of([&] { read_metrics(path); }), "too large"));
}

TEST_CASE("outside data: the position of a checkpoint is counts and numbers, or an error") {
  const nlohmann::json whole = nlohmann::json::parse(to_text(Progress(2)));
  const auto said = [&](const char* key, const nlohmann::json& value) {
    CAPTURE(key);
    CAPTURE(value.dump());
    nlohmann::json changed = whole;
    changed["train"][key] = value;
    const std::string message =
        error_of([&] { parse_progress(changed.dump(), 2, "run/trainer.safetensors"); });
    CHECK(contains(message, "run/trainer.safetensors: its position is malformed"));
  };
  CHECK(error_of([&] { parse_progress(whole.dump(), 2, "x"); }) == "");
  for (const nlohmann::json& wrong :
       {nlohmann::json(-1), nlohmann::json(1e300), nlohmann::json(1.5), nlohmann::json(true),
        nlohmann::json(~uint64_t{0})}) {
    said("batches", wrong);
    said("counts", {1, wrong});
  }
  said("counts", {1});
  said("counts", 7);
  for (const char* wrong : {"", "x", "0x1p+0 ", "0x1p"}) {
    auto sums = whole["train"]["sums"];
    sums[3] = wrong;
    said("sums", sums);
  }
  said("sums", nlohmann::json::array());
}

TEST_CASE("outside data: the counts of a section are counts that can be added up") {
  const TemporaryFolder folder;
  const std::string path = folder / "table3.json";
  const auto said = [&](const std::string& key, const nlohmann::json& value) {
    write_file(path, section_with(key, value));
    return error_of([&] { read_section(path); });
  };
  CHECK(said("verdicts", {{"agrees", 12}}) == "");
  CHECK(contains(said("verdicts", {{"agrees", 600'000}, {"differs", 600'000}}), "too many cells"));
  for (const nlohmann::json& wrong :
       {nlohmann::json(2147483647), nlohmann::json(-1), nlohmann::json(1e300)})
    CHECK(contains(said("verdicts", {{"agrees", wrong}}), path));
  nlohmann::json run = {{"folder", ""},          {"commit", ""},    {"hardware", ""},
                        {"precision", ""},       {"device", ""},    {"continues", ""},
                        {"continues_epochs", 1}, {"seconds", {1.5}}};
  CHECK(said("runs", nlohmann::json::array({run})) == "");
  run["continues_epochs"] = 1e300;
  CHECK(contains(said("runs", nlohmann::json::array({run})), path));
}

TEST_CASE("outside data: numbers in the names of published runs") {
  const auto parsed = [](const char* name) { return parse_published_name(name); };
  REQUIRE(parsed("training_testing_k1024_beta0.25"));
  CHECK(parsed("training_testing_k1024_beta0.25")->codes == 1024);
  CHECK(parsed("book_betamax_beta_.5_k_8")->beta == 0.5);
  CHECK(parsed("book_betamax_beta_.5_k_8")->codes == 8);
  for (const char* none : {"", "beta_k", "beta_..5_k1", "beta-1_k1", "betanan_k1", "beta1_k-1"})
    CHECK_FALSE(parsed(none));
  const TemporaryFolder folder;
  write_file(folder / "beta_..5_k1.csv", "");  // std::stod would throw
  CHECK(read_published_runs(folder.path().string()).empty());
  write_file(folder / "beta_1_k99999999999999999999.csv", "a\n1\n");
  CHECK(contains(error_of([&] { read_published_runs(folder.path().string()); }),
                 "beta_1_k99999999999999999999"));
}

TEST_CASE("outside data: a snapshot has f32 codes and an i32 count for each") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "snapshots");
  const std::string path = folder / "snapshots/epoch-0001.safetensors";
  const auto said = [&](const Tensor& codebook, const Tensor& counts) {
    write_safetensors(path, {{{"codebook.weight", codebook}, {"counts", counts}}, {}});
    return error_of([&] { read_snapshot(folder.path().string(), 1); });
  };
  const Tensor codes = ops::zeros({2, 3}), counts = ops::zeros({2}, {}, DType::i32);
  CHECK(said(codes, counts) == "");
  for (const auto& [wrong, beside] :
       {std::pair(ops::zeros({2, 3}, {}, DType::i32), counts), std::pair(codes, ops::zeros({2})),
        std::pair(codes, ops::zeros({3}, {}, DType::i32)), std::pair(ops::zeros({2}), counts),
        std::pair(ops::zeros({}), counts)})
    CHECK(contains(said(wrong, beside), path));
}

TEST_CASE("outside data: weights whose sizes only small tensors promise make no model") {
  SafetensorsFile weights, batch;
  weights.tensors["encoder.0.weight"] = Tensor({2000, 1, 1, 1}, DType::u8);
  weights.tensors["codebook.weight"] = Tensor({1, 2000}, DType::u8);
  MemoryPool& pool = backend_for({}).pool();
  pool.reset_peak();
  const size_t before = pool.peak_bytes();
  CHECK(contains(error_of([&] { one_step(weights, "w.safetensors", batch, "b", {}, {}); }),
                 "w.safetensors"));
  CHECK(pool.peak_bytes() - before < 1 << 20);
}

TEST_SUITE_END();

}  // namespace versor::testing
