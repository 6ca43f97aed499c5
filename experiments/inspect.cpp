// Shows what a trained model is: its options, tensors, operations and memory, how its codes are
// used, and what a training step records. Of any other safetensors file: names, shapes and types.
// Changes nothing.
//   bin/inspect results/runs/NAME --usage 1000
//   bin/inspect results/runs/NAME --tape tape.dot && dot -Tsvg tape.dot -o tape.svg
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/cli/program.h"
#include "experiments/report/table.h"
#include "experiments/run/model_use.h"
#include "experiments/run/option_table.h"
#include "experiments/run/snapshot.h"
#include "experiments/study/coding.h"
#include "experiments/study/inspection.h"
#include "nn/safetensors.h"
#include "tensor/file.h"
#include "tensor/ops.h"
#include "vq/names.h"

using namespace versor;

namespace {

namespace fs = std::filesystem;

struct Asked {
  std::string path, dot;
  bool tape = false;
  int64_t usage = 0, batch = 0;
};

std::string counted(double number) {
  const char* units[] = {"", " k", " M", " G", " T"};
  size_t unit = 0;
  for (; number >= 1000 && unit + 1 < std::size(units); ++unit) number /= 1000;
  return fmt::format("{:.4g}{}", number, units[unit]);
}

// Of a number in the file, whose type reading may convert.
size_t bytes_of_type(const std::string& type) {
  if (type.ends_with("64")) return 8;
  if (type.ends_with("32")) return 4;
  return type.ends_with("16") ? 2 : 1;
}

void print_tensors(const std::string& path, const SafetensorsFile& file) {
  Table table{.title = path, .columns = {"tensor", "shape", "type", "numbers"}};
  int64_t numbers = 0;
  size_t bytes = 0;
  for (const auto& [name, tensor] : file.tensors) {
    table.rows.push_back({name, str(tensor.shape()), file.types.at(name), str(tensor.numel())});
    numbers += tensor.numel();
    bytes += static_cast<size_t>(tensor.numel()) * bytes_of_type(file.types.at(name));
  }
  fmt::print("{}{} tensors, {} numbers, {}\n", table.terminal(), file.tensors.size(), numbers,
             readable_bytes(bytes));
}

void print_entries(const char* title,
                   const std::vector<std::pair<std::string, std::string>>& entries) {
  if (entries.empty()) return;
  fmt::print("\n{}\n", title);
  for (const auto& [key, value] : entries) fmt::print("  {:<22} {}\n", key, value);
}

void print_config(const LoadedModel& loaded) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (const auto& [key, value] : loaded.config->items()) entries.emplace_back(key, text_of(value));
  entries.emplace_back("image [H,W,C]", str(loaded.image));
  entries.emplace_back("trained epochs", str(loaded.trained_epochs));
  print_entries("options", entries);
}

void print_model(const LoadedModel& loaded) {
  const RunOptions& o = loaded.options;
  const auto& levels = loaded.model->levels();
  fmt::print("\nmodel {}, quantizer {}, estimator {}\n", name_of(o.model), name_of(o.quantizer),
             name_of(*o.estimator));
  double bits = 0;
  for (size_t level = 0; level < levels.size(); ++level) {
    const Vocabulary v = levels[level].quantizer->vocabulary();
    const int64_t factor = loaded.model->pixels_per_latent(level);
    const int64_t latents = loaded.image[0] / factor * (loaded.image[1] / factor);
    bits += static_cast<double>(latents * v.symbols) * std::log2(static_cast<double>(v.codes));
    fmt::print("  {}symbols per latent L {}, codes K {}, latents of {} x {} pixels\n",
               levels[level].name.empty() ? "" : levels[level].name + ": ", v.symbols, v.codes,
               factor, factor);
  }
  fmt::print("  {:.1f} bits per image\n", bits);
}

void print_costs(const LoadedModel& loaded, int64_t batch) {
  VqModel& model = *loaded.model;
  const WorkPerImage work = work_per_image(model, loaded.image);
  fmt::print(
      "\noperations per image (2 for a multiplication and addition)\n"
      "  encoder {}, quantizer {}, decoder {}\n"
      "  forward {}, forward and backward {}\n",
      counted(work.encoder), counted(work.quantizer), counted(work.decoder),
      counted(work.forward()), counted(work.training));
  const BytesOfStep bytes =
      bytes_of_step(model, loaded.image, static_cast<float>(*loaded.options.beta));
  fmt::print(
      "\nmemory of a training step\n"
      "  parameters {} ({}), buffers {}\n"
      "  gradients {}, Adam's moments {}\n"
      "  kept for the backward pass: {} with a batch of {}, {} per image\n",
      readable_bytes(bytes.parameters), counted(static_cast<double>(model.parameter_count())),
      readable_bytes(bytes.buffers), readable_bytes(bytes.gradients), readable_bytes(bytes.moments),
      readable_bytes(bytes.saved_for(batch)), batch, readable_bytes(bytes.saved_per_image));
}

void print_usage(const std::string& title, const std::vector<int64_t>& counts) {
  const int64_t unused = std::ranges::count(counts, 0);
  fmt::print("\nuse of the {} codes, most used first: {}, {} unused\n{}", counts.size(), title,
             unused, usage_bars(counts));
}

// The use of codes on the run's test images, symbol by symbol.
void print_usage_on_images(const LoadedModel& loaded, int64_t count) {
  const Dataset test = images_of(loaded, RunImages::test);
  const Dataset some = head(test, std::min(count, test.size()));
  const EncodedImages encoded =
      encode_images(*loaded.model, some, loaded.options.batch_size, loaded.options.device);
  const Vocabulary v = loaded.model->vocabulary();
  fmt::print("\n{} test images: perplexity {:.1f}\n", some.size(), encoded.use.perplexity());
  for (int64_t symbol = 0; symbol < v.symbols; ++symbol) {
    const auto begin = encoded.use.counts().begin() + symbol * v.codes;
    print_usage(fmt::format("symbol {} of {}", symbol + 1, v.symbols), {begin, begin + v.codes});
  }
}

// The use in the last epoch of training, as the run noted it.
void print_usage_of_run(const std::string& folder) {
  const std::vector<int64_t> epochs = snapshot_epochs(folder);
  if (epochs.empty() || epochs.back() == 0)
    return fmt::print("\nuse of the codes: --usage N encodes test images\n");
  print_usage(fmt::format("training, epoch {}", epochs.back()),
              read_snapshot(folder, epochs.back()).counts);
}

void show_tape(const LoadedModel& loaded, const Asked& asked) {
  const Shape& image = loaded.image;
  const Tensor images =
      ops::zeros({asked.batch, image[0], image[1], image[2]}, loaded.options.device);
  const auto tape = training_tape(*loaded.model, images, static_cast<float>(*loaded.options.beta));
  if (asked.dot.empty())
    fmt::print("{}", tape_text(tape, *loaded.model));
  else
    write_file(asked.dot, tape_dot(tape, *loaded.model));
}

// Whether the path is a run's folder or a model's file, and not some other safetensors file.
bool is_model(const std::string& path, const SafetensorsFile& file) {
  const fs::path weights = weights_in(path);
  return file.metadata.contains("format_version") || weights.string() != path ||
         (weights.filename() == "model.safetensors" &&
          is_there((weights.parent_path() / "config.json").string()));
}

int inspect(const ModelUse& use, Asked asked) {
  const std::string weights = weights_in(asked.path);
  const SafetensorsFile file = read_safetensors(weights);
  if (!is_model(asked.path, file)) {
    check(!asked.tape && asked.usage == 0, "inspect", weights, " holds no model of ours");
    print_tensors(weights, file);
    print_entries("metadata", {file.metadata.begin(), file.metadata.end()});
    return 0;
  }
  const LoadedModel loaded = use.load(asked.path, /*on_cpu=*/true);
  if (asked.tape) {
    asked.batch = std::max<int64_t>(asked.batch, 1);
    show_tape(loaded, asked);
    return 0;
  }
  print_tensors(weights, file);
  print_config(loaded);
  print_model(loaded);
  print_costs(loaded, asked.batch > 0 ? asked.batch : loaded.options.batch_size);
  if (asked.usage > 0)
    print_usage_on_images(loaded, asked.usage);
  else
    print_usage_of_run(fs::path(weights).parent_path().string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Shows what a trained model is, what it costs, and how its codes are used.");
  Asked asked;
  app.add_option("model", asked.path, "a run's folder, a model.safetensors, or another such file")
      ->required();
  app.add_option("dot", asked.dot,
                 "with --tape: a file for the tape as a graph, for Graphviz' dot");
  app.add_flag("--tape", asked.tape, "only the functions that a training step records");
  app.add_option("--batch", asked.batch, "images in a step; default the run's, of a tape 1")
      ->check(in_range(1, 1 << 20));
  app.add_option("--usage", asked.usage, "encode so many test images to see which codes they use")
      ->check(in_range(1, 1 << 30));
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] {
    if (!asked.dot.empty() && !asked.tape) throw UsageError("dot", "goes with --tape");
    return inspect(use, asked);
  });
}
