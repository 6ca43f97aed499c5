// The floor on the CPU: bare oneDNN primitives. See floor.h; experiments/peers/onednn_floor.cpp
// measures the same without any of our code.
#include "experiments/bench/floor.h"
#include "experiments/report/statistics.h"
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

// A primitive with memory of its own, filled with small numbers.
struct Bare {
  dnnl::primitive primitive;
  std::vector<Tensor> storage;
  std::unordered_map<int, memory> arguments;
  std::vector<double> seconds;
  double bytes = 0;  // of the tensors, without padding and scratchpad

  void bind(int argument, const memory::desc& desc) {
    const DType type = type_of(desc);
    bytes += static_cast<double>(elements_of(desc)) * static_cast<double>(size_of(type));
    const auto elements = static_cast<int64_t>(desc.get_size() / size_of(type));
    storage.push_back(ops::full({std::max<int64_t>(elements, 1)}, 0.01f, {}, type));
    arguments.emplace(argument, memory(desc, engine(), storage.back().address()));
  }
  void bind_scratchpad(const memory::desc& desc) {
    storage.push_back(
        Tensor({std::max<int64_t>(static_cast<int64_t>(desc.get_size()), 1)}, DType::u8));
    arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(desc, engine(), storage.back().address()));
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
    b.bind_scratchpad(d.scratchpad_desc());
  } else if (pass == Pass::grad_input) {
    const GradInput d = describe_grad_input(s, format);
    b.primitive = dnnl::convolution_backward_data(d);
    b.bind(DNNL_ARG_DIFF_SRC, d.diff_src_desc());
    b.bind(DNNL_ARG_WEIGHTS, d.weights_desc());
    b.bind(DNNL_ARG_DIFF_DST, d.diff_dst_desc());
    b.bind_scratchpad(d.scratchpad_desc());
  } else {
    const GradWeight d = describe_grad_weight(s, format);
    b.primitive = dnnl::convolution_backward_weights(d);
    b.bind(DNNL_ARG_SRC, d.src_desc());
    b.bind(DNNL_ARG_DIFF_WEIGHTS, d.diff_weights_desc());
    b.bind(DNNL_ARG_DIFF_DST, d.diff_dst_desc());
    b.bind_scratchpad(d.scratchpad_desc());
  }
  return b;
}

struct Entry {
  StepConvolution conv;
  Bare plain, any;
};

class OneDnnFloor final : public Floor {
 public:
  OneDnnFloor(const std::vector<StepConvolution>& list, DType type) {
    for (const StepConvolution& c : list) {
      const ConvSizes s{c.N, c.H, c.W, c.I, c.O, c.k, c.k, c.stride, c.padding, type};
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
      items.push_back({e.conv, median(e.plain.seconds), median(e.any.seconds),
                       std::max(e.plain.bytes, e.any.bytes)});
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

std::unique_ptr<Floor> onednn_floor(const std::vector<StepConvolution>& list, DType type) {
  return std::make_unique<OneDnnFloor>(list, type);
}

}  // namespace versor

#else

namespace versor {

std::unique_ptr<Floor> onednn_floor(const std::vector<StepConvolution>&, DType) {
  fail("bench", "this build has no oneDNN, so there is no floor to measure");
}

}  // namespace versor

#endif
