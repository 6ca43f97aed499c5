// Embeds points, by default a trained codebook's K codes, in the plane by exact t-SNE.
//   bin/tsne --input results/runs/<name>/model.safetensors --out codebook.csv
// The CSV has a line per point: x, y, and in copy_of the 0-based index of the first point equal to
// it (its own if none is), because equal points, such as dead codes, share one place.
#include <fmt/format.h>
#include <omp.h>

#include <chrono>
#include <limits>

#include "experiments/cli/program.h"
#include "experiments/tsne/embedding.h"
#include "experiments/tsne/points.h"
#include "nn/safetensors.h"
#include "tensor/file.h"
#include "tensor/pool.h"

using namespace versor;

namespace {

// The tensors that --tensor can name, for error messages.
std::string matrices_of(const SafetensorsFile& file) {
  constexpr int kShown = 20;
  std::string text;
  int count = 0;
  for (const auto& [name, tensor] : file.tensors)
    if (tensor.shape().rank() == 2 && ++count <= kShown)
      text += str(text.empty() ? "" : ", ", name, " ", tensor.dtype(), " ", tensor.shape());
  if (count > kShown) text += str(" and ", count - kShown, " more");
  return text.empty() ? "none of its tensors has two axes"
                      : "--tensor can name one of those with two axes: " + text;
}

Tensor read_matrix(const std::string& path, const std::string& name) {
  const SafetensorsFile file = read_safetensors(path);
  if (!file.tensors.contains(name))
    throw Error(str("[tsne] ", path, " has no tensor \"", name, "\"; ", matrices_of(file)));
  return file.at(name, path);
}

Tensor read_csv(const std::string& path) {
  const Points points = read_points(path);
  if (points.guessed_heading)
    fmt::print(stderr,
               "note: {}: the first line is read as a heading; write 0.0 if it is a point\n", path);
  return points.values;
}

// Announces the cost of a large embedding. tsne() itself refuses one that does not fit in memory.
void announce(const Tensor& points) {
  if (points.shape().rank() != 2) return;
  const size_t bytes = tsne_bytes(points.dim(0), points.dim(1));
  if (bytes >> 30 > 0)
    fmt::print(stderr, "note: {} points take up to {} of memory\n", points.dim(0),
               readable_bytes(bytes));
}

Embedding embed(const Tensor& points, const TsneOptions& options, const std::string& path) {
  try {
    return tsne(points, options);
  } catch (const Error& e) {
    throw Error(str(e.what(), " (", path, ")"));
  }
}

std::string to_csv(const Embedding& e) {
  std::string text = "x,y,copy_of\n";
  for (size_t i = 0; i < e.representative.size(); ++i)
    text += fmt::format("{},{},{}\n", e.xy[2 * i], e.xy[2 * i + 1], e.representative[i]);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Exact t-SNE of the rows of a tensor or of a CSV file.");
  std::string input, out, tensor = "codebook.weight";
  TsneOptions options;
  int threads = 0;
  app.add_option(
         "--input", input,
         "a .safetensors file, or a .csv file with a point per line; n points take 8 n^2 bytes")
      ->required();
  app.add_option("--out", out, "CSV to write: x,y,copy_of")->required();
  app.add_option("--tensor", tensor, "which of a .safetensors file's")->capture_default_str();
  app.add_option("--perplexity", options.perplexity, "effective number of neighbours")
      ->check(number_in(1, std::numeric_limits<double>::max(), "FLOAT >= 1"))
      ->capture_default_str();
  app.add_option("--learning-rate", options.learning_rate)
      ->check(number_in(std::numeric_limits<double>::min(), std::numeric_limits<double>::max(),
                        "FLOAT > 0"))
      ->capture_default_str();
  app.add_option("--iterations", options.iterations)
      ->check(in_range(0, 1 << 30))
      ->capture_default_str();
  app.add_option("--seed", options.seed)->check(kSeedNumber)->capture_default_str();
  app.add_option("--threads", threads, "default: all cores; the result is the same")
      ->check(in_range(1, 4096));
  return run_program(app, argc, argv, [&] {
    const bool csv = input.ends_with(".csv");
    if (!csv && !input.ends_with(".safetensors"))
      throw UsageError("--input", input + " ends in neither .safetensors nor .csv");
    if (csv && app.given("--tensor"))
      throw UsageError("--tensor", "goes with a .safetensors file only");
    if (threads > 0) omp_set_num_threads(threads);
    const auto start = std::chrono::steady_clock::now();
    const Tensor points = csv ? read_csv(input) : read_matrix(input, tensor);
    announce(points);
    const Embedding e = embed(points, options, input);
    write_file(out, to_csv(e));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    fmt::print(
        "{} points, {} distinct, perplexity {:g}, largest entropy error {:.1e}, KL {:.4f}, "
        "{:.2f} s\n",
        e.representative.size(), e.distinct, e.perplexity, e.entropy_error, e.kl, seconds.count());
    return 0;
  });
}
