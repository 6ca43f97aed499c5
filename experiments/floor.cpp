// The floor of a training step: see floor.h.
#include "experiments/floor.h"

#include "tensor/error.h"

#ifdef VERSOR_ONEDNN

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "tensor/cpu/onednn.h"
#include "tensor/ops.h"

namespace versor {
namespace {

using namespace cpu::onednn;
using dnnl::memory;

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// A primitive with memory of its own, filled with small numbers.
struct Bare {
  dnnl::primitive primitive;
  std::vector<Tensor> storage;
  std::unordered_map<int, memory> arguments;
  std::vector<double> seconds;

  void bind(int argument, const memory::desc& desc) {
    const auto bytes = static_cast<int64_t>(desc.get_size());
    storage.push_back(ops::full({std::max<int64_t>(bytes / 4, 1)}, 0.01f));
    arguments.emplace(argument, memory(desc, engine(), storage.back().address()));
  }
  double run() {
    const auto start = std::chrono::steady_clock::now();
    primitive.execute(stream(), arguments);
    stream().wait();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return seconds.back();
  }
};

enum class Pass { forward, grad_input, grad_weight };

Bare bare(const ConvSizes& s, Pass pass, Format format) {
  Bare b;
  if (pass == Pass::forward) {
    const Forward d = describe_forward(s, format, false, false);
    b.primitive = dnnl::convolution_forward(d);
    b.bind(DNNL_ARG_SRC, d.src_desc());
    b.bind(DNNL_ARG_WEIGHTS, d.weights_desc());
    b.bind(DNNL_ARG_DST, d.dst_desc());
    b.bind(DNNL_ARG_SCRATCHPAD, d.scratchpad_desc());
  } else if (pass == Pass::grad_input) {
    const GradInput d = describe_grad_input(s, format);
    b.primitive = dnnl::convolution_backward_data(d);
    b.bind(DNNL_ARG_DIFF_SRC, d.diff_src_desc());
    b.bind(DNNL_ARG_WEIGHTS, d.weights_desc());
    b.bind(DNNL_ARG_DIFF_DST, d.diff_dst_desc());
    b.bind(DNNL_ARG_SCRATCHPAD, d.scratchpad_desc());
  } else {
    const GradWeight d = describe_grad_weight(s, format);
    b.primitive = dnnl::convolution_backward_weights(d);
    b.bind(DNNL_ARG_SRC, d.src_desc());
    b.bind(DNNL_ARG_DIFF_WEIGHTS, d.diff_weights_desc());
    b.bind(DNNL_ARG_DIFF_DST, d.diff_dst_desc());
    b.bind(DNNL_ARG_SCRATCHPAD, d.scratchpad_desc());
  }
  return b;
}

struct Entry {
  std::string name;
  int64_t count;
  double flops;
  Bare plain, any;
};

}  // namespace

struct Floor::State {
  std::vector<Entry> entries;

  void add(const char* layer, const ConvSizes& s, Pass pass, int64_t count) {
    const char* names[] = {"forward", "input gradient", "weight gradient"};
    const double flops = 2.0 * static_cast<double>(s.N * s.out_h() * s.out_w() * s.O) *
                         static_cast<double>(s.kh * s.kw * s.C);
    entries.push_back({fmt::format("{} {}x{} {}->{} {}", layer, s.kh, s.kw, s.C, s.O,
                                   names[static_cast<int>(pass)]),
                       count, flops, bare(s, pass, Format::plain), bare(s, pass, Format::any)});
  }
};

// A transposed convolution's passes are those of the convolution that it is the gradient of, in
// other roles: its forward is an input gradient, its input gradient a forward.
Floor::Floor(int64_t batch, int64_t image, int64_t D) : state_(new State) {
  const int64_t half = D / 2, mid = image / 2, low = image / 4;
  const ConvSizes outer{batch, image, image, 3, half, 4, 4, 2, 1};
  const ConvSizes inner{batch, mid, mid, half, D, 4, 4, 2, 1};
  const ConvSizes block{batch, low, low, D, D, 3, 3, 1, 1};
  state_->add("image", outer, Pass::forward, 2);     // encoder.0, gradient of decoder.4
  state_->add("image", outer, Pass::grad_input, 1);  // decoder.4; the images need no gradient
  state_->add("image", outer, Pass::grad_weight, 2);
  for (Pass pass : {Pass::forward, Pass::grad_input, Pass::grad_weight}) {
    state_->add("middle", inner, pass, 2);  // encoder.2, decoder.2
    state_->add("block", block, pass, 8);   // four residual blocks
  }
}

Floor::~Floor() {
  delete state_;
}

double Floor::measure_once() {
  for (Entry& e : state_->entries) {
    e.plain.run();
    e.any.run();
  }
  return seconds();
}

std::vector<FloorItem> Floor::items() const {
  std::vector<FloorItem> items;
  for (const Entry& e : state_->entries)
    items.push_back({e.name, e.count, e.flops, median(e.plain.seconds), median(e.any.seconds)});
  return items;
}

double Floor::seconds() const {
  double sum = 0;
  for (const FloorItem& i : items())
    sum += static_cast<double>(i.count) * std::min(i.plain_seconds, i.any_seconds);
  return sum;
}

}  // namespace versor

#else

namespace versor {
struct Floor::State {};
Floor::Floor(int64_t, int64_t, int64_t) : state_(nullptr) {
  fail("bench", "this build has no oneDNN, so there is no floor to measure");
}
Floor::~Floor() = default;
double Floor::measure_once() {
  return 0;
}
std::vector<FloorItem> Floor::items() const {
  return {};
}
double Floor::seconds() const {
  return 0;
}
}  // namespace versor

#endif
