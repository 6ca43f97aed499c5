// Symbols as a sequence: see symbol_sequence.h.
#include "experiments/generate/symbol_sequence.h"

#include <algorithm>

namespace versor {
namespace {

constexpr int64_t kMostCodes = 65536;

}  // namespace

SymbolSequence::SymbolSequence(std::vector<SymbolLevel> levels) : levels_(std::move(levels)) {
  check(!levels_.empty(), "symbols", "there are no levels");
  for (const SymbolLevel& l : levels_)
    check(1 <= l.codes && l.codes <= kMostCodes && std::min({l.layers, l.height, l.width}) >= 1 &&
              std::max({l.layers, l.height, l.width}) <= kMostCodes,
          "symbols", "a level of ", l.layers, " x ", l.height, " x ", l.width, " symbols of ",
          l.codes, " codes: at most ", kMostCodes, " of each are possible");
}

int64_t SymbolSequence::length() const {
  return first(levels_.size());
}

int64_t SymbolSequence::first(size_t level) const {
  int64_t places = 0;
  for (size_t l = 0; l < level; ++l) places += levels_[l].length();
  return places;
}

size_t SymbolSequence::level_at(int64_t place) const {
  size_t level = 0;
  while (place >= levels_[level].length()) place -= levels_[level++].length();
  return level;
}

int64_t SymbolSequence::vocabulary() const {
  int64_t all = 0;
  for (const SymbolLevel& level : levels_) all += level.layers * level.codes;
  return all;
}

int64_t SymbolSequence::offset_at(int64_t place) const {
  const size_t level = level_at(place);
  int64_t offset = 0;
  for (size_t l = 0; l < level; ++l) offset += levels_[l].layers * levels_[l].codes;
  return offset + (place - first(level)) % levels_[level].layers * levels_[level].codes;
}

Tensor SymbolSequence::flatten(const std::vector<Tensor>& symbols) const {
  check(symbols.size() == levels_.size(), "symbols", "of ", symbols.size(), " levels, not ",
        levels_.size());
  const int64_t N = symbols[0].dim(0), T = length();
  Tensor sequences({N, T}, DType::i32);
  auto* out = sequences.data<int32_t>();
  for (size_t level = 0; level < levels_.size(); ++level) {
    const auto& [codes, L, h, w] = levels_[level];
    check(symbols[level].shape() == Shape{N, L, h, w}, "symbols", "of level ", level, " are ",
          symbols[level].shape(), ", not ", Shape{N, L, h, w});
    const std::vector<int32_t> in = symbols[level].to_vector<int32_t>();
    for (int64_t n = 0; n < N; ++n)
      for (int64_t layer = 0; layer < L; ++layer)
        for (int64_t i = 0; i < h * w; ++i)
          out[n * T + first(level) + i * L + layer] = in[(n * L + layer) * h * w + i];
  }
  return sequences;
}

std::vector<Tensor> SymbolSequence::unflatten(const Tensor& sequences) const {
  check(sequences.shape() == Shape{sequences.dim(0), length()}, "symbols", "sequences ",
        sequences.shape(), " are not of ", length(), " symbols");
  const int64_t N = sequences.dim(0), T = length();
  const std::vector<int32_t> in = sequences.to_vector<int32_t>();
  std::vector<Tensor> symbols;
  for (size_t level = 0; level < levels_.size(); ++level) {
    const auto& [codes, L, h, w] = levels_[level];
    symbols.emplace_back(Shape{N, L, h, w}, DType::i32);
    auto* out = symbols.back().data<int32_t>();
    for (int64_t n = 0; n < N; ++n)
      for (int64_t layer = 0; layer < L; ++layer)
        for (int64_t i = 0; i < h * w; ++i)
          out[(n * L + layer) * h * w + i] = in[n * T + first(level) + i * L + layer];
  }
  return symbols;
}

SymbolSequence symbol_sequence(const VqModel& model, int64_t height, int64_t width) {
  std::vector<SymbolLevel> levels;
  for (size_t level = 0; level < model.levels().size(); ++level) {
    const Vocabulary vocabulary = model.levels()[level].quantizer->vocabulary();
    const int64_t pixels = model.pixels_per_latent(level);
    levels.push_back({vocabulary.codes, vocabulary.symbols, height / pixels, width / pixels});
  }
  return SymbolSequence(std::move(levels));
}

}  // namespace versor
