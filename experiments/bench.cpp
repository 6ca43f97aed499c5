// How fast one training step is, against its floor (floor.h), measured in turn in one process:
// medians, the ratio, the share of every primitive, and where the memory is.
//   bin/bench --device cpu --batch 128
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>

#include "experiments/floor.h"
#include "experiments/program.h"
#include "experiments/training_step.h"
#include "tensor/cpu/matmul.h"
#include "tensor/ops.h"
#include "tensor/replay.h"
#include "tensor/trace.h"

using namespace versor;

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double mib(size_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

void print_floor(const Floor& floor) {
  fmt::print("\nfloor: bare convolutions, ms each        per step    NHWC  own format  GFLOP/s\n");
  for (const FloorItem& i : floor.items()) {
    const double best = std::min(i.plain_seconds, i.any_seconds);
    fmt::print("  {:<40} {:>6} {:>9.3f} {:>10.3f} {:>9.1f}\n", i.conv.name(), i.conv.count,
               1e3 * i.plain_seconds, 1e3 * i.any_seconds, 1e-9 * i.conv.flops() / best);
  }
}

void print_profile(const std::map<std::string, ProfileEntry>& profile, int64_t steps) {
  std::vector<std::pair<std::string, ProfileEntry>> entries(profile.begin(), profile.end());
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0;
  for (const auto& [name, e] : entries) total += e.seconds;
  fmt::print("\nprimitive             calls  ms/step   share  GFLOP/s    GB/s\n");
  for (const auto& [name, e] : entries) {
    const auto per_step = static_cast<double>(steps);
    fmt::print("  {:<18} {:>6.0f} {:>8.3f} {:>6.1f}% {:>8.1f} {:>7.1f}\n", name,
               static_cast<double>(e.calls) / per_step, 1e3 * e.seconds / per_step,
               100 * e.seconds / total, 1e-9 * e.flops / e.seconds, 1e-9 * e.bytes / e.seconds);
  }
}

// Bytes of a step item by item: what stays, what forward keeps for backward, the rest of the peak.
void print_memory(VqVae& model, Adam& adam, const Tensor& images, float beta, MemoryPool& pool) {
  size_t parameters = 0, buffers = 0;
  for (const auto& p : model.parameters()) parameters += p.value().bytes();
  for (const auto& [name, b] : model.named_buffers()) buffers += b.value().bytes();
  adam.zero_grad();
  const size_t before = pool.current_bytes();
  pool.reset_peak();
  size_t after_forward = 0, peak_forward = 0;
  {
    const VqVaeOutput output = model(images);
    const VqVaeLoss loss = vqvae_loss(output, images, beta);
    after_forward = pool.current_bytes();
    peak_forward = pool.peak_bytes();
    backward(loss.total);
  }
  fmt::print("\ntensor memory, MiB\n");
  fmt::print(
      "  parameters {:.1f}, Adam's moments {:.1f}, codebook and its statistics {:.1f}, "
      "gradients {:.1f}, batch {:.1f}\n",
      mib(parameters), mib(2 * parameters), mib(buffers), mib(parameters), mib(images.bytes()));
  fmt::print("  kept from forward for backward {:.1f} (largest during forward {:.1f})\n",
             mib(after_forward - before), mib(peak_forward - before));
  fmt::print(
      "  peak of a step {:.1f} = before it {:.1f} (the first line, without gradients) + kept "
      "{:.1f} + gradients and passing tensors of backward {:.1f}\n",
      mib(pool.peak_bytes()), mib(before), mib(after_forward - before),
      mib(pool.peak_bytes() - after_forward));
}

// The rate of one large matrix product on this device, in flop/s: a 1x1 convolution is one, in
// either type.
double matmul_rate(Device device, DType type) {
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Time of a training step against the floor of its bare convolutions.");
  std::string device_name = "cpu", precision = "auto";
  int64_t batch = 128, latent = 256, codes = 1024, repeats = 7;
  int threads = 0;
  bool graph = true;
  const auto positive = CLI::Range(int64_t{1}, int64_t{1} << 20);
  app.add_option("--device", device_name)->check(kDeviceName)->capture_default_str();
  app.add_option("--batch,--batch-size", batch)->check(positive)->capture_default_str();
  app.add_option("--latent", latent)
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 16))
      ->capture_default_str();
  app.add_option("--codes", codes)->check(positive)->capture_default_str();
  app.add_option("--repeats", repeats, "medians are taken over so many")
      ->check(positive)
      ->capture_default_str();
  add_precision_option(app, precision);
  app.add_flag("!--no-graph", graph, "on a GPU, call every kernel of the step one by one");
  app.add_option("--threads", threads)->check(CLI::Range(1, 4096));
  return run_program(app, argc, argv, [&] {
    if (threads > 0) omp_set_num_threads(threads);
    const Device device = parse_device(device_name);
    precision = resolve_precision(precision, device);
    const float beta = 0.25f;
    VqVaeOptions options;
    options.codebook.latent = latent;
    options.codebook.codes = codes;
    options.activations = activations_of(precision);
    VqVae model(options, device, Rng(1));
    Adam adam(model.parameters());
    // Random images: what a step costs does not depend on what they show.
    const Tensor images = ops::uniform({batch, 32, 32, 3}, Rng(2), -1.f, 1.f, device);
    model.codebook().start_from(model.encode(images).value().flat_rows());
    Backend& backend = backend_for(device);
    MemoryPool& pool = backend.pool();

    const bool gpu = device.type == DeviceType::cuda;
    const auto convolutions = step_convolutions(batch, 32, latent);
    std::unique_ptr<Floor> floor;
    if (gpu) {
      const int64_t rows = batch * 64;  // latents are 8x8
      floor = device_floor(convolutions, rows, codes, latent, options.activations, device);
    } else if (cpu::use_onednn()) {
      floor = onednn_floor(convolutions);
    }
    const auto step = [&] { training_step(model, adam, images, beta); };
    const auto arena = std::make_shared<MemoryPool::Arena>(pool);
    Replay replay(backend, arena, graph);
    // On a GPU the host runs ahead of the device: only many steps together can be timed.
    const int64_t together = gpu ? 50 : 1;
    const auto timed = [&] {
      for (int64_t i = 0; i < together; ++i) replay.run(step);
      backend.synchronize();
    };
    timed();
    std::vector<double> times;
    for (int64_t i = 0; i < repeats; ++i) {
      if (floor) floor->measure_once();
      const size_t allocations = pool.raw_allocations();
      times.push_back(seconds_of(timed) / static_cast<double>(together));
      if (i > 0 && pool.raw_allocations() != allocations)
        fmt::print("note: the step allocated {} blocks\n", pool.raw_allocations() - allocations);
    }
    const std::string where = gpu ? device_name + ", " + backend.info().name : device_name;
    fmt::print("training step on {}, {} threads, {}{}: D {}, K {}, batch {}\n", where,
               omp_get_max_threads(), precision, replay.recorded() ? ", CUDA graph" : "", latent,
               codes, batch);
    fmt::print("step   {:8.3f} ms (median of {}, {:.3f} to {:.3f}), {:.0f} images/s\n",
               1e3 * median(times), repeats, 1e3 * *std::min_element(times.begin(), times.end()),
               1e3 * *std::max_element(times.begin(), times.end()),
               static_cast<double>(batch) / median(times));
    if (floor)
      fmt::print("floor  {:8.3f} ms\nratio  {:8.3f}\n", 1e3 * floor->seconds(),
                 median(times) / floor->seconds());
    else
      fmt::print("floor  not measured: this run has no oneDNN (reference kernels)\n");
    if (gpu) {
      double flops = 0;
      for (const StepConvolution& c : convolutions)
        flops += static_cast<double>(c.count) * c.flops();
      const double rate = flops / median(times), card = matmul_rate(device, options.activations);
      fmt::print("rate   {:8.1f} TFLOP/s of convolutions, {:.0f} % of a large product's {:.1f}\n",
                 1e-12 * rate, 100 * rate / card, 1e-12 * card);
    }
    step();  // called, not replayed: takes its memory from the pool
    {
      Profile profile;
      for (int64_t i = 0; i < 3; ++i) step();
      print_profile(profile.entries(), 3);
    }
    if (floor) print_floor(*floor);
    floor.reset();
    print_memory(model, adam, images, beta, pool);
    return 0;
  });
}
