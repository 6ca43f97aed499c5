// A run's folder: the input is its config.json, up to the first NUL; then timing.csv, and then
// metrics.csv. The requested run continues from it where it can.
#include "experiments/run/run_folder.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "experiments/run/run_options.h"
#include "experiments/study/runs.h"
#include "tests/data/temporary_folder.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

// The config of the valid inputs; epochs: those of the requested run.
nlohmann::ordered_json config(int64_t epochs) {
  return {{"estimator", "ste"}, {"codebook_start", "kmeans"}, {"codes", 2}, {"latent", 2},
          {"beta", 0.25},       {"epochs", epochs},           {"seed", 1},  {"precision", "fp32"},
          {"device", "cpu"}};
}

void put(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

void read(std::string_view input) {
  static const testing::TemporaryFolder temporary;
  static const std::string folder = temporary / run_name(config(2)), longer = temporary / "longer";
  static const bool made = std::filesystem::create_directories(folder);
  if (made) put(folder + "/model.safetensors", "");
  for (const char* name : {"/config.json", "/timing.csv", "/metrics.csv"}) {
    const size_t end = input.find('\0');
    put(folder + name, input.substr(0, end));
    input.remove_prefix(end == input.npos ? input.size() : end + 1);
  }
  const auto wanted = config(2), more = config(3);
  const Run run{{}, std::make_shared<nlohmann::ordered_json>(wanted), folder};
  bool finished = false;
  accepts(folder, [&] { finished = is_finished(folder, wanted); });
  accepts(folder, [&] {
    const RunFolder opened(folder, wanted);
    require(opened.csv_rows("timing.csv", 2).size() <= 2, "no more rows than asked for");
  });
  accepts(folder, [&] { record_of(run); });
  if (!finished) return;
  put(folder + "/trainer.safetensors", "state");
  std::filesystem::remove_all(longer);
  const RunFolder opened(longer, more);
  if (!accepts(folder, [&] { opened.continue_shorter_run(more); })) return;
  accepts(longer, [&] {  // its timing.csv may be wrong
    const Run goes_on{{}, std::make_shared<nlohmann::ordered_json>(more), longer};
    require(record_of(goes_on).continues_epochs == 2, "the record says what it continues");
  });
}

}  // namespace

FUZZ_TARGET(run_folder, read)

}  // namespace versor::fuzzing
