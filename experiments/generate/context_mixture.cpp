// Mixed contexts of neighbours: see context_mixture.h.
#include "experiments/generate/context_mixture.h"

#include <array>
#include <cmath>
#include <unordered_map>

namespace versor {
namespace {

constexpr int kContexts = 5, kRounds = 20;
constexpr double kOwn = 4;  // a: how many counts the frequencies without context are worth

// A symbol in a context.
struct Event {
  uint64_t context;
  int32_t symbol;
  bool operator==(const Event&) const = default;
};
struct EventHash {
  size_t operator()(const Event& e) const {
    return (e.context * 0x9E3779B97F4A7C15u + static_cast<uint32_t>(e.symbol)) *
           0xD6E8FEB86659FD93u;
  }
};

// The places that a place's contexts are made of; -1: there is none.
struct Neighbours {
  int64_t left = -1, above = -1, inner = -1;
};

Neighbours neighbours_of(const SymbolSequence& sequence, int64_t place) {
  const size_t level = sequence.level_at(place);
  const SymbolLevel& l = sequence.levels()[level];
  const int64_t i = place - sequence.first(level), latent = i / l.layers;
  const int64_t row = latent / l.width, column = latent % l.width;
  Neighbours n;
  if (column > 0) n.left = place - l.layers;
  if (row > 0) n.above = place - l.width * l.layers;
  if (i % l.layers > 0) {
    n.inner = place - 1;
  } else if (level > 0) {
    const SymbolLevel& top = sequence.levels()[level - 1];
    n.inner = sequence.first(level - 1) +
              (row * top.height / l.height * top.width + column * top.width / l.width) * top.layers;
  }
  return n;
}

// A number for each context of a place of one image. Places of one layer share their contexts.
std::array<uint64_t, kContexts> contexts_at(const Neighbours& n, const int32_t* symbols,
                                            uint64_t layer) {
  const auto at = [&](int64_t place) {
    return place < 0 ? uint64_t{0} : static_cast<uint64_t>(symbols[place]) + 1;
  };
  const auto number = [&](uint64_t kind, uint64_t a, uint64_t b) {
    return ((layer * kContexts + kind) << 36) | (a << 18) | b;  // symbols have at most 16 bits
  };
  return {number(0, 0, 0), number(1, at(n.left), 0), number(2, at(n.above), 0),
          number(3, at(n.left), at(n.above)), number(4, at(n.inner), at(n.left))};
}

class Mixture {
 public:
  explicit Mixture(const SymbolSequence& sequence) : sequence_(sequence) {
    for (int64_t t = 0; t < sequence.length(); ++t)
      neighbours_.push_back(neighbours_of(sequence, t));
    weights_.assign(sequence.levels().size(), {});
    for (auto& w : weights_) w.fill(1.0 / kContexts);
  }

  void count(const Tensor& sequences) {
    for_each(sequences, [&](size_t, int64_t, int32_t symbol, const auto& contexts) {
      for (uint64_t c : contexts) {
        ++totals_[c];
        ++counts_[{c, symbol}];
      }
    });
  }

  // The mean bits per symbol of each level; a round of fitting also moves the weights.
  std::vector<double> bits(const Tensor& sequences, bool fits) {
    std::vector<double> bits(weights_.size()), seen(weights_.size());
    std::vector<std::array<double, kContexts>> shares(weights_.size());
    for_each(sequences, [&](size_t level, int64_t codes, int32_t symbol, const auto& contexts) {
      std::array<double, kContexts> part;
      double all = 0, own = 0;
      for (int j = 0; j < kContexts; ++j) {
        const double n = find(totals_, contexts[j]), k = find(counts_, Event{contexts[j], symbol});
        if (j == 0) own = (k + 1) / (n + static_cast<double>(codes));
        part[j] = weights_[level][j] * (j == 0 ? own : (k + kOwn * own) / (n + kOwn));
        all += part[j];
      }
      for (int j = 0; j < kContexts; ++j) shares[level][j] += part[j] / all;
      bits[level] -= std::log2(all);
      seen[level] += 1;
    });
    for (size_t level = 0; level < bits.size(); ++level) {
      bits[level] /= seen[level];
      if (fits)
        for (int j = 0; j < kContexts; ++j) weights_[level][j] = shares[level][j] / seen[level];
    }
    return bits;
  }

 private:
  template <class Map, class Key>
  static double find(const Map& in, const Key& key) {
    const auto found = in.find(key);
    return found == in.end() ? 0 : found->second;
  }
  // visit(level, codes, symbol, contexts) of every symbol.
  template <class Visit>
  void for_each(const Tensor& sequences, const Visit& visit) const {
    const int64_t T = sequence_.length();
    const int32_t* symbols = sequences.data<int32_t>();
    for (int64_t n = 0; n < sequences.dim(0); ++n, symbols += T)
      for (int64_t t = 0; t < T; ++t) {
        const size_t level = sequence_.level_at(t);
        const auto layer = static_cast<uint64_t>(sequence_.offset_at(t));
        visit(level, sequence_.levels()[level].codes, symbols[t],
              contexts_at(neighbours_[static_cast<size_t>(t)], symbols, layer));
      }
  }

  const SymbolSequence& sequence_;
  std::vector<Neighbours> neighbours_;
  std::vector<std::array<double, kContexts>> weights_;  // of each level
  std::unordered_map<uint64_t, uint32_t> totals_;       // of each context
  std::unordered_map<Event, uint32_t, EventHash> counts_;
};

}  // namespace

std::vector<double> context_mixture_bits(const SymbolSequence& sequence, const Tensor& train,
                                         const Tensor& test) {
  const int64_t counted = train.dim(0) - train.dim(0) / 10;
  check(counted < train.dim(0), "symbols", train.dim(0), " sequences are too few to fit to");
  Mixture mixture(sequence);
  mixture.count(train.rows(0, counted));
  for (int round = 0; round < kRounds; ++round)
    mixture.bits(train.rows(counted, train.dim(0)), /*fits=*/true);
  return mixture.bits(test, /*fits=*/false);
}

std::vector<double> unigram_bits(const SymbolSequence& sequence, const Tensor& test) {
  const int64_t N = test.dim(0), T = sequence.length();
  std::vector<int64_t> counts(static_cast<size_t>(sequence.vocabulary()));
  for (int64_t i = 0; i < N * T; ++i)
    ++counts[static_cast<size_t>(sequence.offset_at(i % T) + test.data<int32_t>()[i])];
  std::vector<double> bits;
  auto count = counts.begin();
  for (const SymbolLevel& level : sequence.levels()) {
    const auto seen = static_cast<double>(N * level.height * level.width);  // of each layer
    double sum = 0;
    for (int64_t k = 0; k < level.layers * level.codes; ++k, ++count)
      if (*count > 0)
        sum -= static_cast<double>(*count) * std::log2(static_cast<double>(*count) / seen);
    bits.push_back(sum / (seen * static_cast<double>(level.layers)));
  }
  return bits;
}

}  // namespace versor
