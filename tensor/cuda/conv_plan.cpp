// From a convolution to an execution plan of cuDNN: see conv_plan.h. In order: the engines that we
// accept, their configurations, the plan.
#include "tensor/cuda/conv_plan.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace versor::cuda {
namespace {

#if CUDNN_VERSION >= 90800
constexpr auto kHeuristicsProperties = CUDNN_ATTR_ENGINEHEUR_DEVICEPROP;
constexpr auto kEngineProperties = CUDNN_ATTR_ENGINE_DEVICEPROP;
constexpr auto kPlanProperties = CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP;
#else  // older versions plan for a handle only
constexpr Descriptor::Name kHeuristicsProperties{}, kEngineProperties{}, kPlanProperties{};
#endif

// --- the engines that we accept ------------------------------------------------------------------

Engine describe(const Descriptor& engine) {
  constexpr int64_t kMostNotes = 32;
  Engine result;
  for (auto note :
       engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, kMostNotes))
    result.notes.insert(note);
  for (auto note :
       engine.get_all<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, kMostNotes))
    result.compiled_at_run_time |= note == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
  return result;
}

// Our rules. A result must be the sum that backend.h states, of products of the given inputs, kept
// in f32: inputs are not rounded further (except to TF32 where that was asked for), sums have no
// lower precision, and there are no transforms (Winograd, FFT) that trade accuracy for fewer
// products. Tensor cores multiply f32 as TF32, bf16 exactly.
// A ReLU must keep a NaN. The engines that cuDNN compiles at run time do, as their code shows (x >=
// 0 or unordered ? x : 0). Of its precompiled engines we do not know, and asking for it by
// attribute changes nothing in cuDNN 9; so with them ReLU is a second pass of our own.
bool acceptable(const Engine& engine, const ConvKey& key) {
  if (key.deterministic && engine.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return false;
  if (key.dtype == DType::f32 && !key.tf32 && engine.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE))
    return false;
  if (key.relu && !engine.compiled_at_run_time) return false;
  if (engine.compiled_at_run_time && !key.may_compile) return false;
  return !engine.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) &&
         !engine.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) &&
         !engine.has(CUDNN_NUMERICAL_NOTE_WINOGRAD) && !engine.has(CUDNN_NUMERICAL_NOTE_FFT);
}

// --- configurations ------------------------------------------------------------------------------

// The finalized graph; nothing if cuDNN does not know such a graph.
std::optional<Descriptor> graph_of(const ConvKey& key, const PlanTarget& target) {
  try {
    Descriptor graph = describe_graph(key, target);
    if (graph.try_finalize()) return graph;
  } catch (const Error&) {  // cuDNN 8 refuses at once what cuDNN 9 refuses when it is finalized
  }
  return std::nullopt;
}

// All descriptors that an attribute holds.
std::vector<Descriptor> all_of(const Descriptor& d, Descriptor::Name name,
                               cudnnBackendDescriptorType_t type) {
  return d.get_descriptors(name, type, d.count_of(name));
}

// Engine configurations by one kind of heuristics, the best first; none if it has none.
std::vector<Descriptor> configurations(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                                       const PlanTarget& target) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  if (target.properties != nullptr) heuristics.set(kHeuristicsProperties, *target.properties);
  if (!heuristics.try_finalize()) return {};
  return all_of(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
}

// Mode A ranks by a model of the run time, FALLBACK lists what works in any order. A fused kernel
// from that list may well be slower than two passes, so it is not tried.
std::vector<Descriptor> ranked(const Descriptor& graph, const ConvKey& key,
                               const PlanTarget& target) {
  std::vector<Descriptor> all = configurations(graph, CUDNN_HEUR_MODE_A, target);
  if (!key.bias && !key.relu)
    for (Descriptor& c : configurations(graph, CUDNN_HEUR_MODE_FALLBACK, target))
      all.push_back(std::move(c));
  return all;
}

Descriptor engine_of(const Descriptor& configuration) {
  return std::move(
      configuration.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1)
          .at(0));
}

EngineChoice choice_of(const Descriptor& configuration) {
  EngineChoice choice{engine_of(configuration).get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), {}};
  // cuDNN gives no count of these
  for (const Descriptor& knob :
       configuration.get_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                     CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS))
    choice.knobs[knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE)] =
        knob.get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
  return choice;
}

// The engine with this index; nothing if there is none or it does not work on this GPU.
std::optional<Descriptor> find_engine(const Descriptor& graph, int64_t index,
                                      const PlanTarget& target) {
  if (index >= graph.get<int64_t>(CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT))
    return std::nullopt;
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph);
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, index);
  if (target.properties != nullptr) engine.set(kEngineProperties, *target.properties);
  if (!engine.try_finalize()) return std::nullopt;
  return engine;
}

std::optional<Descriptor> configure(const Descriptor& engine, const EngineChoice& choice) {
  std::vector<Descriptor> knobs;
  for (const auto& [type, value] : choice.knobs) {
    Descriptor& knob = knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type));
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
    if (!knob.try_finalize()) return std::nullopt;
  }
  Descriptor configuration(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  configuration.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!knobs.empty())
    configuration.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, std::span<const Descriptor>(knobs));
  if (!configuration.try_finalize()) return std::nullopt;
  return configuration;
}

// Reported once: without these kernels everything works, but slower, and nobody would know why.
void note_failed_compilation() {
  static bool said = false;
  if (!std::exchange(said, true))
    std::fprintf(
        stderr,
        "note: cuDNN could not compile a kernel at run time and takes slower ones (does the "
        "program find libnvrtc and libnvrtc-builtins?)\n");
}

}  // namespace

PlanOptions plan_options(const ConvKey& key, const PlanTarget& target) {
  PlanOptions options;
  const std::optional<Descriptor> graph = graph_of(key, target);
  if (!graph) return options;
  for (const Descriptor& configuration : ranked(*graph, key, target))
    if (acceptable(describe(engine_of(configuration)), key))
      options.ranked.push_back(choice_of(configuration));
  const auto count = graph->get<int64_t>(CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT);
  for (int64_t index = 0; index < count; ++index) {
    const std::optional<Descriptor> found = find_engine(*graph, index, target);
    if (!found) continue;
    const Engine engine = describe(*found);
    if (!acceptable(engine, key)) continue;
    options.engines.push_back({index, engine.compiled_at_run_time, {}});
    for (const Descriptor& knob :
         all_of(*found, CUDNN_ATTR_ENGINE_KNOB_INFO, CUDNN_BACKEND_KNOB_INFO_DESCRIPTOR))
      options.engines.back().knobs.push_back(
          {knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_INFO_TYPE),
           knob.get<int64_t>(CUDNN_ATTR_KNOB_INFO_MINIMUM_VALUE),
           knob.get<int64_t>(CUDNN_ATTR_KNOB_INFO_MAXIMUM_VALUE),
           knob.get<int64_t>(CUDNN_ATTR_KNOB_INFO_STRIDE)});
  }
  return options;
}

// --- the plan ------------------------------------------------------------------------------------

std::unique_ptr<ConvPlan> ConvPlan::build(const ConvKey& key, const PlanTarget& target,
                                          const Descriptor& configuration, size_t most_workspace,
                                          bool is_ranked) {
  Engine engine = describe(engine_of(configuration));
  if (!acceptable(engine, key)) return nullptr;
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (target.handle != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
  if (target.properties != nullptr) plan.set(kPlanProperties, *target.properties);
  if (!plan.try_finalize()) {
    if (is_ranked && engine.compiled_at_run_time && target.handle != nullptr)
      note_failed_compilation();
    return nullptr;
  }
  const auto workspace =
      static_cast<size_t>(plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  if (workspace > most_workspace) return nullptr;
  return std::unique_ptr<ConvPlan>(
      new ConvPlan(std::move(plan), workspace, std::move(engine), choice_of(configuration)));
}

std::unique_ptr<ConvPlan> ConvPlan::build(const ConvKey& key, const PlanTarget& target,
                                          const EngineChoice& choice, size_t most_workspace) {
  const std::optional<Descriptor> graph = graph_of(key, target);
  if (!graph) return nullptr;
  const std::optional<Descriptor> engine = find_engine(*graph, choice.engine, target);
  if (!engine) return nullptr;
  const std::optional<Descriptor> configuration = configure(*engine, choice);
  return configuration ? build(key, target, *configuration, most_workspace, false) : nullptr;
}

std::unique_ptr<ConvPlan> ConvPlan::build(const ConvKey& key, const PlanTarget& target,
                                          size_t most_workspace) {
  const EngineChoice* tuned = target.tuned == nullptr ? nullptr : target.tuned->find(key);
  if (tuned != nullptr)
    if (auto plan = build(key, target, *tuned, most_workspace)) return plan;
  const std::optional<Descriptor> graph = graph_of(key, target);
  if (!graph) return nullptr;
  for (const Descriptor& configuration : ranked(*graph, key, target))
    if (auto plan = build(key, target, configuration, most_workspace, true)) return plan;
  return nullptr;
}

void ConvPlan::execute(cudnnHandle_t handle, const Addresses& a, void* workspace) const {
  const int64_t uids[] = {kX, kWeight, kY, kBias};
  void* const addresses[] = {a.x, a.weight, a.y, a.bias};
  const size_t count = a.bias != nullptr ? 4 : 3;
  Descriptor arguments(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  arguments.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const int64_t>(uids, count));
  arguments.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>(addresses, count));
  arguments.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  arguments.finalize();
  CUDNN_CHECK(cudnnBackendExecute(handle, plan_.get(), arguments.get()));
}

}  // namespace versor::cuda
