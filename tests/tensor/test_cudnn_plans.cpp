// Which plans cuDNN makes for our convolutions. They are made, not run, for GPUs that are only
// described to the library, so this needs cuDNN 9.8 but no GPU. Without NVIDIA's driver the engines
// that are compiled at run time are missing; what is tested here holds with and without them.
#ifdef VERSOR_CUDA
#include <algorithm>

#include "tensor/cuda/conv_plan.h"
#include "tests/cases.h"
#include "tests/support.h"

#if CUDNN_VERSION >= 90800

namespace versor::testing {
namespace {

using cuda::ConvKey;
using cuda::ConvKind;
using cuda::ConvPlan;
using cuda::Descriptor;

constexpr auto kTensorCore = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
constexpr auto kNondeterministic = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;

// What cuDNN asks about a GPU, with the numbers that are the same for all of these.
struct Gpu {
  std::string name;
  int version;                                          // 100 times the compute capability
  int multiprocessors, shared_memory, blocks, threads;  // the last two: on one multiprocessor
  int64_t memory, l2_cache;
  int clock_khz, memory_clock_khz;
};

const std::vector<Gpu>& gpus() {
  static const std::vector<Gpu> all = {
      {"T4", 750, 40, 65536, 16, 1024, 15'800'000'000, 4 << 20, 1590000, 5001000},
      {"A100", 800, 108, 166912, 32, 2048, 85'899'345'920, 40 << 20, 1410000, 1593000},
      {"RTX 3090", 860, 82, 101376, 16, 1536, 25'400'000'000, 6 << 20, 1695000, 9751000},
      {"H100", 900, 132, 232448, 32, 2048, 85'899'345'920, 50 << 20, 1980000, 2619000},
  };
  return all;
}

Descriptor describe(const Gpu& g) {
  const std::string json =
      str(R"({"deviceName":")", g.name, R"(","deviceVer":)", g.version,
          R"(,"multiProcessorCount":)", g.multiprocessors, R"(,"maxSharedMemoryPerBlockOptin":)",
          g.shared_memory, R"(,"maxCtasPerSM":)", g.blocks, R"(,"maxThreadsPerSM":)", g.threads,
          R"(,"totalGlobalMem":)", g.memory, R"(,"l2CacheSize":)", g.l2_cache,
          R"(,"smClockRateKHz":)", g.clock_khz, R"(,"memClockRateKHz":)", g.memory_clock_khz,
          R"(,"warpSize":32,"maxThreadsPerBlock":1024,"maxSharedMemoryPerBlock":49152,)",
          R"("reservedSharedMemoryPerBlock":1024,"regsPerBlock":65536,"maxRegistersPerSM":65536,)",
          R"("maxBlockSize":[1024,1024,64],"maxGridSize":[2147483647,65535,65535],)",
          R"("supportCoopLaunch":1,"pciDeviceId":0,"isTccDriver":0,"cudaDeviceId":0,)",
          R"("driverVer":13000})");
  Descriptor gpu(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  gpu.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json));
  gpu.finalize();
  return gpu;
}

// The model's layers at full width; a transposed convolution is the input gradient of one of them.
std::vector<ConvCase> layers() {
  return {
      // name, N, H, W, I, O, kh, kw, stride, padding
      {"encoder.0", 128, 32, 32, 3, 128, 4, 4, 2, 1},
      {"encoder.2", 128, 16, 16, 128, 256, 4, 4, 2, 1},
      {"3x3", 128, 8, 8, 256, 256, 3, 3, 1, 1},
      {"3x3, last batch of training", 80, 8, 8, 256, 256, 3, 3, 1, 1},
      {"encoder.0, last batch of a test", 16, 32, 32, 3, 128, 4, 4, 2, 1},
  };
}

ConvKey key_of(const ConvCase& c, ConvKind kind, DType dtype = DType::f32) {
  ConvKey key{kind, c.N, c.H, c.W, c.I, c.O, c.kh, c.kw, c.stride, c.padding};
  key.dtype = dtype;
  return key;
}

constexpr ConvKind kKinds[] = {ConvKind::forward, ConvKind::grad_input, ConvKind::grad_weight};

TEST_CASE("cudnn plans: all convolutions have one in f32, exact and deterministic, on every GPU") {
  std::vector<ConvCase> cases = conv_cases();
  for (const ConvCase& c : layers()) cases.push_back(c);
  for (const Gpu& g : gpus()) {
    const Descriptor gpu = describe(g);
    for (const ConvCase& c : cases)
      for (ConvKind kind : kKinds)
        for (bool aligned : {true, false}) {
          CAPTURE(g.name);
          CAPTURE(c.name);
          CAPTURE(static_cast<int>(kind));
          CAPTURE(aligned);
          ConvKey key = key_of(c, kind);
          key.aligned = aligned;
          const auto plan = ConvPlan::build(key, {nullptr, &gpu});
          REQUIRE(plan != nullptr);
          CHECK_FALSE(plan->engine().has(kTensorCore));
          CHECK_FALSE(plan->engine().has(kNondeterministic));
          CHECK(plan->workspace_bytes() <= cuda::Context::kMostConvWorkspace);
        }
  }
}

TEST_CASE("cudnn plans: the layers run on tensor cores in TF32 and bf16, where there are any") {
  for (const Gpu& g : gpus()) {
    const Descriptor gpu = describe(g);
    const bool ampere = g.version >= 800;
    for (const ConvCase& c : layers()) {
      CAPTURE(g.name);
      CAPTURE(c.name);
      for (ConvKind kind : {ConvKind::forward, ConvKind::grad_input}) {
        const auto plan = ConvPlan::build(key_of(c, kind, DType::bf16), {nullptr, &gpu});
        REQUIRE((plan != nullptr) == ampere);  // without bf16 the caller falls back on f32
        if (plan != nullptr) CHECK(plan->engine().has(kTensorCore));
      }
      ConvKey key = key_of(c, ConvKind::grad_weight);
      key.tf32 = true;
      const auto plan = ConvPlan::build(key, {nullptr, &gpu});
      REQUIRE(plan != nullptr);
      CHECK(plan->engine().has(kTensorCore) == ampere);
      CHECK_FALSE(plan->engine().has(kNondeterministic));
    }
  }
}

TEST_CASE("cudnn plans: scratch memory is bounded") {
  const Descriptor gpu = describe(gpus().back());
  const ConvKey key = key_of(layers()[2], ConvKind::forward);
  const auto free_choice = ConvPlan::build(key, {nullptr, &gpu});
  REQUIRE(free_choice != nullptr);
  CHECK(free_choice->workspace_bytes() <= cuda::Context::kMostConvWorkspace);
  const auto bounded = ConvPlan::build(key, {nullptr, &gpu}, 0);
  REQUIRE(bounded != nullptr);
  CHECK(bounded->workspace_bytes() == 0);
}

TEST_CASE("cudnn plans: bias is fused, ReLU only where it is known to keep a NaN") {
  const Descriptor gpu = describe(gpus().back());
  ConvKey key = key_of(layers()[2], ConvKind::forward);
  key.bias = true;
  const auto with_bias = ConvPlan::build(key, {nullptr, &gpu});
  if (with_bias != nullptr) CHECK_FALSE(with_bias->engine().has(kTensorCore));
  for (DType dtype : {DType::f32, DType::bf16}) {
    ConvKey with_relu = key_of(layers()[2], ConvKind::forward, dtype);
    with_relu.bias = with_relu.relu = true;
    const auto plan = ConvPlan::build(with_relu, {nullptr, &gpu});
    if (plan != nullptr) CHECK(plan->engine().compiled_at_run_time);
  }
}

// The other keys of the step: with bias and ReLU, and in all precisions.
std::vector<ConvKey> keys_of_layers() {
  std::vector<ConvKey> keys;
  for (const ConvCase& c : layers())
    for (ConvKind kind : kKinds)
      for (DType dtype : {DType::f32, DType::bf16})
        for (bool tf32 : {false, true}) {
          ConvKey key = key_of(c, kind, dtype);
          key.tf32 = tf32 && dtype == DType::f32;
          keys.push_back(key);
        }
  return keys;
}

TEST_CASE("cudnn plans: engines, knobs and ranked choices keep our rules and can be made again") {
  const Descriptor gpu = describe(gpus().back());
  for (const ConvKey& key : keys_of_layers()) {
    CAPTURE(to_text(key));
    const cuda::PlanOptions options = cuda::plan_options(key, {nullptr, &gpu});
    CHECK_FALSE(options.engines.empty());
    for (const cuda::TunableEngine& e : options.engines)
      for (const cuda::Knob& knob : e.knobs) {
        CHECK(knob.stride >= 1);
        CHECK(knob.least <= knob.most);
        CHECK_FALSE(cuda::values_of(knob).empty());
      }
    for (const cuda::EngineChoice& choice : options.ranked) {
      CAPTURE(to_text(choice));
      CHECK(std::ranges::any_of(options.engines,
                                [&](const auto& e) { return e.engine == choice.engine; }));
      const auto plan = ConvPlan::build(key, {nullptr, &gpu}, choice);
      if (plan != nullptr) CHECK(plan->choice() == choice);
    }
    const auto first = ConvPlan::build(key, {nullptr, &gpu});
    if (first != nullptr) CHECK(std::ranges::count(options.ranked, first->choice()) >= 1);
  }
}

TEST_CASE(
    "cudnn plans: a measured plan is taken, one that does not work or keep our rules is not") {
  const Descriptor gpu = describe(gpus().back());
  const ConvKey key = key_of(layers()[2], ConvKind::forward);
  const cuda::PlanTarget target{nullptr, &gpu};
  const auto heuristics = ConvPlan::build(key, target);
  REQUIRE(heuristics != nullptr);
  const auto build_with = [&](const cuda::EngineChoice& choice) {
    cuda::PlanTable table("H100", 91900);
    table.set(key, choice);
    return ConvPlan::build(key, {nullptr, &gpu, &table});
  };
  int others = 0;  // plans that only the table can ask for: other engines and other knobs
  for (const cuda::TunableEngine& e : cuda::plan_options(key, target).engines)
    for (const cuda::Knob& knob : e.knobs)
      for (int64_t value : cuda::values_of(knob)) {
        const cuda::EngineChoice choice{e.engine, {{knob.type, value}}};
        if (ConvPlan::build(key, target, choice) == nullptr) continue;
        const auto plan = build_with(choice);
        REQUIRE(plan != nullptr);
        CHECK(plan->choice().engine == e.engine);
        CHECK(plan->choice().knobs.at(knob.type) == value);
        CHECK_FALSE(plan->engine().has(kTensorCore));
        others += plan->choice() != heuristics->choice();
      }
  CHECK(others > 5);
  ConvKey in_tf32 = key;
  in_tf32.tf32 = true;
  const cuda::EngineChoice tensor_cores = ConvPlan::build(in_tf32, target)->choice();
  const cuda::EngineChoice unusable[] = {tensor_cores,
                                         {100000, {}},
                                         {heuristics->choice().engine, {{9999, 1}}},
                                         {heuristics->choice().engine, {{2, 1 << 20}}}};
  for (const cuda::EngineChoice& choice : unusable) {
    CAPTURE(to_text(choice));
    const auto plan = build_with(choice);
    REQUIRE(plan != nullptr);
    CHECK(plan->choice() == heuristics->choice());
  }
}

}  // namespace
}  // namespace versor::testing

#endif
#endif
