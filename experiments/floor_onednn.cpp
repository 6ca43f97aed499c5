// The floor on the CPU: bare oneDNN primitives. See floor.h.
#include "experiments/floor.h"
#include "tensor/error.h"

#ifdef VERSOR_ONEDNN

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
  StepConvolution conv;
  Bare plain, any;
};

class OneDnnFloor final : public Floor {
 public:
  explicit OneDnnFloor(const std::vector<StepConvolution>& list) {
    for (const StepConvolution& c : list) {
      const ConvSizes s{c.N, c.H, c.W, c.I, c.O, c.k, c.k, c.stride, c.padding};
      entries_.push_back({c, bare(s, c.pass, Format::plain), bare(s, c.pass, Format::any)});
    }
  }

  void measure_once() override {
    for (Entry& e : entries_) {
      e.plain.run();
      e.any.run();
    }
  }

  std::vector<FloorItem> items() const override {
    std::vector<FloorItem> items;
    for (const Entry& e : entries_)
      items.push_back({e.conv, median(e.plain.seconds), median(e.any.seconds)});
    return items;
  }

  double seconds() const override {
    double sum = 0;
    for (const FloorItem& i : items())
      sum += static_cast<double>(i.conv.count) * std::min(i.plain_seconds, i.any_seconds);
    return sum;
  }

 private:
  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<Floor> onednn_floor(const std::vector<StepConvolution>& list) {
  return std::make_unique<OneDnnFloor>(list);
}

}  // namespace versor

#else

namespace versor {

std::unique_ptr<Floor> onednn_floor(const std::vector<StepConvolution>&) {
  fail("bench", "this build has no oneDNN, so there is no floor to measure");
}

}  // namespace versor

#endif
