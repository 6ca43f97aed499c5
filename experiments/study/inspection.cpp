// Inspection of a model: see inspection.h.
#include "experiments/study/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "tensor/pool.h"
#include "tensor/trace.h"

namespace versor {
namespace {

double flops_of(const std::function<void()>& work) {
  const Profile profile;
  work();
  double flops = 0;
  for (const auto& [name, entry] : profile.entries()) flops += entry.flops;
  return flops;
}

// Grey images; the work does not depend on what they show.
Tensor blank(int64_t count, const Shape& image, const VqModel& model) {
  const Device device = model.parameters()[0].value().device();
  return ops::zeros({count, image[0], image[1], image[2]}, device);
}

// The model as it is in training, until the end of the scope.
class InTraining {
 public:
  explicit InTraining(VqModel& model) : model_(model), before_(model.training()) {
    model_.set_training(true);
  }
  ~InTraining() { model_.set_training(before_); }

 private:
  VqModel& model_;
  bool before_;
};

// The loss of a step. Nothing but its graph keeps what the forward pass made.
Variable loss_of(VqModel& model, const Tensor& images, float beta) {
  const InTraining training(model);
  const ParameterCopies copies(model.flat_parameters(), model.options().activations);
  return vqvae_loss(model(images), images, beta).total;
}

// Where the value of each parameter lies -> its name.
std::map<const void*, std::string> names_of_leaves(const Module& model) {
  std::map<const void*, std::string> names;
  for (const auto& [name, p] : model.named_parameters()) names[p.value().address()] = name;
  return names;
}

// How a tape calls its entries: 1, 2, ... in order.
std::map<uint64_t, size_t> places_of(const std::vector<TapeEntry>& tape) {
  std::map<uint64_t, size_t> places;
  for (const TapeEntry& entry : tape) places.emplace(entry.number, places.size() + 1);
  return places;
}

}  // namespace

WorkPerImage work_per_image(VqModel& model, const Shape& image) {
  const Tensor images = blank(1, image, model);
  const float beta = 0.25f;  // any
  WorkPerImage work;
  {
    const NoGradGuard no_grad;
    VqVaeOutput out;
    const double forward = flops_of([&] { out = model(images); });
    double lookup = 0;
    for (size_t level = 0; level < model.levels().size(); ++level) {
      const Quantizer& quantizer = *model.levels()[level].quantizer;
      const Variable latents = rows(out.levels[level].latents);
      work.quantizer += flops_of([&] { quantizer(latents, /*pass=*/false); });
      lookup += flops_of([&] { quantizer.decode(out.levels[level].quantized.index); });
    }
    work.decoder = flops_of([&] { model.decode_symbols(out.symbols(), images.shape()); }) - lookup;
    work.encoder = forward - work.quantizer - work.decoder;
  }
  work.training = flops_of([&] { backward(loss_of(model, images, beta)); });
  for (Variable& p : model.parameters()) p.zero_grad();
  return work;
}

std::vector<TapeEntry> training_tape(VqModel& model, const Tensor& images, float beta) {
  return take_tape(loss_of(model, images, beta));
}

BytesOfStep bytes_of_step(VqModel& model, const Shape& image, float beta) {
  BytesOfStep bytes;
  for (const Variable& p : model.parameters()) bytes.parameters += p.value().bytes();
  for (const auto& [name, b] : model.named_buffers()) bytes.buffers += b.value().bytes();
  bytes.gradients = bytes.parameters;
  bytes.moments = 2 * bytes.parameters;
  const auto saved = [&](int64_t count) {
    size_t sum = 0;
    for (const TapeEntry& entry : training_tape(model, blank(count, image, model), beta))
      sum += entry.saved_bytes;
    return sum;
  };
  const size_t one = saved(1), two = saved(2);
  bytes.saved_per_image = two - one;
  bytes.saved = one - std::min(one, bytes.saved_per_image);
  return bytes;
}

std::string tape_text(const std::vector<TapeEntry>& tape, const Module& model) {
  const auto names = names_of_leaves(model);
  const auto places = places_of(tape);
  std::string text;
  size_t saved = 0;
  for (const TapeEntry& entry : tape) {
    std::string inputs;
    for (const TapeEntry::Input& input : entry.inputs) {
      std::string from;
      if (input.made_by) from = fmt::format("#{} ", places.at(*input.made_by));
      if (const auto leaf = names.find(input.leaf); leaf != names.end()) from = leaf->second + " ";
      inputs += (inputs.empty() ? "" : ", ") + from + str(input.shape);
    }
    text += fmt::format("#{:<3} {:<17} {:<14} keeps {:>10}  of {}\n", places.at(entry.number),
                        entry.name, str(entry.shape), readable_bytes(entry.saved_bytes), inputs);
    saved += entry.saved_bytes;
  }
  return text + fmt::format(
                    "{} functions keep {} for the backward pass; what several keep, as the "
                    "parameters' bf16 copies, is counted with the first\n",
                    tape.size(), readable_bytes(saved));
}

std::string tape_dot(const std::vector<TapeEntry>& tape, const Module& model) {
  const auto names = names_of_leaves(model);
  const auto places = places_of(tape);
  std::string nodes, edges;
  size_t constants = 0;
  for (const TapeEntry& entry : tape) {
    const size_t place = places.at(entry.number);
    nodes += fmt::format("  n{} [label=\"{}\\n{}\\nkeeps {}\"];\n", place, entry.name,
                         str(entry.shape), readable_bytes(entry.saved_bytes));
    for (const TapeEntry::Input& input : entry.inputs) {
      std::string from = fmt::format("c{}", ++constants), label;
      if (input.made_by) {
        from = fmt::format("n{}", places.at(*input.made_by));
      } else if (const auto leaf = names.find(input.leaf); leaf != names.end()) {
        from = "\"" + leaf->second + "\"";
        label = leaf->second + "\\n";
      }
      if (!input.made_by)
        nodes +=
            fmt::format("  {} [shape=plaintext, label=\"{}{}\"];\n", from, label, str(input.shape));
      edges += fmt::format("  {} -> n{};\n", from, place);
    }
  }
  return "digraph tape {\n  node [shape=box, fontname=monospace];\n" + nodes + edges + "}\n";
}

std::string usage_bars(const std::vector<int64_t>& counts) {
  constexpr size_t kLines = 16, kWidth = 50;
  std::vector<int64_t> sorted = counts;
  std::sort(sorted.rbegin(), sorted.rend());
  const auto all = static_cast<double>(std::reduce(sorted.begin(), sorted.end()));
  const size_t codes = sorted.size(), lines = std::min(kLines, codes);
  const auto begin_of = [&](size_t line) { return line * codes / lines; };
  const auto mean_of = [&](size_t line) {
    const auto begin = sorted.begin() + static_cast<ptrdiff_t>(begin_of(line)),
               end = sorted.begin() + static_cast<ptrdiff_t>(begin_of(line + 1));
    return static_cast<double>(std::reduce(begin, end)) / static_cast<double>(end - begin);
  };
  const double most = std::max(mean_of(0), 1.0);
  std::string text;
  for (size_t line = 0; line < lines; ++line) {
    const double mean = mean_of(line);
    const size_t end = begin_of(line + 1);
    const double share = mean * static_cast<double>(end - begin_of(line)) / std::max(all, 1.0);
    const auto width = static_cast<size_t>(mean / most * kWidth + 0.5);
    text += fmt::format("{:>6}-{:<6} {:>6.2f} %{}{}\n", begin_of(line) + 1, end, 100 * share,
                        width > 0 ? " " : "", std::string(width, '#'));
  }
  return text;
}

}  // namespace versor
