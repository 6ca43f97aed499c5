// From a convolution to an execution plan of cuDNN: see cudnn.h. In order: descriptors, the graph
// of operations, the engines that we accept, the plan.
#include "tensor/cuda/cudnn.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

namespace versor::cuda {

// --- descriptors ---------------------------------------------------------------------------------

void Descriptor::set_attribute(Name name, cudnnBackendAttributeType_t type, size_t count,
                               const void* values) {
  CUDNN_CHECK(cudnnBackendSetAttribute(handle_, name, type, static_cast<int64_t>(count), values));
}

int64_t Descriptor::get_attribute(Name name, cudnnBackendAttributeType_t type, int64_t most,
                                  void* values) const {
  int64_t count = 0;
  CUDNN_CHECK(cudnnBackendGetAttribute(handle_, name, type, most, &count, values));
  return std::min(count, most);
}

void Descriptor::set(Name name, std::span<const Descriptor> values) {
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& value : values) handles.push_back(value.get());
  set_attribute(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, handles.size(), handles.data());
}

int64_t Descriptor::count_of(Name name) const {
  int64_t count = 0;
  CUDNN_CHECK(
      cudnnBackendGetAttribute(handle_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  return count;
}

std::vector<Descriptor> Descriptor::get_descriptors(Name name, cudnnBackendDescriptorType_t type,
                                                    int64_t count) const {
  std::vector<Descriptor> values;  // made by us, filled by cuDNN
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < count; ++i) handles.push_back(values.emplace_back(type).get());
  const int64_t filled = get_attribute(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, handles.data());
  while (static_cast<int64_t>(values.size()) > filled) values.pop_back();
  return values;
}

namespace {

#if CUDNN_VERSION >= 90800
constexpr auto kHeuristicsProperties = CUDNN_ATTR_ENGINEHEUR_DEVICEPROP;
constexpr auto kPlanProperties = CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP;
#else  // older versions plan for a handle only
constexpr Descriptor::Name kHeuristicsProperties{}, kPlanProperties{};
#endif

// --- the graph of operations ---------------------------------------------------------------------

// How a plan's arguments are named when it is executed. Tensors that only pass from one operation
// of the graph to the next ("virtual" ones, never in memory) are numbered from kVirtual on.
enum Uid : int64_t { kX = 1, kWeight, kY, kBias, kVirtual };

struct Dims {
  int64_t n, c, h, w;
};

// cuDNN always lists dimensions in the order N,C,H,W; the strides say that channels are innermost
// in memory (NHWC, or [O,kh,kw,I] for weights).
Descriptor describe_tensor(int64_t uid, const Dims& d, cudnnDataType_t type, bool aligned) {
  const int64_t dims[] = {d.n, d.c, d.h, d.w};
  const int64_t strides[] = {d.h * d.w * d.c, 1, d.w * d.c, d.c};
  const int64_t element = type == CUDNN_DATA_BFLOAT16 ? 2 : 4;
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, uid);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, aligned ? kFullAlignment : element);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(dims));
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(strides));
  tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, uid >= kVirtual);
  tensor.finalize();
  return tensor;
}

Descriptor describe_window(const ConvKey& key) {
  const int64_t strides[] = {key.stride, key.stride}, paddings[] = {key.padding, key.padding};
  const int64_t dilations[] = {1, 1};
  Descriptor window(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  window.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2});
  window.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);  // no flipped kernel
  window.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);         // f32 sums
  window.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span<const int64_t>(strides));
  window.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span<const int64_t>(paddings));
  window.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span<const int64_t>(paddings));
  window.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span<const int64_t>(dilations));
  window.finalize();
  return window;
}

// The three kinds of convolution are three types of operation, each with its own names for the
// same attributes.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t window, x, weight, y, alpha, beta;
};

OperationNames names_of(ConvKind kind) {
  switch (kind) {
    case ConvKind::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvKind::grad_input:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvKind::grad_weight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  fail("conv2d", "unknown kind of convolution");
}

Descriptor describe_convolution(const ConvKey& key, const Descriptor& x, const Descriptor& weight,
                                const Descriptor& y) {
  const OperationNames names = names_of(key.kind);
  Descriptor operation(names.type);
  operation.set(names.window, describe_window(key));
  operation.set(names.x, x);
  operation.set(names.weight, weight);
  operation.set(names.y, y);
  operation.set(names.alpha, 1.f);  // result = alpha * convolution + beta * result
  operation.set(names.beta, 0.f);
  operation.finalize();
  return operation;
}

// y = mode(x, b), element by element in f32; a bias b [1,C,1,1] is the same for all positions.
Descriptor describe_pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b,
                              const Descriptor& y) {
  Descriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (mode == CUDNN_POINTWISE_RELU_FWD)  // see acceptable()
    function.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
  function.finalize();
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  operation.finalize();
  return operation;
}

// What is done to the f32 sums before they are stored. The gradient of bf16 weights is stored as
// f32: cuDNN 9 has no engine for that as a plain convolution, but it has some for a convolution
// whose f32 result passes through the identity.
std::vector<cudnnPointwiseMode_t> steps_after(const ConvKey& key) {
  std::vector<cudnnPointwiseMode_t> steps;
  if (key.bias) steps.push_back(CUDNN_POINTWISE_ADD);
  if (key.relu) steps.push_back(CUDNN_POINTWISE_RELU_FWD);
  if (key.kind == ConvKind::grad_weight && key.dtype == DType::bf16)
    steps.push_back(CUDNN_POINTWISE_IDENTITY);
  return steps;
}

// The graph, not finalized: convolution -> virtual f32 tensor -> step -> ... -> result.
Descriptor describe_graph(const ConvKey& key, const PlanTarget& target) {
  const auto type = key.dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const auto tensor = [&](int64_t uid, const Dims& dims, cudnnDataType_t t) {
    return describe_tensor(uid, dims, t, key.aligned);
  };
  const Dims x{key.N, key.I, key.H, key.W}, weight{key.O, key.I, key.kh, key.kw};
  const Dims y{key.N, key.O, key.out_h(), key.out_w()};
  const bool of_weight = key.kind == ConvKind::grad_weight;
  const Dims& result = key.kind == ConvKind::forward ? y : of_weight ? weight : x;
  const Descriptor inputs_and_result[] = {
      tensor(kX, x, type), tensor(kWeight, weight, of_weight ? CUDNN_DATA_FLOAT : type),
      tensor(kY, y, type)};
  const Descriptor bias = tensor(kBias, {1, result.c, 1, 1}, CUDNN_DATA_FLOAT);
  const int result_index = key.kind == ConvKind::grad_input ? 0 : of_weight ? 1 : 2;

  // value(i) is what step i works on; the last one is the result.
  const std::vector<cudnnPointwiseMode_t> steps = steps_after(key);
  std::vector<Descriptor> between;
  for (size_t i = 0; i < steps.size(); ++i)
    between.push_back(tensor(kVirtual + static_cast<int64_t>(i), result, CUDNN_DATA_FLOAT));
  const auto value = [&](size_t i) -> const Descriptor& {
    return i < steps.size() ? between[i] : inputs_and_result[result_index];
  };
  const auto operand = [&](int i) -> const Descriptor& {
    return i == result_index ? value(0) : inputs_and_result[i];
  };

  std::vector<Descriptor> operations;
  operations.push_back(describe_convolution(key, operand(0), operand(1), operand(2)));
  for (size_t i = 0; i < steps.size(); ++i) {
    const Descriptor* b = steps[i] == CUDNN_POINTWISE_ADD ? &bias : nullptr;
    operations.push_back(describe_pointwise(steps[i], value(i), b, value(i + 1)));
  }
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const Descriptor>(operations));
  if (target.handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  return graph;
}

// --- the engines that we accept ------------------------------------------------------------------

Engine engine_of(const Descriptor& config) {
  constexpr int64_t kMostNotes = 32;
  const std::vector<Descriptor> engines =
      config.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  Engine result;
  for (const Descriptor& engine : engines) {
    for (auto note :
         engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, kMostNotes))
      result.notes.insert(note);
    for (auto note :
         engine.get_all<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, kMostNotes))
      result.compiled_at_run_time |= note == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
  }
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

// Engine configurations for the graph, the best first; none if cuDNN does not know such a graph.
std::vector<Descriptor> configurations(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                                       const PlanTarget& target) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  if (target.properties != nullptr) heuristics.set(kHeuristicsProperties, *target.properties);
  if (!heuristics.try_finalize()) return {};
  return heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                    CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                    heuristics.count_of(CUDNN_ATTR_ENGINEHEUR_RESULTS));
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

// --- the plan ------------------------------------------------------------------------------------

std::unique_ptr<ConvPlan> ConvPlan::build(const ConvKey& key, const PlanTarget& target,
                                          size_t most_workspace) {
  std::optional<Descriptor> graph;
  try {
    graph = describe_graph(key, target);
  } catch (const Error&) {  // cuDNN 8 refuses at once what cuDNN 9 refuses below
    return nullptr;
  }
  if (!graph->try_finalize()) return nullptr;
  // Mode A ranks by a model of the run time, FALLBACK lists what works in any order. A fused kernel
  // from that list may well be slower than two passes, so it is not tried.
  std::vector<cudnnBackendHeurMode_t> modes{CUDNN_HEUR_MODE_A};
  if (!key.bias && !key.relu) modes.push_back(CUDNN_HEUR_MODE_FALLBACK);
  for (const cudnnBackendHeurMode_t mode : modes) {
    for (const Descriptor& configuration : configurations(*graph, mode, target)) {
      Engine engine = engine_of(configuration);
      if (!acceptable(engine, key)) continue;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (target.handle != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
      if (target.properties != nullptr) plan.set(kPlanProperties, *target.properties);
      if (!plan.try_finalize()) {
        if (engine.compiled_at_run_time && target.handle != nullptr) note_failed_compilation();
        continue;
      }
      const auto workspace =
          static_cast<size_t>(plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
      if (workspace > most_workspace) continue;
      return std::unique_ptr<ConvPlan>(new ConvPlan(std::move(plan), workspace, std::move(engine)));
    }
  }
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
