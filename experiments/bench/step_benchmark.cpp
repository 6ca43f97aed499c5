// What bin/bench measures: see step_benchmark.h.
#include "experiments/bench/step_benchmark.h"

#include <omp.h>

#include <algorithm>
#include <chrono>

#include "data/batcher.h"
#include "data/synthetic.h"
#include "experiments/report/statistics.h"
#include "experiments/run/metrics.h"
#include "tensor/cpu/matmul.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr float kBeta = 0.25f;
constexpr int64_t kTogether = 50;  // steps on a GPU that are timed together
constexpr int64_t kProfiled = 3;   // steps whose primitives are timed one by one
constexpr uint64_t kImageSeed = 2;

std::vector<StepConvolution> convolutions_of(const StepConfiguration& what) {
  return step_convolutions(what.batch, what.image, what.latent, what.downsampling);
}

bool on_gpu(const StepConfiguration& what) {
  return what.device.type == DeviceType::cuda;
}

// Bytes read and written per second by a copy that does not fit any cache.
double rate_of_copy(Device device) {
  const Tensor x = ops::full({int64_t{1} << 26}, 1.f, device);
  Tensor y(x.shape(), DType::f32, device);
  std::vector<double> times;
  for (int i = 0; i < 5; ++i)
    times.push_back(seconds_of([&] {
      ops::copy(y, x);
      backend_for(device).synchronize();
    }));
  return 2.0 * static_cast<double>(x.bytes()) / median(times);
}

// The rate of a large matrix product on this device, in flop/s; a 1x1 convolution is one, in either
// type.
double rate_of_product(Device device, DType type) {
  const int64_t rows = 16384, inner = 4096, columns = 4096;
  const auto noise = [&](const Shape& shape) {
    return ops::cast(ops::uniform(shape, Rng(3), -1.f, 1.f, device), type);
  };
  const Tensor x = noise({1, rows, 1, inner}), w = noise({columns, 1, 1, inner});
  Tensor y({1, rows, 1, columns}, type, device);
  Backend& backend = backend_for(device);
  std::vector<double> times;
  for (int i = 0; i < 8; ++i)
    times.push_back(seconds_of([&] {
      for (int repeat = 0; repeat < 5; ++repeat) backend.conv2d(y, x, w, {}, {});
      backend.synchronize();
    }));
  return 5 * 2.0 * static_cast<double>(rows * inner * columns) / median(times);
}

// Measures step and floor alternately.
void measure_in_turn(StepBenchmark& benchmark, int64_t repeats, StepMeasurement& m) {
  const auto floor = make_floor(m.what, m.no_floor);
  MemoryPool& pool = backend_for(m.what.device).pool();
  for (int64_t i = 0; i < repeats; ++i) {
    if (floor) floor->measure_once();
    const size_t allocations = pool.raw_allocations();
    m.seconds.push_back(benchmark.time());
    if (i > 0) m.allocations += pool.raw_allocations() - allocations;
  }
  m.captured = benchmark.captured();
  if (!floor) return;
  m.floor = floor->items();
  m.floor_seconds = floor->seconds();
}

StepMeasurement measure(const StepConfiguration& what, int64_t repeats, bool in_detail) {
  StepMeasurement m;
  m.what = what;
  StepBenchmark benchmark(what);
  m.memory = benchmark.memory();
  measure_in_turn(benchmark, repeats, m);
  if (!in_detail) return m;
  m.profiled_steps = kProfiled;
  m.profile = benchmark.profile(kProfiled);
  m.copy_rate = rate_of_copy(what.device);
  if (on_gpu(what)) m.product_rate = rate_of_product(what.device, activations_of(what.precision));
  return m;
}

// The trainer's pass over a set of images (trainer.cpp), without pictures and checkpoints.
class EpochPass {
 public:
  EpochPass(StepBenchmark& benchmark, const StepConfiguration& what, const Dataset& images)
      : benchmark_(benchmark),
        what_(what),
        batcher_(images, what.batch, what.device),
        order_(batcher_.in_order()),
        number_(ops::zeros({1}, what.device, DType::i32)),
        log_(batcher_.batches(), {1, what.codes}, what.device),
        guard_(number_),
        metrics_({1, what.codes}),
        replay_(backend_for(what.device), benchmark.arena(), what.graph) {}

  void begin(int64_t epoch) {
    order_.take(batcher_.shuffled(Rng(5), epoch));
    ops::fill(number_, 0.f);
    taken_ = done_ = 0;
  }

  void steps(int64_t count) {
    for (int64_t i = 0; i < count; ++i, ++done_) {
      order_.fetch(done_);
      replay_.run([&] {
        const Tensor images = order_.batch_at(number_, what_.batch);
        const StepResult result =
            training_step(benchmark_.model(), benchmark_.adam(), images, kBeta, &guard_);
        log_.record(result, number_);
        ops::increment(number_);
      });
    }
    check(!guard_.found(), "bench", "a tensor of the epoch is not finite");
    metrics_.add(log_, taken_, done_);
    taken_ = done_;
  }

 private:
  StepBenchmark& benchmark_;
  StepConfiguration what_;
  Batcher batcher_;
  Epoch order_;
  Tensor number_;  // i32 [1], of the batch
  MetricsLog log_;
  FiniteGuard guard_;
  PassMetrics metrics_;
  Replay replay_;
  int64_t taken_ = 0, done_ = 0;
};

}  // namespace

VqVaeOptions model_of(const StepConfiguration& what) {
  VqVaeOptions options;
  options.quantizer.codebook.latent = what.latent;
  options.quantizer.codebook.codes = what.codes;
  options.downsampling = what.downsampling;
  options.activations = activations_of(what.precision);
  return options;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double StepMeasurement::step_seconds() const {
  return median(seconds);
}

double StepMeasurement::flops() const {
  double sum = 0;
  for (const StepConvolution& c : convolutions_of(what))
    sum += static_cast<double>(c.count) * c.flops();
  return sum;
}

double StepMeasurement::bytes() const {
  double sum = 0;
  for (const auto& [name, entry] : profile) sum += entry.bytes;
  return sum / static_cast<double>(profiled_steps);
}

StepBenchmark::StepBenchmark(const StepConfiguration& what)
    : StepBenchmark(what,
                    [&] { return std::make_unique<VqVae>(model_of(what), what.device, Rng(1)); }) {}

StepBenchmark::StepBenchmark(const StepConfiguration& what, const MakeModel& make)
    : what_(what),
      backend_(backend_for(what.device)),
      bytes_of_others_(backend_.pool().current_bytes()),
      arena_(std::make_shared<MemoryPool::Arena>(backend_.pool())),
      model_(make()),
      adam_(model_->flat_parameters()),
      images_(ops::uniform({what.batch, what.image, what.image, 3}, Rng(kImageSeed), -1.f, 1.f,
                           what.device)),
      replay_(backend_, arena_, what.graph && model_->capturable()) {
  omp_set_num_threads(what.threads);
  model_->start_codebooks(1, [&](int64_t) { return std::vector{images_}; });
  time();  // warms up: the library's primitives, the pool, a capture
}

double StepBenchmark::time() {
  omp_set_num_threads(what_.threads);
  const int64_t steps = on_gpu(what_) ? kTogether : 1;
  const double seconds = seconds_of([&] {
    for (int64_t i = 0; i < steps; ++i)
      replay_.run([&] { training_step(*model_, adam_, images_, kBeta); });
    backend_.synchronize();
  });
  return seconds / static_cast<double>(steps);
}

StepMemory StepBenchmark::memory() {
  // A step that is called, not replayed, allocates from the pool, which counts the bytes.
  StepMemory m;
  for (const auto& p : model_->parameters()) m.parameters += p.value().bytes();
  for (const auto& [name, b] : model_->named_buffers()) m.codebook += b.value().bytes();
  m.moments = 2 * m.parameters;
  m.batch = images_.bytes();
  MemoryPool& pool = backend_.pool();
  adam_.zero_grad();
  const size_t before = pool.current_bytes();
  pool.reset_peak();
  {
    const VqVaeOutput output = [&] {
      const ParameterCopies copies(model_->flat_parameters(), model_->options().activations);
      return (*model_)(images_);
    }();
    const VqVaeLoss loss = vqvae_loss(output, images_, kBeta);
    m.saved = pool.current_bytes() - before;
    m.forward_peak = pool.peak_bytes() - before;
    backward(loss.total);
    adam_.step();
  }
  m.before = before - bytes_of_others_;
  m.peak = pool.peak_bytes() - bytes_of_others_;
  return m;
}

std::map<std::string, ProfileEntry> StepBenchmark::profile(int64_t steps) {
  const auto step = [&] { training_step(*model_, adam_, images_, kBeta); };
  step();  // warms up: called, not replayed, so that it allocates from the pool
  Profile profile;
  for (int64_t i = 0; i < steps; ++i) step();
  return profile.entries();
}

std::unique_ptr<Floor> make_floor(const StepConfiguration& what, std::string& why) {
  const auto convolutions = convolutions_of(what);
  const DType type = activations_of(what.precision);
  omp_set_num_threads(what.threads);
  if (on_gpu(what)) {
    const int64_t side = what.image / what.downsampling, rows = what.batch * side * side;
    return device_floor(convolutions, rows, what.codes, what.latent, type, what.device);
  }
  if (!cpu::use_onednn()) {
    why = "this run has no oneDNN (reference kernels)";
  } else if (type == DType::bf16 && !cpu::has_bf16_products()) {
    why = "this CPU has no bf16 instructions (AVX-512 BF16, AMX)";
  } else {
    return onednn_floor(convolutions, type);
  }
  return nullptr;
}

StepMeasurement measure_step(const StepConfiguration& what, int64_t repeats) {
  return measure(what, repeats, false);
}

StepMeasurement measure_step_in_detail(const StepConfiguration& what, int64_t repeats) {
  return measure(what, repeats, true);
}

TimeRatio measure_ratio(const std::function<double()>& time, const std::function<double()>& other,
                        int64_t repeats) {
  std::vector<double> seconds, ratios;
  for (int64_t i = 0; i < repeats; ++i) {
    const double reference = other();
    seconds.push_back(time());
    ratios.push_back(seconds.back() / reference);
  }
  return {median(seconds), median(ratios)};
}

EpochMeasurement measure_epoch(const StepConfiguration& what, int64_t batches) {
  // Metrics are read from a GPU only now and then, on the CPU after every step.
  const int64_t block = on_gpu(what) ? kTogether : 1;
  EpochMeasurement m{what, batches};
  const Dataset images = synthetic_images(batches * what.batch, 1).train;
  StepBenchmark benchmark(what);
  EpochPass pass(benchmark, what, images);
  pass.begin(0);
  pass.steps(std::min(block, batches));  // warms up
  std::vector<double> ratios;
  for (int64_t done = 0; done < batches; done += block) {
    const int64_t count = std::min(block, batches - done);
    const double epoch = seconds_of([&] {
      if (done == 0) pass.begin(1);
      pass.steps(count);
    });
    const double steps = static_cast<double>(count) * benchmark.time();
    m.epoch_seconds += epoch;
    m.step_seconds += steps;
    ratios.push_back(epoch / steps);
  }
  m.ratio = median(ratios);
  return m;
}

}  // namespace versor
