// Every option of the table through the whole cycle: command line, structure, config.json, name of
// the run, the command of --list, and parsed again; and the message where options differ.
#include <algorithm>
#include <map>
#include <sstream>

#include "experiments/run/run_folder.h"
#include "nn/safetensors.h"
#include "tests/experiments/programs.h"
#include "tests/experiments/run_options.h"

namespace versor::testing {
namespace {

// A value that no preset has, and the other options it needs.
struct Sample {
  const char *value, *with = "";
};
const std::map<std::string, Sample> kSamples = {{"--preset", {"published"}},
                                                {"--estimator", {"reflection"}},
                                                {"--owner", {"gradient"}},
                                                {"--codebook-start", {"uniform", "--owner both"}},
                                                {"--accumulators", {"zero"}},
                                                {"--dead-codes", {"0.3"}},
                                                {"--ema-in-eval", {"1"}},
                                                {"--codes", {"16"}},
                                                {"--latent", {"16"}},
                                                {"--beta", {"0.5"}},
                                                {"--decay", {"0.95"}},
                                                {"--lr", {"0.005"}},
                                                {"--batch-size", {"8"}},
                                                {"--epochs", {"2"}},
                                                {"--seed", {"7"}},
                                                {"--device", {"cuda:1"}},
                                                {"--precision", {"fp32"}},
                                                {"--threads", {"2"}},
                                                {"--nondeterministic", {""}},
                                                {"--warmup", {"7"}},
                                                {"--weight-decay", {"0.1"}},
                                                {"--lr-schedule", {"cosine"}},
                                                {"--init", {"FILE"}},  // see weights_file()
                                                {"--lr-at", {"2:0.001,3:1e-05", "--epochs 4"}},
                                                {"--patience", {"3", "--validation-images 24"}},
                                                {"--accumulate", {"2"}},
                                                {"--compare-every", {"3"}},
                                                {"--tensorboard", {""}},
                                                {"--max-memory", {"64M"}},
                                                {"--feed", {"streamed"}},
                                                {"--model", {"vqvae2"}},
                                                {"--quantizer", {"simvq"}},
                                                {"--levels", {"4,4", "--quantizer fsq"}},
                                                {"--groups", {"2"}},
                                                {"--layers", {"2"}},
                                                {"--shared-codebook", {"", "--layers 2"}},
                                                {"--layer-dropout", {"", "--layers 2"}},
                                                {"--downsampling", {"8"}},
                                                {"--codebook-dim", {"4"}},
                                                {"--cosine", {""}},
                                                {"--temperature", {"0.5", "--estimator gumbel"}},
                                                {"--rotation-origin", {"mean"}},
                                                {"--diveq-noise", {"0.01", "--estimator diveq"}},
                                                {"--soft-em", {"0.1"}},
                                                {"--orthogonality", {"0.1", "--owner gradient"}},
                                                {"--diversity", {"0.1"}},
                                                {"--entropy-weight", {"0.2", "--quantizer lfq"}},
                                                {"--data", {"synthetic"}},
                                                {"--data-dir", {"'my data'"}},
                                                {"--size", {"16"}},
                                                {"--channels", {"1"}},
                                                {"--test-fraction", {"0.25"}},
                                                {"--train-images", {"48"}},
                                                {"--test-images", {"12"}},
                                                {"--mirror", {"1"}},
                                                {"--shift", {"2"}},
                                                {"--validation-images", {"24"}}};

// Weights of a model with 8 channels and 8 codes.
const std::string& weights_file() {
  static const TemporaryFolder folder;
  static const std::string path = folder / "first.safetensors";
  if (std::filesystem::exists(path)) return path;
  RunOptions options;
  options.latent = options.codes = 8;
  apply_preset(options);
  write_safetensors(path, {state_dict(*make_model(options, 3, {}, Rng(1))), {}});
  return path;
}

std::string with_value(const RunOption& option) {
  const Sample& sample = kSamples.at(option.name);
  const bool file = sample.value == std::string_view("FILE");
  return str(sample.with, " ", option.name, " ", file ? weights_file() : sample.value);
}

RunOptions read(const std::string& arguments, const std::string& preset = "versor") {
  Options app("");
  RunOptions options;
  add_run_options(app, options);
  app.parse(arguments + (contains(arguments, "--preset") ? "" : " --preset " + preset));
  if (options.threads == 0) options.threads = 1;
  refuse_ignored(options);
  apply_preset(options);
  return options;
}

void check_equal(const RunOptions& a, const RunOptions& b) {
  for (const RunOption& option : run_option_table()) {
    CAPTURE(option.name);
    if (option.name != "--preset") CHECK(option.value(a) == option.value(b));
  }
}

const ImagesIdentity kImages = {"images", "0123", 20, 10};

}  // namespace

TEST_CASE("option table: every option comes back from config, name and listed command") {
  for (const RunOption& option : run_option_table()) {
    CAPTURE(option.name);
    REQUIRE(kSamples.contains(option.name));
    const RunOptions plain = read(kSamples.at(option.name).with), other = read(with_value(option));
    CHECK(option.value(other) != option.value(plain));

    const auto before = config_of(plain, kImages), after = config_of(other, kImages);
    const bool in_config = option.in_config != InConfig::never;
    if (in_config) {
      CHECK(after[option.key()] == option.value(other));
      CHECK(contains(differing_options(before, after), option.name + " "));
      CHECK(contains(differing_options(after, before), option.name + " "));
    }
    const bool by_content = option.name == "--init";  // the config has the file's hash
    CHECK((run_name(before) != run_name(after)) ==
          (in_config || by_content || option.name == "--preset"));

    const bool of_images = option.name.starts_with("--data");  // a config names them otherwise
    const RunOptions held = options_of(after, "config.json");
    if (in_config || of_images) CHECK(config_of(held, kImages)["epochs"] == after["epochs"]);
    if (in_config) CHECK(option.value(held) == option.value(other));
    CHECK(held.lr_schedule.has_value());

    const std::string command = train_command(other);
    REQUIRE(command.starts_with("bin/train "));
    const RunOptions again = read(command.substr(std::string("bin/train ").size()));
    check_equal(again, other);
    CHECK(run_name(config_of(again, kImages)) == run_name(after));
  }
}

TEST_CASE("option table: each preset decides its options, and a value of its own wins") {
  for (const std::string& preset : names_of<Preset>())
    for (const RunOption& option : run_option_table()) {
      if (!option.take_preset) continue;
      CAPTURE(preset);
      CAPTURE(option.name);
      RunOptions decided;
      decided.preset = parse_name<Preset>(preset);
      CHECK(option.value(decided).is_null());
      option.take_preset(decided);
      CHECK(option.value(read("", preset)) == option.value(decided));
      CHECK(option.value(read(with_value(option), preset)) ==
            option.value(read(with_value(option))));
    }
}

TEST_CASE("option table: what a quantizer ignores is refused, and not in its config") {
  for (const RunOption& option : run_option_table())
    for (const auto& [kind, name] : EnumNames<QuantizerKind>::all) {
      CAPTURE(option.name);
      CAPTURE(name);
      if (option.is_used_by(kind)) continue;
      const std::string arguments =
          str("--quantizer ", name, " ", option.name, " ",
              option.name == "--owner" ? "both" : kSamples.at(option.name).value);
      if (option.name == "--codebook-start") continue;  // see test_run_options.cpp
      CHECK(contains(usage_error_of(arguments), option.name + ": is of --quantizer "));
      // A program that sets the quantizer itself accepts the option for the other quantizers.
      Options app("");
      RunOptions ignored;
      ignored.threads = 1;
      add_run_options(app, ignored);
      app.parse(arguments);
      apply_preset(ignored);
      CHECK(config_of(ignored, kImages) == config_of(read(str("--quantizer ", name)), kImages));
    }
}

TEST_CASE("option table: a folder says which options it has otherwise") {
  const TemporaryFolder temporary;
  const auto held = config_of(read(""), kImages);
  const RunFolder folder(temporary / "run", held);
  for (const RunOption& option : run_option_table()) {
    CAPTURE(option.name);
    const auto asked = config_of(read(with_value(option)), kImages);
    const std::string error = error_of([&] { RunFolder(temporary / "run", asked); });
    if (asked == held) {
      CHECK(contains(error, "in use"));  // by this process
      continue;
    }
    // The lock fails first here, so the text is checked separately.
    const std::string text = differing_options(held, asked);
    for (const auto& entry : asked.items())
      if (!held.contains(entry.key()) || held[entry.key()] != entry.value())
        CHECK(contains(text, "asked for " + text_of(entry.value())));
  }
  ImagesIdentity others = kImages;
  others.hash = "4567";
  CHECK(differing_options(held, config_of(read(""), others)) ==
        "pixels and labels: 0123, asked for 4567");
}

TEST_CASE("option table: the first GPU is one device under both of its names") {
  CHECK(config_of(read("--device cuda"), kImages) == config_of(read("--device cuda:0"), kImages));
  CHECK(contains(train_command(read("--device cuda:0")), " --device cuda "));
}

TEST_CASE("option table: the help of the programs names every option that they take" *
          doctest::skip(without_programs())) {
  const std::string train = run("train --help").out, step = run("one_step --help").out,
                    table = run("table2 --help").out;
  for (const RunOption& option : run_option_table()) {
    CAPTURE(option.name);
    const std::string line = "\n  " + option.name + " ";
    CHECK(contains(train, line));
    CHECK(contains(step, line) == option.of_step);
    CHECK(contains(table, line) == (option.name != "--seed"));
  }
}

// For each option, a table lists its runs; once these are made, none is missing.
TEST_CASE("option table: the listed commands leave an empty list for every option" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  std::filesystem::create_directory_symlink(program_folder(), temporary.path() / "bin");
  for (const RunOption& option : run_option_table()) {
    if (option.name == "--device" || option.name == "--data-dir") continue;
    CAPTURE(option.name);
    std::map<std::string, std::string> base = {
        {"--data", "synthetic"},  {"--latent", "8"},       {"--codes", "8"},
        {"--train-images", "64"}, {"--test-images", "16"}, {"--batch-size", "16"},
        {"--epochs", "1"},        {"--threads", "1"},      {"--preset", "versor"}};
    std::string arguments = with_value(option);
    if (option.name == "--seed") arguments = "";
    arguments += option.name == "--seed" ? "--seeds 7" : " --seeds 1";
    if (option.name == "--levels") base.erase("--codes");
    for (const auto& [name, value] : base)
      if (!contains(" " + arguments + " ", " " + name + " ")) arguments += " " + name + " " + value;
    // The table's own option takes a list of values instead of the run's one.
    const bool own = option.name == "--beta";
    if (!own) arguments += " --beta 0.25";
    const std::string table =
        "table3 --quiet --results " + (temporary / "results") + " " + arguments;
    const Ended list = run(table + " --list");
    CAPTURE(list.err);
    REQUIRE(list.code == 0);
    CHECK(lines(list.out).size() == 1);
    write_file(temporary / "list.sh", "set -e\n" + list.out);
    const Ended made = run("sh list.sh", {}, temporary.path().string());
    CAPTURE(made.err);
    CHECK(made.code == 0);
    CHECK(run(table + " --list").out.empty());
    std::filesystem::remove_all(temporary / "results");
  }
}

}  // namespace versor::testing
