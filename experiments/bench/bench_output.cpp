// Text and JSON of bin/bench: see bench_output.h.
#include "experiments/bench/bench_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace versor {
namespace {

using Json = nlohmann::ordered_json;

double mib(size_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

double images_per_second(const StepMeasurement& m) {
  return static_cast<double>(m.what.batch) / m.step_seconds();
}

double peak_to_needed(const StepMemory& m) {
  return static_cast<double>(m.peak) / static_cast<double>(m.needed());
}

double best_seconds(const FloorItem& i) {
  return std::min(i.plain_seconds, i.any_seconds);
}

std::string where(const StepConfiguration& what) {
  std::string text = str(what.device);
  if (what.device.type == DeviceType::cuda) text += ", " + backend_for(what.device).info().name;
  return text;
}

// The primitives of a step, the slowest first.
struct ProfileRow {
  std::string name;
  double calls, seconds, share, flop_rate, byte_rate;  // of one step; rates per second
};
std::vector<ProfileRow> profile_rows(const StepMeasurement& m) {
  double total = 0;
  for (const auto& [name, e] : m.profile) total += e.seconds;
  const auto steps = static_cast<double>(m.profiled_steps);
  std::vector<ProfileRow> rows;
  for (const auto& [name, e] : m.profile)
    rows.push_back({name, static_cast<double>(e.calls) / steps, e.seconds / steps,
                    e.seconds / total, e.flops / e.seconds, e.bytes / e.seconds});
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return rows;
}

void print_rates(const StepMeasurement& m) {
  const double rate = m.flops() / m.step_seconds();
  if (m.product_rate > 0)
    fmt::print("rate   {:8.1f} TFLOP/s of convolutions, {:.0f} % of a large product's {:.1f}\n",
               1e-12 * rate, 100 * rate / m.product_rate, 1e-12 * m.product_rate);
  else
    fmt::print("rate   {:8.1f} GFLOP/s of convolutions\n", 1e-9 * rate);
  fmt::print("memory {:8.1f} GB/s through the primitives' tensors; a large copy: {:.1f} GB/s\n",
             1e-9 * m.bytes() / m.step_seconds(), 1e-9 * m.copy_rate);
}

void print_profile(const StepMeasurement& m) {
  fmt::print("\nprimitive             calls  ms/step   share  GFLOP/s    GB/s\n");
  for (const ProfileRow& r : profile_rows(m))
    fmt::print("  {:<18} {:>6.0f} {:>8.3f} {:>6.1f}% {:>8.1f} {:>7.1f}\n", r.name, r.calls,
               1e3 * r.seconds, 100 * r.share, 1e-9 * r.flop_rate, 1e-9 * r.byte_rate);
}

void print_floor(const StepMeasurement& m) {
  fmt::print("\nfloor: bare convolutions, ms each        per step    NHWC  own format  GFLOP/s\n");
  for (const FloorItem& i : m.floor)
    fmt::print("  {:<40} {:>6} {:>9.3f} {:>10.3f} {:>9.1f}\n", i.conv.name(), i.conv.count,
               1e3 * i.plain_seconds, 1e3 * i.any_seconds, 1e-9 * i.conv.flops() / best_seconds(i));
}

void print_memory(const StepMemory& m) {
  fmt::print("\ntensor memory, MiB\n");
  fmt::print("  {:<20} {:8.1f}  kept from forward for backward (most in forward {:.1f})\n",
             "saved activations", mib(m.saved), mib(m.forward_peak));
  fmt::print("  {:<20} {:8.1f}\n  {:<20} {:8.1f}\n  {:<20} {:8.1f}\n", "parameters",
             mib(m.parameters), "gradients", mib(m.parameters), "Adam's moments", mib(m.moments));
  fmt::print("  {:<20} {:8.1f}  the four above\n", "needed", mib(m.needed()));
  fmt::print("  {:<20} {:8.1f}  and its statistics\n  {:<20} {:8.1f}\n", "codebook",
             mib(m.codebook), "batch", mib(m.batch));
  fmt::print("  {:<20} {:8.1f}  = {:.2f} x needed\n", "peak of a step", mib(m.peak),
             peak_to_needed(m));
}

Json to_json(const StepMemory& m) {
  return {{"saved_activations", m.saved},
          {"parameters", m.parameters},
          {"gradients", m.parameters},
          {"moments", m.moments},
          {"needed", m.needed()},
          {"codebook", m.codebook},
          {"batch", m.batch},
          {"before_step", m.before},
          {"forward_peak", m.forward_peak}};
}

Json to_json(const StepConfiguration& c) {
  return {{"device", str(c.device)}, {"precision", name_of(c.precision)},
          {"threads", c.threads},    {"batch", c.batch},
          {"latent", c.latent},      {"codes", c.codes},
          {"image", c.image},        {"downsampling", c.downsampling}};
}

}  // namespace

void print(const StepMeasurement& m) {
  const auto [least, most] = std::minmax_element(m.seconds.begin(), m.seconds.end());
  const StepConfiguration usual;
  const bool is_usual = m.what.image == usual.image && m.what.downsampling == usual.downsampling;
  fmt::print("training step on {}, {} threads, {}{}: D {}, K {}, batch {}{}\n", where(m.what),
             m.what.threads, name_of(m.what.precision), m.captured ? ", CUDA graph" : "",
             m.what.latent, m.what.codes, m.what.batch,
             is_usual ? ""
                      : fmt::format(", images {0} x {0}, downsampling {1}", m.what.image,
                                    m.what.downsampling));
  fmt::print("step   {:8.3f} ms (median of {}, {:.3f} to {:.3f}), {:.0f} images/s\n",
             1e3 * m.step_seconds(), m.seconds.size(), 1e3 * *least, 1e3 * *most,
             images_per_second(m));
  if (m.no_floor.empty())
    fmt::print("floor  {:8.3f} ms\nratio  {:8.3f}\n", 1e3 * m.floor_seconds,
               m.step_seconds() / m.floor_seconds);
  else
    fmt::print("floor  not measured: {}\n", m.no_floor);
  if (m.allocations > 0) fmt::print("note: the steps allocated {} blocks\n", m.allocations);
  print_rates(m);
  print_profile(m);
  if (!m.floor.empty()) print_floor(m);
  print_memory(m.memory);
  fmt::print("\n");
  std::fflush(stdout);
}

Json to_json(const StepMeasurement& m) {
  Json j = to_json(m.what);
  j["cuda_graph"] = m.captured;
  j["step_ms"] = 1e3 * m.step_seconds();
  for (double s : m.seconds) j["step_ms_each"].push_back(1e3 * s);
  j["images_per_second"] = images_per_second(m);
  if (m.no_floor.empty()) {
    j["floor_ms"] = 1e3 * m.floor_seconds;
    j["ratio"] = m.step_seconds() / m.floor_seconds;
  } else {
    j["no_floor"] = m.no_floor;
  }
  j["convolution_gflops"] = 1e-9 * m.flops() / m.step_seconds();
  if (m.product_rate > 0) j["large_product_gflops"] = 1e-9 * m.product_rate;
  j["peak_bytes"] = m.memory.peak;
  j["peak_to_needed"] = peak_to_needed(m.memory);
  j["memory_bytes"] = to_json(m.memory);
  if (m.profile.empty()) return j;
  j["gb_per_second"] = 1e-9 * m.bytes() / m.step_seconds();
  j["large_copy_gb_per_second"] = 1e-9 * m.copy_rate;
  for (const ProfileRow& r : profile_rows(m))
    j["primitives"].push_back({{"name", r.name},
                               {"calls", r.calls},
                               {"ms", 1e3 * r.seconds},
                               {"share", r.share},
                               {"gflops", 1e-9 * r.flop_rate},
                               {"gb_per_second", 1e-9 * r.byte_rate}});
  for (const FloorItem& i : m.floor)
    j["floor"].push_back({{"name", i.conv.name()},
                          {"per_step", i.conv.count},
                          {"nhwc_ms", 1e3 * i.plain_seconds},
                          {"own_format_ms", 1e3 * i.any_seconds},
                          {"gflops", 1e-9 * i.conv.flops() / best_seconds(i)}});
  return j;
}

void print_sizes_header() {
  fmt::print("sizes\n  precision     D  batch    step ms   floor ms  ratio  images/s  peak MiB\n");
}

void print_sizes_row(const StepMeasurement& m) {
  const bool has_floor = m.no_floor.empty();
  fmt::print("  {:<9} {:>5} {:>6} {:>10.3f} {:>10} {:>6} {:>9.0f} {:>9.1f}\n",
             name_of(m.what.precision), m.what.latent, m.what.batch, 1e3 * m.step_seconds(),
             has_floor ? fmt::format("{:.3f}", 1e3 * m.floor_seconds) : "-",
             has_floor ? fmt::format("{:.3f}", m.step_seconds() / m.floor_seconds) : "-",
             images_per_second(m), mib(m.memory.peak));
  std::fflush(stdout);
}

void print_growth_header(const StepConfiguration& base) {
  fmt::print("\ngrowth from D {}, K {}, batch {}, {} threads in {}\n", base.latent, base.codes,
             base.batch, base.threads, name_of(base.precision));
  fmt::print("  axis   value    step ms  to the default\n");
}

void print_growth_row(const Growth& g) {
  fmt::print("  {:<5} {:>6} {:>10.3f} {:>15.3f}\n", g.axis, g.value, 1e3 * g.seconds, g.ratio);
  std::fflush(stdout);
}

Json to_json(const Growth& g) {
  return {{"axis", g.axis},
          {"value", g.value},
          {"step_ms", 1e3 * g.seconds},
          {"ratio_to_default", g.ratio}};
}

void print_convolutions_header(DType type) {
  fmt::print("\nconvolutions in {}, direct and ours: ms each, error against f64, scratch MiB\n",
             str(type));
  fmt::print("  {:<40} {:>5} {:>8} {:>8} {:>6} {:>9} {:>9} {:>7} {:>7}\n", "", "count", "direct",
             "ours", "ratio", "direct", "ours", "direct", "ours");
}

void print_convolutions_row(const ConvolutionMeasurement& m) {
  fmt::print("  {:<40} {:>5} {:>8.2f} {:>8.2f} {:>6.2f} {:>9.1e} {:>9.1e} {:>7.1f} {:>7.1f}\n",
             m.conv.name(), m.conv.count, 1e3 * m.direct_seconds, 1e3 * m.seconds,
             m.seconds / m.direct_seconds, m.direct_error, m.error, mib(m.direct_scratch_bytes),
             mib(m.scratch_bytes));
  std::fflush(stdout);
}

Json to_json(const ConvolutionMeasurement& m) {
  return {{"convolution", m.conv.name()},
          {"count", m.conv.count},
          {"ms", 1e3 * m.seconds},
          {"direct_ms", 1e3 * m.direct_seconds},
          {"error", m.error},
          {"direct_error", m.direct_error},
          {"scratch_bytes", m.scratch_bytes},
          {"direct_scratch_bytes", m.direct_scratch_bytes}};
}

void print_nearest_header(int64_t rows) {
  fmt::print("\nnearest code of {} rows; product / search: 1 is the speed of the bare product\n",
             rows);
  fmt::print(
      "    D      K  search ms   GFLOP/s  f32 product  / search  bf16 product  / search  peak "
      "MiB\n");
}

void print_nearest_row(const NearestMeasurement& m) {
  const auto product = [&](double seconds) {
    return seconds > 0 ? fmt::format("{:.3f} {:>9.2f}", 1e3 * seconds, seconds / m.seconds)
                       : std::string("-         -");
  };
  fmt::print("  {:>3} {:>6} {:>10.3f} {:>9.1f} {:>22} {:>23} {:>9.1f}\n", m.latent, m.codes,
             1e3 * m.seconds, 1e-9 * m.flops() / m.seconds, product(m.product_seconds),
             product(m.bf16_product_seconds), mib(m.peak_bytes));
  std::fflush(stdout);
}

Json to_json(const NearestMeasurement& m) {
  Json j = {{"rows", m.rows},
            {"codes", m.codes},
            {"latent", m.latent},
            {"search_ms", 1e3 * m.seconds},
            {"f32_product_ms", 1e3 * m.product_seconds},
            {"peak_bytes", m.peak_bytes}};
  if (m.bf16_product_seconds > 0) j["bf16_product_ms"] = 1e3 * m.bf16_product_seconds;
  return j;
}

void print_quantizers_header(const StepConfiguration& what) {
  fmt::print("\nquantizers in {}, K {} in each symbol; to plain: against that of the first row\n",
             name_of(what.precision), what.codes);
  fmt::print("  {:<15} {:>3} {:>6} {:>10} {:>9} {:>10} {:>9} {:>9} {:>16} {:>9}\n", "quantizer",
             "L", "K", "alone ms", "to plain", "step ms", "to plain", "by parts", "peak alone, MiB",
             "of R x K");
}

void print_quantizers_row(const QuantizerMeasurement& m) {
  fmt::print(
      "  {:<15} {:>3} {:>6} {:>10.3f} {:>9.3f} {:>10.3f} {:>9.3f} {:>9.3f} {:>16.1f} {:>9.2f}\n",
      m.name, m.symbols, m.codes, 1e3 * m.seconds, m.to_plain, 1e3 * m.step_seconds,
      m.step_to_plain, m.step_by_parts, mib(m.peak_bytes),
      static_cast<double>(m.peak_bytes) / static_cast<double>(m.score_bytes));
  std::fflush(stdout);
}

Json to_json(const QuantizerMeasurement& m) {
  return {{"quantizer", m.name},
          {"symbols", m.symbols},
          {"codes", m.codes},
          {"alone_ms", 1e3 * m.seconds},
          {"alone_to_plain", m.to_plain},
          {"step_ms", 1e3 * m.step_seconds},
          {"step_to_plain", m.step_to_plain},
          {"step_to_plain_by_parts", m.step_by_parts},
          {"alone_peak_bytes", m.peak_bytes},
          {"rows_by_codes_bytes", m.score_bytes}};
}

void print(const EpochMeasurement& m) {
  fmt::print("\nepoch of {} batches in {}: {:.3f} s; as many bare steps in turn: {:.3f} s\n",
             m.batches, name_of(m.what.precision), m.epoch_seconds, m.step_seconds);
  fmt::print("input  {:8.3f} epoch / steps (median over blocks; goal: at most 1.05)\n", m.ratio);
}

Json to_json(const EpochMeasurement& m) {
  Json j = to_json(m.what);
  j["batches"] = m.batches;
  j["epoch_s"] = m.epoch_seconds;
  j["bare_steps_s"] = m.step_seconds;
  j["ratio"] = m.ratio;
  return j;
}

}  // namespace versor
