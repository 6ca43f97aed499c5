// How the time of a training step grows with the number of ranks (experiments/SCALING.md).
//   mpirun -n 2 bin/scaling --json two.json      measures on the ranks at hand
//   bin/scaling --read two.json,four.json        a model fitted to such files, beside what they
//                                                measured, and evaluated for other machines
//   bin/scaling --noise-steps 1000               the gradient noise scale in a training
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/bench/noise_benchmark.h"
#include "experiments/bench/scaling_benchmark.h"
#include "experiments/cli/host_share.h"
#include "experiments/cli/program.h"
#include "experiments/run/option_table.h"
#include "nn/gradient_sums.h"
#include "tensor/file.h"

using namespace versor;

namespace {

constexpr double kGbit = 1e9 / 8;  // bytes

struct ScalingOptions {
  StepConfiguration what;
  RunOptions run;
  std::string precision = "auto", name, json;
  int64_t repeats = 7, noise_steps = 0;
  std::vector<std::string> read;
  double noise = 0;
};

void add_options(Options& app, ScalingOptions& o) {
  app.group("Measuring");
  app.add_option("--batch-size", o.what.batch, "of all ranks together")
      ->check(in_range(1, 1 << 16))
      ->capture_default_str();
  for (const char* name : {"--device", "--latent", "--codes", "--threads"})
    add_run_option(app, o.run, name);
  app.add_option("--precision", o.precision, "of activations and products")
      ->check(one_of(names_of<Precision>()))
      ->capture_default_str();
  app.add_option("--repeats", o.repeats, "each time is the least of so many")
      ->check(in_range(1, 1000))
      ->capture_default_str();
  app.add_option("--name", o.name, "of the measurement, for its line in tables");
  app.add_option("--json", o.json, "file for what was measured");
  app.add_option("--noise-steps", o.noise_steps,
                 "measures the gradient noise scale instead, in a training of so many steps")
      ->check(in_range(1, 1 << 20));
  for (const char* name : {"--data", "--data-dir", "--train-images"})
    add_run_option(app, o.run, name);
  app.group("The model");
  app.add_option("--read", o.read, "such files: measured and predicted, then other machines")
      ->delimiter(',');
  app.add_option("--noise", o.noise,
                 "gradient noise scale, in images: what larger batches are worth")
      ->check(number_in(0, 1e9, "X"));
}

// ---- measuring
// -----------------------------------------------------------------------------------
void print(const ScalingMeasurement& m) {
  fmt::print("{} rank{} on {} host{}, batch {}, D {}, K {}: step {:.1f} ms\n", m.ranks,
             m.ranks == 1 ? "" : "s", m.hosts, m.hosts == 1 ? "" : "s", m.what.batch, m.what.latent,
             m.what.codes, 1e3 * m.step_seconds);
  for (const Timed& t : m.steps)
    fmt::print("  step of {:4.0f} images alone {:10.2f} ms\n", t.x, 1e3 * t.seconds);
  for (const Timed& t : m.sums)
    fmt::print("  sum of {:10.0f} bytes {:12.3f} ms\n", t.x, 1e3 * t.seconds);
  if (m.ranks == 1) return;
  const Link link = m.link(SumBy::blocks);
  fmt::print("  fitted: {:.3f} ms a round, {:.2f} Gbit/s out of each rank\n", 1e3 * link.latency,
             link.bandwidth / kGbit);
  fmt::print(
      "  bytes to sum in a step: {:.0f} of gradients, {:.0f} of the codebook and others, "
      "{:.0f} waits\n",
      m.gradient_bytes, m.statistics_bytes, m.waits);
}

void take_run_options(ScalingOptions& o, Communicator& ranks) {
  o.what.device = o.run.device;
  o.what.latent = o.run.latent;
  o.what.codes = o.run.codes;
  o.what.threads = share_cores(ranks, o.run.threads).rank;
  o.what.precision = resolve_precision(parse_name<Precision>(o.precision), o.what.device);
}

void measure(const ScalingOptions& o, Communicator& ranks) {
  const ScalingMeasurement m = measure_scaling(o.what, o.repeats, o.name, ranks);
  at_root(ranks, [&] {
    print(m);
    if (!o.json.empty()) write_file(o.json, to_json(m).dump(2) + "\n");
  });
}

void print_noise(const ScalingOptions& o) {
  fmt::print("{:>6} {:>12} {:>12} {:>14}\n", "step", "|G|^2", "tr Sigma", "noise, images");
  measure_noise(o.what, load_data(o.run).train, o.noise_steps, [](const NoiseAt& at) {
    fmt::print("{:>6} {:>12.3e} {:>12.3e} {:>14.0f}\n", at.step, at.noise.gradient_norm2,
               at.noise.covariance_trace, at.noise.images());
    std::fflush(stdout);
  });
}

// ---- measured and predicted
// ----------------------------------------------------------------------
void compare(const std::vector<ScalingMeasurement>& all) {
  fmt::print(
      "Measured and predicted, ms. A step on n ranks is predicted from the same ranks' steps "
      "without "
      "communication and their sums by\nthemselves. \"hidden\": gradients travel while backward "
      "computes; \"in turn\": nothing overlaps, as where the cores that compute also "
      "communicate.\n\n");
  fmt::print("{:<24} {:>5} {:>5} {:>9} {:>9} {:>9} {:>8} {:>8} {:>9}\n", "", "ranks", "hosts",
             "ms/round", "Gbit/s", "compute", "hidden", "in turn", "measured");
  for (const ScalingMeasurement& m : all) {
    if (m.ranks == 1) {
      fmt::print("{:<24} {:>5} {:>5} {:>9} {:>9} {:>9.1f} {:>8} {:>8} {:>9.1f}\n", m.name, 1, 1, "",
                 "", 1e3 * m.cost().compute.seconds(m.images_per_rank()), "", "",
                 1e3 * m.step_seconds);
      continue;
    }
    const Link link = m.link(SumBy::blocks);
    const auto time = [&](double overlap) {
      return predict(m.cost(), m.images_per_rank(), m.ranks, link, SumBy::blocks, overlap);
    };
    fmt::print("{:<24} {:>5} {:>5} {:>9.3f} {:>9.2f} {:>9.1f} {:>8.1f} {:>8.1f} {:>9.1f}\n", m.name,
               m.ranks, m.hosts, 1e3 * link.latency, link.bandwidth / kGbit, 1e3 * time(1).compute,
               1e3 * time(1).total(), 1e3 * time(0).total(), 1e3 * m.step_seconds);
  }
}

// ---- other machines
// ------------------------------------------------------------------------------
struct Machine {
  const char* name;
  StepCost cost;
  Link link;
  SumBy by;
  double overlap;
  std::vector<int64_t> ranks;
};

// The model of the paper's size: 5,782,019 weights; K = 1,024 codes of D = 256 numbers and counts.
StepCost paper_step(const ComputeCost& compute) {
  StepCost cost;
  cost.compute = compute;
  cost.backward_share = 0.6;
  cost.gradient_bytes = 4.0 * 5'782'019;
  cost.bucket_bytes = static_cast<double>(GradientSums::kBucketBytes);
  cost.statistics_bytes = 4.0 * 1024 * 257;
  cost.waits = 6;
  return cost;
}

std::vector<Machine> machines() {
  // recorded/h100: 1.392 ms for 128 images in bf16. Assumed: 0.3 ms of it do not depend on the
  // images (Adam 0.07, a hundred small kernels); four fifths of the line's rate; 10 us a round.
  const double gpu = 1.392e-3, gpu_fixed = 0.3e-3;
  // recorded/speed-fewer-multiplications: 265 ms for 128 images on two cores, of which 10 ms are
  // fixed.
  const double cpu = 0.265, cpu_fixed = 0.01;
  return {{"GPUs (H100, bf16), 400 Gbit/s each, NCCL",
           paper_step({gpu_fixed, (gpu - gpu_fixed) / 128}),
           {10e-6, 0.8 * 400 * kGbit},
           SumBy::tree,
           1,
           {1, 8, 64, 1024}},
          {"CPU hosts (2 cores, f32), 10 Gbit/s each, MPI",
           paper_step({cpu_fixed, (cpu - cpu_fixed) / 128}),
           {50e-6, 0.8 * 10 * kGbit},
           SumBy::blocks,
           0,
           {1, 2, 4, 8}}};
}

void evaluate(const Machine& machine, bool per_rank, double noise) {
  fmt::print("\n{}; {}\n", machine.name, per_rank ? "128 images per rank" : "128 images in all");
  fmt::print("{:>6} {:>7} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>11} {}\n", "ranks", "batch",
             "compute", "gradients", "hidden", "codebook", "step ms", "images/s", "efficiency",
             noise > 0 ? "  to a loss" : "");
  const double one =
      predict(machine.cost, 128, 1, machine.link, machine.by, machine.overlap).total();
  for (const int64_t ranks : machine.ranks) {
    const int64_t batch = per_rank ? 128 * ranks : 128;
    if (ranks > batch) {
      fmt::print("{:>6} {:>7} more ranks than images: {} would repeat the work of others\n", ranks,
                 batch, ranks - batch);
      continue;
    }
    const auto share = static_cast<double>(batch) / static_cast<double>(ranks);
    const StepTime t =
        predict(machine.cost, share, ranks, machine.link, machine.by, machine.overlap);
    const double rate = static_cast<double>(batch) / t.total();
    fmt::print("{:>6} {:>7} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>12.0f} {:>10.0f}%",
               ranks, batch, 1e3 * t.compute, 1e3 * t.gradients, 1e3 * t.hidden,
               1e3 * (t.statistics + t.waits), 1e3 * t.total(), rate,
               100 * rate * one / 128 / static_cast<double>(ranks));
    if (noise > 0)
      fmt::print("  {:.3f}", t.total() * relative_steps(static_cast<double>(batch), noise) /
                                 (one * relative_steps(128, noise)));
    fmt::print("\n");
  }
}

void print_codebooks() {
  constexpr double kMillion = 1 << 20, kLatent = 256;
  fmt::print(
      "\nA codebook of K = 1,048,576 codes of 256 numbers: bytes out of each rank in a step\n");
  fmt::print("{:>6} {:>7} {:>22} {:>22}\n", "ranks", "batch", "on every rank", "K / n on each");
  for (const int64_t ranks : {8, 64, 1024}) {
    const int64_t batch = 128 * ranks;
    fmt::print("{:>6} {:>7} {:>20.1f} M {:>20.1f} M\n", ranks, batch,
               1e-6 * replicated_codebook_bytes(kMillion, kLatent, ranks),
               1e-6 * sharded_codebook_bytes(64.0 * static_cast<double>(batch), kLatent, ranks));
  }
}

void print_model(const ScalingOptions& o) {
  std::vector<ScalingMeasurement> all;
  for (const std::string& path : o.read) all.push_back(read_scaling(path));
  compare(all);
  fmt::print(
      "\nA MODEL, NOT A MEASUREMENT: steps at the paper's size (D 256, K 1024) on machines that "
      "nobody here has run.\nTimes in ms; the assumptions are in experiments/SCALING.md.\n");
  if (o.noise > 0)
    fmt::print(
        "\"to a loss\": time relative to one rank with 128 images, for a noise scale of {} "
        "images.\n",
        o.noise);
  for (const Machine& machine : machines())
    for (const bool per_rank : {false, true}) evaluate(machine, per_rank, o.noise);
  print_codebooks();
}

}  // namespace

int main(int argc, char** argv) {
  Options app("The time of a training step on several ranks: measures it, and models it for more.");
  ScalingOptions options;
  add_options(app, options);
  return run_parallel_program(app, argc, argv, [&](Communicator& ranks) {
    take_run_options(options, ranks);
    if (!options.read.empty())
      at_root(ranks, [&] { print_model(options); });
    else if (options.noise_steps > 0)
      at_root(ranks, [&] { print_noise(options); });
    else
      measure(options, ranks);
    return 0;
  });
}
