// Checkpoints: see checkpoint.h.
#include "experiments/run/checkpoint.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/cli/json_file.h"
#include "experiments/run/run_config.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr const char *kName = "trainer.safetensors", *kPrevious = "trainer.previous.safetensors",
                     *kDamaged = "trainer.damaged.safetensors";
const std::string kStep = "adam.step", kCount = "adam.count.";

// All state outside the model's parameters and buffers.
NamedTensors counters_of(VqModel& model, Adam& adam) {
  NamedTensors all = adam_state(model, adam);
  for (auto& [name, counter] : model.counters()) all.emplace_back("codebook." + name, counter);
  return all;
}

// Reads the newest checkpoint, or the one before it if the newest is damaged.
SafetensorsFile read_newest(const RunFolder& folder) {
  const std::string path = folder.file(kName), previous = folder.file(kPrevious);
  try {
    return read_safetensors(path);
  } catch (const Error& e) {
    if (!folder.has(kPrevious)) throw;
    SafetensorsFile file = read_safetensors(previous);  // throws if this one is damaged too
    std::filesystem::rename(path, folder.file(kDamaged));
    std::filesystem::rename(previous, path);
    std::fprintf(stderr, "warning: %s; it is now %s, and the checkpoint before it is used\n",
                 e.what(), kDamaged);
    return file;
  }
}

// Throws Error unless the checkpoint has the same options. The number of epochs may differ: a run
// of fewer epochs is the beginning of a longer one.
void check_options(const SafetensorsFile& file, const nlohmann::ordered_json& config,
                   const std::string& path) {
  const auto options = file.metadata.find("options");
  check(options != file.metadata.end(), "run", path,
        " does not say which options it belongs to; was it made by an older version?");
  const auto of_file = nlohmann::ordered_json::parse(options->second, nullptr, false);
  check(of_file.is_object(), "run", path, ": its options are malformed");
  const auto epochs = of_file.find("epochs");
  const bool shorter = epochs != of_file.end() && epochs->is_number_integer();
  check(shorter, "run", path, ": its options have no number of epochs");
  const auto ours = beginning_of(config, epochs->get<int64_t>(), path);
  check(of_file == ours, "run", path, " is the checkpoint of a run with ",
        differing_options(of_file, ours));
}

}  // namespace

NamedTensors adam_state(const Module& module, Adam& adam) {
  NamedTensors all;
  const auto parameters = module.named_parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    all.emplace_back("adam.m." + parameters[i].first, adam.first_moments()[i]);
    all.emplace_back("adam.v." + parameters[i].first, adam.second_moments()[i]);
    all.emplace_back(kCount + parameters[i].first, adam.parameter_steps()[i]);
  }
  all.emplace_back(kStep, adam.step_counter());
  return all;
}

void write_state(const RunFolder& folder, const nlohmann::ordered_json& config,
                 const Module& module, const NamedTensors& others, const std::string& position) {
  SafetensorsFile file;
  for (auto& [name, tensor] : state_dict(module)) file.tensors["model." + name] = tensor;
  for (const auto& [name, tensor] : others) file.tensors[name] = tensor;
  file.metadata = {{"options", config.dump()}, {"position", position}};
  write_safetensors(folder.file(kName), file, folder.file(kPrevious));
}

std::optional<std::string> restore_state(const RunFolder& folder,
                                         const nlohmann::ordered_json& config, Module& module,
                                         const NamedTensors& others) {
  if (!folder.has(kName)) return {};
  const std::string path = folder.file(kName);
  SafetensorsFile file = read_newest(folder), weights;
  check_options(file, config, path);
  for (auto& [name, tensor] : file.tensors)
    if (name.starts_with("model.")) weights.tensors[name.substr(6)] = tensor;
  load_state_dict(module, weights, path);
  for (auto [name, tensor] : others) {
    // Older checkpoints hold no step count per parameter, only Adam's own.
    const bool counted = !name.starts_with(kCount) || file.tensors.contains(name);
    const Tensor& saved = file.at(counted ? name : kStep, path);
    check(saved.shape() == tensor.shape() && saved.dtype() == tensor.dtype(), "run", path, ": ",
          name, " is ", saved.dtype(), " ", saved.shape(), ", not ", tensor.dtype(), " ",
          tensor.shape());
    ops::copy(tensor, saved.to(tensor.device()));
  }
  return file.metadata["position"];
}

std::string to_text(const Progress& p) {
  return nlohmann::json{
      {"epoch", p.epoch}, {"train", p.train.save()}, {"test", p.test.save()}, {"rows", p.rows}}
      .dump();
}

Progress parse_progress(const std::string& text, const Vocabulary& vocabulary,
                        const std::string& path) {
  Progress p(vocabulary);
  try {
    const auto json = parse_json<nlohmann::json>(text, path);
    p.epoch = count_in(json.at("epoch"), path);
    p.train.load(json.at("train"));
    p.test.load(json.at("test"));
    p.rows = json.at("rows").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, ": its position is malformed (", e.what(), ")");
  } catch (const Error& e) {
    fail("run", path, ": its position is malformed (", e.what(), ")");
  }
  check(p.rows.size() == static_cast<size_t>(p.epoch), "run", path, ": ", p.rows.size(),
        " rows of metrics for ", p.epoch, " epochs");
  return p;
}

NamedTensors training_state(VqModel& model, Adam& adam) {
  NamedTensors all;
  for (const auto& [name, p] : model.named_parameters()) all.emplace_back(name, p.value());
  for (const auto& [name, b] : model.named_buffers()) all.emplace_back(name, b.value());
  for (auto& counter : counters_of(model, adam)) all.push_back(counter);
  return all;
}

void write_checkpoint(const RunFolder& folder, const nlohmann::ordered_json& config,
                      const Progress& progress, VqModel& model, Adam& adam) {
  write_state(folder, config, model, counters_of(model, adam), to_text(progress));
}

void forget_previous_checkpoint(const RunFolder& folder) {
  std::error_code ignored;
  std::filesystem::remove(folder.file(kPrevious), ignored);
}

std::optional<Progress> restore_checkpoint(const RunFolder& folder,
                                           const nlohmann::ordered_json& config, VqModel& model,
                                           Adam& adam) {
  const auto position = restore_state(folder, config, model, counters_of(model, adam));
  if (!position) return {};
  return parse_progress(*position, model.vocabulary(), folder.file(kName));
}

}  // namespace versor
