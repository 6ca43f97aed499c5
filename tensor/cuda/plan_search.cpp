// The search for the fastest plan, and exact results to compare with: see plan_search.h.
#include "tensor/cuda/plan_search.h"

#include <algorithm>
#include <bit>
#include <set>

namespace versor::cuda {
namespace {

class Search {
 public:
  Search(const std::function<std::optional<double>(const EngineChoice&)>& measure,
         const std::function<double()>& time_left)
      : measure_(measure), time_left_(time_left) {}

  // One round over these engines, until this share of the time is left.
  void run(const std::vector<EngineChoice>& ranked, std::vector<const TunableEngine*> engines,
           double until) {
    until_ = until;
    for (const EngineChoice& choice : ranked)
      if (std::ranges::any_of(engines, [&](auto* e) { return e->engine == choice.engine; }))
        if (!attempt(choice)) return;
    for (const TunableEngine* e : engines)
      if (!knows(e->engine) && !attempt({e->engine, {}})) return;
    while (const TunableEngine* e = fastest(engines)) {
      if (!improve(*e)) std::erase(engines, e);
      if (time_left_() <= until_) return;
    }
  }

 private:
  // False: no time is left.
  bool attempt(const EngineChoice& choice) {
    if (tried_.contains(choice)) return true;
    if (time_left_() <= until_) return false;
    tried_.insert(choice);
    const std::optional<double> seconds = measure_(choice);
    if (!seconds) return true;
    const auto [it, is_first] = best_.try_emplace(choice.engine, *seconds, choice);
    if (!is_first && *seconds < it->second.first) it->second = {*seconds, choice};
    return true;
  }

  bool knows(int64_t engine) const {
    return std::ranges::any_of(tried_, [&](const auto& c) { return c.engine == engine; });
  }

  // Changes the knobs one by one. False: no time is left, or nothing got better.
  bool improve(const TunableEngine& e) {
    const EngineChoice before = best_.at(e.engine).second;
    for (const Knob& knob : e.knobs)
      for (int64_t value : values_of(knob)) {
        EngineChoice choice = best_.at(e.engine).second;
        choice.knobs[knob.type] = value;
        if (!attempt(choice)) return false;
      }
    return best_.at(e.engine).second != before;
  }

  // The fastest of these engines; null if none has worked.
  const TunableEngine* fastest(const std::vector<const TunableEngine*>& engines) const {
    const TunableEngine* fastest = nullptr;
    for (const TunableEngine* e : engines)
      if (best_.contains(e->engine) &&
          (fastest == nullptr || best_.at(e->engine).first < best_.at(fastest->engine).first))
        fastest = e;
    return fastest;
  }

  const std::function<std::optional<double>(const EngineChoice&)>& measure_;
  const std::function<double()>& time_left_;
  double until_ = 0;
  std::set<EngineChoice> tried_;
  std::map<int64_t, std::pair<double, EngineChoice>> best_;  // by engine
};

}  // namespace

std::vector<int64_t> values_of(const Knob& knob) {
  constexpr int64_t kMostIndices = 512;
  const int64_t count = (knob.most - knob.least) / knob.stride + 1;
  std::vector<int64_t> values;
  if (knob.least == 1 || count > kMostIndices) {
    for (int64_t v = 1; v <= knob.most; v *= 2)
      if (v >= knob.least) values.push_back(v);
    return values;
  }
  // 0, then the middle, the quarters, ... of the next power of two
  const auto whole = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count)));
  values.push_back(knob.least);
  for (int64_t step = whole / 2; step > 0; step /= 2)
    for (int64_t i = step; i < count; i += 2 * step) values.push_back(knob.least + i * knob.stride);
  return values;
}

void search_plans(const PlanOptions& options,
                  const std::function<std::optional<double>(const EngineChoice&)>& measure,
                  const std::function<double()>& time_left) {
  Search search(measure, time_left);
  std::vector<const TunableEngine*> ready, all;
  for (const TunableEngine& e : options.engines) {
    if (!e.compiled_at_run_time) ready.push_back(&e);
    all.push_back(&e);
  }
  search.run(options.ranked, ready, all.size() > ready.size() ? 0.5 : 0);
  search.run(options.ranked, all, 0);
}

double exact_element(const ConvKey& k, const ConvOperands& of, int64_t index) {
  const int64_t rows = k.out_h(), columns = k.out_w();
  double sum = 0;
  const auto add = [&](int64_t n, int64_t h, int64_t w, int64_t i, int64_t a, int64_t b, int64_t o,
                       int64_t r, int64_t c) {
    if (h < 0 || h >= k.H || w < 0 || w >= k.W || r < 0 || r >= rows || c < 0 || c >= columns)
      return;
    const double x = of.x[((n * k.H + h) * k.W + w) * k.I + i];
    const double weight = of.weight[((o * k.kh + a) * k.kw + b) * k.I + i];
    const double y = of.y[((n * rows + r) * columns + c) * k.O + o];
    sum += k.kind == ConvKind::forward      ? x * weight
           : k.kind == ConvKind::grad_input ? y * weight
                                            : x * y;
  };
  const auto take = [&](int64_t extent) {  // the last coordinate of the index, then those before
    const int64_t at = index % extent;
    index /= extent;
    return at;
  };
  int64_t channel = 0;
  if (k.kind == ConvKind::grad_weight) {
    const int64_t i = take(k.I), b = take(k.kw), a = take(k.kh), o = take(k.O);
    for (int64_t n = 0; n < k.N; ++n)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c)
          add(n, r * k.stride - k.padding + a, c * k.stride - k.padding + b, i, a, b, o, r, c);
  } else if (k.kind == ConvKind::forward) {
    const int64_t o = channel = take(k.O), c = take(columns), r = take(rows), n = take(k.N);
    for (int64_t a = 0; a < k.kh; ++a)
      for (int64_t b = 0; b < k.kw; ++b)
        for (int64_t i = 0; i < k.I; ++i)
          add(n, r * k.stride - k.padding + a, c * k.stride - k.padding + b, i, a, b, o, r, c);
  } else {
    const int64_t i = channel = take(k.I), w = take(k.W), h = take(k.H), n = take(k.N);
    for (int64_t a = 0; a < k.kh; ++a)
      for (int64_t b = 0; b < k.kw; ++b) {
        const int64_t down = h + k.padding - a, right = w + k.padding - b;
        if (down % k.stride != 0 || right % k.stride != 0) continue;
        for (int64_t o = 0; o < k.O; ++o)
          add(n, h, w, i, a, b, o, down / k.stride, right / k.stride);
      }
  }
  if (k.bias) sum += of.bias[channel];
  return k.relu ? std::max(sum, 0.0) : sum;
}

}  // namespace versor::cuda
