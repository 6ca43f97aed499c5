// Plans measured on the card: see tuning.h.
#include "tensor/cuda/tuning.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tensor/cuda/backend.h"
#include "tensor/cuda/conv_plan.h"
#include "tensor/ops.h"
#include "tensor/replay.h"

namespace versor::cuda {
namespace {

constexpr int64_t kSampled = 512;
constexpr int kLaunches = 12, kRounds = 5;
constexpr int64_t kMoreThanCache = int64_t{192} << 20;  // bytes; 50 MiB are in an H100's

using Event = Handle<cudaEvent_t, cudaEventDestroy>;

CudaBackend& backend_of(Device gpu) {
  return dynamic_cast<CudaBackend&>(backend_for(gpu));
}

Event make_event() {
  Event event;
  CUDA_CHECK(cudaEventCreateWithFlags(event.address(), cudaEventDisableTiming));
  return event;
}

// What cuDNN enqueues while one lives goes to another stream.
class OnStream {
 public:
  OnStream(const Context& context, cudaStream_t stream)
      : dnn_(context.dnn()), before_(context.stream()) {
    CUDNN_CHECK(cudnnSetStream(dnn_, stream));
  }
  ~OnStream() { cudnnSetStream(dnn_, before_); }
  cudnnHandle_t dnn() const { return dnn_; }  // context.dnn() would set the stream back
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;

 private:
  cudnnHandle_t dnn_;
  cudaStream_t before_;
};

// Median seconds of one of the kLaunches launches of `work(i)`, captured as one graph.
double time_captured(CudaBackend& backend, const std::function<void(int)>& work) {
  Replay replay(backend, std::make_shared<MemoryPool::Arena>(backend.pool()), true);
  const auto all = [&] {
    for (int i = 0; i < kLaunches; ++i) work(i);
  };
  for (int i = 0; i < 3; ++i) replay.run(all);  // loads the kernels, captures, warms up
  std::vector<double> seconds;
  for (int round = 0; round < kRounds; ++round) {
    backend.synchronize();
    const auto start = std::chrono::steady_clock::now();
    replay.run(all);
    backend.synchronize();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    seconds.push_back(elapsed.count() / kLaunches);
  }
  std::ranges::nth_element(seconds, seconds.begin() + kRounds / 2);
  return seconds[kRounds / 2];
}

}  // namespace

struct ConvTuner::State {
  // x, weight and y; on the host, as f32, what the device has.
  struct Tensors {
    Tensor x, weight, y;
    Tensor& result(ConvKind kind) {
      return kind == ConvKind::forward ? y : kind == ConvKind::grad_input ? x : weight;
    }
  };

  Device device;
  CudaBackend& backend;
  ConvKey key;
  Tensor bias, host_bias;
  Tensors host;
  std::vector<Tensors> sets;
  std::vector<int64_t> sampled;  // elements of the result
  std::vector<double> exact;
  std::unique_ptr<ConvPlan> plan;
  DeviceBuffer workspace;
  size_t workspace_bytes = 0;

  State(Device gpu, const ConvKey& k) : device(gpu), backend(backend_of(gpu)), key(k) {
    const auto noise = [](const Shape& shape, int seed, DType type) {
      const Tensor values = ops::uniform(shape, Rng(seed), -1.f, 1.f, Device{});
      return ops::cast(ops::cast(values, type), DType::f32);
    };
    const int64_t rows = key.out_h(), columns = key.out_w();
    const bool of_weight = key.kind == ConvKind::grad_weight;
    const DType weight_type = of_weight ? DType::f32 : key.dtype;
    host = {noise({key.N, key.H, key.W, key.I}, 1, key.dtype),
            noise({key.O, key.kh, key.kw, key.I}, 2, weight_type),
            noise({key.N, rows, columns, key.O}, 3, key.dtype)};
    host_bias = noise({key.kind == ConvKind::forward ? key.O : key.I}, 4, DType::f32);
    bias = host_bias.to(device);
    const Tensors first{ops::cast(host.x.to(device), key.dtype),
                        ops::cast(host.weight.to(device), weight_type),
                        ops::cast(host.y.to(device), key.dtype)};
    const auto bytes =
        static_cast<int64_t>(first.x.bytes() + first.weight.bytes() + first.y.bytes());
    const int64_t count = std::clamp<int64_t>(kMoreThanCache / bytes + 1, 1, kLaunches);
    for (int64_t i = 0; i < count; ++i)
      sets.push_back({ops::clone(first.x), ops::clone(first.weight), ops::clone(first.y)});
    find_exact();
  }

  void find_exact() {
    const int64_t numel = host.result(key.kind).numel();
    const Rng rng(5);
    for (int64_t i = 0; i < std::min(kSampled, numel); ++i) {
      sampled.push_back(
          std::min(static_cast<int64_t>(rng.uniform(i) * static_cast<float>(numel)), numel - 1));
      exact.push_back(exact_element(key,
                                    {host.x.data<float>(), host.weight.data<float>(),
                                     host.y.data<float>(), host_bias.data<float>()},
                                    sampled.back()));
    }
  }

  void launch(int i) { launch(i, backend.context().dnn()); }
  void launch(int i, cudnnHandle_t dnn) {
    Tensors& t = sets[static_cast<size_t>(i) % sets.size()];
    plan->execute(
        dnn,
        {t.x.address(), t.weight.address(), t.y.address(), key.bias ? bias.address() : nullptr},
        workspace.get());
  }

  // Of the result of a launch on the first tensors.
  double error() {
    const Tensor result = ops::cast(sets[0].result(key.kind), DType::f32).to(Device{});
    double difference = 0, whole = 0;
    for (size_t i = 0; i < sampled.size(); ++i) {
      difference += std::pow(result.data<float>()[sampled[i]] - exact[i], 2);
      whole += exact[i] * exact[i];
    }
    return std::sqrt(difference / whole);
  }

  std::optional<PlanTiming> measure(std::unique_ptr<ConvPlan> candidate) {
    if (candidate == nullptr) return std::nullopt;
    plan = std::move(candidate);
    if (plan->workspace_bytes() > workspace_bytes) {
      workspace = {};
      workspace_bytes = 0;  // also if the next line throws
      CUDA_CHECK(cudaMalloc(workspace.address(), plan->workspace_bytes()));
      workspace_bytes = plan->workspace_bytes();
    }
    PlanTiming t{plan->choice(), plan->engine().compiled_at_run_time, plan->workspace_bytes(), 0,
                 0};
    time(t, [&](int i) { launch(i); });
    return t;
  }

  void time(PlanTiming& t, const std::function<void(int)>& work) {
    ops::fill(sets[0].result(key.kind), NAN);
    t.seconds = time_captured(backend, work);
    t.error = error();
  }

  void call_primitive(int i) {
    Tensors& t = sets[static_cast<size_t>(i) % sets.size()];
    const Epilogue epilogue{key.bias ? bias : Tensor(), key.relu};
    const Conv2dParams params{key.stride, key.padding};
    if (key.kind == ConvKind::forward)
      backend.conv2d(t.y, t.x, t.weight, epilogue, params);
    else if (key.kind == ConvKind::grad_input)
      backend.conv2d_grad_input(t.x, t.y, t.weight, epilogue, params);
    else
      backend.conv2d_grad_weight(t.weight, t.x, t.y, params);
  }

  PlanTarget target() const { return {backend.context().dnn(), nullptr, nullptr}; }
};

PlanTable empty_table(Device gpu) {
  return {backend_of(gpu).context().properties().name, cudnn_version()};
}

double error_bound(const ConvKey& key) {
  if (key.tf32) return 1e-3;
  if (key.dtype == DType::f32) return 1e-5;
  // The sum of a weight gradient stays f32. Tensor cores cut sums off where f32 rounds (Fasi et
  // al., 2021): about 1e-5 for the 8,192 terms of the largest. Partial sums in bf16 are 1e-3 off.
  return key.kind == ConvKind::grad_weight ? 1e-4 : 5e-3;
}

ConvTuner::ConvTuner(Device gpu, const ConvKey& key) : state_(std::make_unique<State>(gpu, key)) {}

ConvTuner::~ConvTuner() = default;

PlanOptions ConvTuner::options() {
  return plan_options(state_->key, state_->target());
}

std::optional<PlanTiming> ConvTuner::measure(const EngineChoice& choice) {
  return state_->measure(ConvPlan::build(state_->key, state_->target(), choice));
}

std::optional<PlanTiming> ConvTuner::measure_in_use() {
  PlanTarget target = state_->target();
  target.tuned = &plans_in_use(state_->device);
  return state_->measure(ConvPlan::build(state_->key, target));
}

PlanTiming ConvTuner::measure_primitive(const BackendOptions& options) {
  state_->backend.configure(options);
  PlanTiming t{};
  state_->time(t, [&](int i) { state_->call_primitive(i); });
  return t;
}

ConvTuner::Pair ConvTuner::measure_pair(ConvTuner& a, ConvTuner& b) {
  CudaBackend& backend = a.state_->backend;
  const cudaStream_t stream = backend.stream();
  Handle<cudaStream_t, cudaStreamDestroy> other;
  CUDA_CHECK(cudaStreamCreateWithFlags(other.address(), cudaStreamNonBlocking));
  const Event fork = make_event(), join = make_event();
  Pair seconds{};
  seconds.one_stream = time_captured(backend, [&](int i) {
    a.state_->launch(i);
    b.state_->launch(i);
  });
  seconds.two_streams = time_captured(backend, [&](int i) {
    CUDA_CHECK(cudaEventRecord(fork, stream));
    CUDA_CHECK(cudaStreamWaitEvent(other, fork));
    a.state_->launch(i);
    {
      const OnStream scope(backend.context(), other);
      b.state_->launch(i, scope.dnn());
    }
    CUDA_CHECK(cudaEventRecord(join, other));
    CUDA_CHECK(cudaStreamWaitEvent(stream, join));
  });
  return seconds;
}

}  // namespace versor::cuda
