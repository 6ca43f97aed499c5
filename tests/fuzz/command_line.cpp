// The command line of a program that makes many runs, one word per line: an accepted one gives a
// run that can be described, with no number out of range.
#include <cmath>
#include <memory>
#include <vector>

#include "experiments/study/runs.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void describe(RunOptions options) {
  apply_preset(options);
  require(options.estimator && options.learning && options.codebook_start && options.accumulators &&
              options.dead_codes && options.ema_in_eval,
          "a preset decides everything");
  model_options(options);
  static const Dataset images{Tensor({2, 1, 1, 1}, DType::u8), {0, 1}, "two images", true};
  static const ImagesIdentity identity = identity_of({images, images});
  require(!run_name(config_of(options, identity)).empty(), "the run has a name");
  require(!train_command(options).empty(), "the run has a command");
}

void read(std::string_view input) {
  // It takes longer to make than to parse with, and CLI11 keeps state from every line.
  static ManyRunsOptions options;
  static std::unique_ptr<Options> app;
  static int lines = 0;
  if (lines++ % 100 == 0) {
    app = std::make_unique<Options>("");
    add_many_runs_options(*app, options);
  }
  options = {};
  std::vector<std::string> words{"program"};
  for (size_t at = 0; at <= input.size();) {
    const size_t end = std::min(input.find('\n', at), input.size());
    words.emplace_back(input.substr(at, end - at));
    words.back() = words.back().c_str();  // a word ends at a NUL
    at = end + 1;
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  bool goes_on = false;
  if (!accepts("", [&] { goes_on = app->parse(static_cast<int>(argv.size()), argv.data()); }) ||
      !goes_on)
    return;
  const RunOptions& run = options.run;
  require(run.codes >= 1 && run.latent >= 2 && run.batch_size >= 1 && run.epochs >= 1 &&
              run.train_images >= 0 && run.test_images >= 0 && run.threads >= 0,
          "sizes are sizes");
  const double beta = run.beta.value_or(0), lr = run.lr.value_or(0), decay = run.decay.value_or(0);
  require(
      std::isfinite(beta) && beta >= 0 && std::isfinite(lr) && lr >= 0 && decay >= 0 && decay <= 1,
      "numbers are in their ranges");
  for (const std::string& preset : options.presets) {
    RunOptions one = run;
    one.preset = parse_name<Preset>(preset);
    accepts("", [&] { describe(one); });  // levels may not form a grid
  }
}

}  // namespace

FUZZ_TARGET(command_line, read)

}  // namespace versor::fuzzing
