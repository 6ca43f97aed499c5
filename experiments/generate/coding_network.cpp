// The prior in integers: see coding_network.h.
#include "experiments/generate/coding_network.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "nn/safetensors.h"
#include "tensor/hash.h"

namespace versor {
namespace {

constexpr const char* kName = "coding";
constexpr int kUnit = 18;            // numbers are in units of 2^-kUnit
constexpr int kActivationBits = 12;  // |a| <= 2^12 and sum |w| <= 2^18: sums of a w are <= 2^30
constexpr int32_t kRowSum = 1 << 18;
constexpr int32_t kMost = 1 << 30;           // of a product of a matrix and a vector
constexpr int32_t kMostParameter = 1 << 28;  // of a bias or an embedding
constexpr int32_t kMostSum = 1 << 29;        // of what goes through the network from block to block
constexpr int64_t kLog2E = 1549082005;       // log2(e) 2^30
constexpr int64_t kGroup = 16;               // images; a multiple of 4

uint32_t bits_of(float x) {
  return std::bit_cast<uint32_t>(x);
}

// x 2^shift rounded to the nearest integer, at most `most` in magnitude. x is finite.
int32_t scaled(float x, int shift, int32_t most) {
  const uint32_t bits = bits_of(x);
  const int exponent = static_cast<int>(bits >> 23 & 255);
  const int64_t mantissa = (bits & 0x7fffff) | (exponent > 0 ? 1 << 23 : 0);
  const int s = shift + std::max(exponent, 1) - 150;  // |x| 2^shift = mantissa 2^s
  int64_t y = mantissa;
  if (s >= 0)
    y <<= std::min(s, 31);
  else
    y = ((y >> std::min(-s - 1, 31)) + 1) >> 1;
  const auto size = static_cast<int32_t>(std::min<int64_t>(y, most));
  return bits >> 31 ? -size : size;
}

int bit_width(int64_t x) {
  return static_cast<int>(std::bit_width(static_cast<uint64_t>(x)));
}

uint64_t square_root(uint64_t x) {  // rounded down
  uint64_t root = 0;
  for (uint64_t bit = uint64_t{1} << 31; bit > 0; bit >>= 1)
    if ((root | bit) * (root | bit) <= x) root |= bit;
  return root;
}

// 2^-x for x >= 0 in units of 2^-12; the result in units of 2^-24.
class NegativePower {
 public:
  NegativePower() {
    uint64_t root[12] = {square_root(uint64_t{1} << 61)};  // 2^(-1/2), 2^(-1/4), .. times 2^31
    for (int i = 1; i < 12; ++i) root[i] = square_root(root[i - 1] << 31);
    for (uint32_t x = 0; x < 4096; ++x) {
      uint64_t y = uint64_t{1} << 31;
      for (int i = 0; i < 12; ++i)
        if (x >> (11 - i) & 1) y = y * root[i] >> 31;
      table_[x] = static_cast<uint32_t>(y >> 7);
    }
  }
  uint32_t operator()(int64_t x) const {
    return table_[x & 4095] >> std::min<int64_t>(x >> 12, 31);
  }

 private:
  std::array<uint32_t, 4096> table_;
};
const NegativePower kPower;

// x Phi(x), Phi the Gaussian distribution function, in units of 2^-kUnit.
class Gelu {
 public:
  Gelu() {  // Phi at -8 + i/128 by the midpoint rule: sums of exp(-y^2/2), y = (2i - 2047)/256
    std::array<int64_t, 2049> sum{};
    for (int64_t i = 0; i < 2048; ++i) {
      const int64_t y = 2 * i - 2047;
      sum[i + 1] = sum[i] + kPower(y * y * kLog2E >> 35);
    }
    for (size_t i = 0; i < sum.size(); ++i)
      phi_[i] = static_cast<int32_t>((sum[i] << 24) / sum.back());
  }
  int32_t operator()(int32_t x) const {
    const int32_t at = std::clamp(x, -(8 << kUnit), (8 << kUnit) - 1) + (8 << kUnit);
    const int32_t low = phi_[at >> 11], step = phi_[(at >> 11) + 1] - low;
    return static_cast<int32_t>(int64_t{x} * (low + (step * (at & 2047) >> 11)) >> 24);
  }

 private:
  std::array<int32_t, 2049> phi_;  // in units of 2^-24
};
const Gelu kGelu;

// in = out 2^shift with |out| <= 2^bits; returns the shift.
int to_int16(const int32_t* in, int64_t n, int bits, int16_t* out) {
  int32_t most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(in[i]));
  const int shift = std::max(0, bit_width(most) - bits);
  const int32_t half = (1 << shift) >> 1;
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<int16_t>((in[i] + half) >> shift);
  return shift;
}

int32_t product(const int16_t* a, const int16_t* b, int64_t n) {
  int32_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += int32_t{a[i]} * int32_t{b[i]};
  return sum;
}

// The sums of products of 4 rows of a matrix with 4 vectors; a row of sums for each vector.
void products(const int16_t* rows, const int16_t* vectors, int64_t columns, int32_t* sums,
              int64_t stride) {
  int32_t s[16] = {};
  for (int64_t i = 0; i < columns; ++i)
    for (int r = 0; r < 4; ++r)
      for (int n = 0; n < 4; ++n)
        s[4 * r + n] += int32_t{rows[r * columns + i]} * int32_t{vectors[n * columns + i]};
  for (int r = 0; r < 4; ++r)
    for (int n = 0; n < 4; ++n) sums[n * stride + r] = s[4 * r + n];
}

// The row in int16 with the largest power of two that keeps the sum of magnitudes; returns that.
int to_row(const float* x, int64_t columns, int16_t* row) {
  uint32_t most = 0;
  for (int64_t i = 0; i < columns; ++i) most = std::max(most, bits_of(x[i]) & 0x7fffffff);
  for (int shift = std::min(30, 140 - static_cast<int>(most >> 23));; --shift) {
    int64_t sum = 0;
    for (int64_t i = 0; i < columns; ++i) {
      row[i] = static_cast<int16_t>(scaled(x[i], shift, 32767));
      sum += std::abs(row[i]);
    }
    if (sum <= kRowSum) return shift;
  }
}

}  // namespace

// Vectors of kGroup images, from number `first` on. What lies behind the last image is not used.
struct CodingNetwork::Group {
  int64_t images = 0;
  std::vector<int32_t> x, y, part, wide;  // [kGroup,W]; wide: the rows of some Linear
  std::vector<int16_t> factors;           // the argument of a Linear
};

// linear(in) of each image: in [kGroup,columns], out [kGroup,rows].
void CodingNetwork::apply(const Linear& linear, Group& group, const std::vector<int32_t>& in,
                          std::vector<int32_t>& out) {
  const int64_t rows = linear.rows, columns = linear.columns, padded = (group.images + 3) / 4 * 4;
  int shift[kGroup] = {};
  group.factors.resize(kGroup * columns);
  out.resize(kGroup * rows);
  for (int64_t n = 0; n < group.images; ++n)
    shift[n] = to_int16(&in[n * columns], columns, kActivationBits, &group.factors[n * columns]);
  for (int64_t r = 0; r < rows; r += 4)
    for (int64_t n = 0; n < padded; n += 4)
      products(&linear.weight[r * columns], &group.factors[n * columns], columns,
               &out[n * rows + r], rows);
  for (int64_t n = 0; n < group.images; ++n) {
    int32_t* y = &out[n * rows];
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t s = linear.shift[r] - shift[n];  // y 2^-s
      const int32_t left = std::clamp(-s, 0, 30), right = std::clamp(s, 0, 30);
      const int32_t most = kMost >> left;
      const int32_t moved = std::clamp(y[r], -most, most) << left;
      y[r] = ((moved + ((1 << right) >> 1)) >> right) + linear.bias[r];
    }
  }
}

void CodingNetwork::apply_and_add(const Linear& linear, Group& group,
                                  const std::vector<int32_t>& in) const {
  apply(linear, group, in, group.part);
  for (int64_t n = 0; n < group.images; ++n)
    for (int64_t i = 0; i < width_; ++i) {
      int32_t& x = group.x[n * width_ + i];
      x = std::clamp(x + group.part[n * linear.rows + i], -kMostSum, kMostSum);
    }
}

// LayerNorm of group.x into group.y.
void CodingNetwork::normalise(const Norm& norm, Group& group) const {
  const int64_t W = width_;
  for (int64_t n = 0; n < group.images; ++n) {
    const int32_t* x = &group.x[n * W];
    int32_t* y = &group.y[n * W];
    int64_t sum = 0;
    int32_t most = 0;
    for (int64_t i = 0; i < W; ++i) sum += x[i];
    const auto mean = static_cast<int32_t>(sum / W);
    for (int64_t i = 0; i < W; ++i) {
      y[i] = x[i] - mean;
      most = std::max(most, std::abs(y[i]));
    }
    const int shift = std::max(0, bit_width(most) - 24);  // squares then add up in 64 bits
    uint64_t squares = 0;
    for (int64_t i = 0; i < W; ++i) {
      y[i] >>= shift;
      squares += static_cast<uint64_t>(int64_t{y[i]} * y[i]);
    }
    // 1e-5 in units of 2^-36; the deviation in units of 2^-25, its inverse of 2^-23
    const uint64_t variance = squares / W + (687195u >> 2 * std::min(shift, 15));
    const auto inverse = static_cast<int64_t>((uint64_t{1} << 48) /
                                              square_root(std::max<uint64_t>(variance, 1) << 14));
    for (int64_t i = 0; i < W; ++i) {
      const int64_t z = y[i] * inverse >> 23;
      y[i] = static_cast<int32_t>(
          std::clamp<int64_t>((z * norm.weight[i] >> 16) + norm.bias[i], -kMostSum, kMostSum));
    }
  }
}

// One head of the attention at a place: query, key and value [d] of one image (in `in`, W apart)
// and the keys and values before it give out [d]. They are appended.
void CodingNetwork::attend(const int32_t* in, State& state, int64_t row, int32_t* out) const {
  const int64_t d = width_ / heads_, places = state.place + 1;
  const int query_bits = std::min(kActivationBits, 18 - bit_width(d - 1));
  // log2(e) / sqrt(d) in units of 2^-30; the constant is log2(e)^2 2^60
  const auto factor = static_cast<int64_t>(square_root(2399678642034246557u / d));
  int16_t *keys = &state.keys[row * d], *values = &state.values[row * d];
  int8_t *key_shift = &state.key_shift[row], *value_shift = &state.value_shift[row];
  std::vector<int16_t> query(d);
  const int query_shift = to_int16(in, d, query_bits, query.data());
  const auto append = [&](const int32_t* x, int16_t* all) {
    return static_cast<int8_t>(to_int16(x, d, kActivationBits, all + state.place * d));
  };
  key_shift[state.place] = append(in + width_, keys);
  value_shift[state.place] = append(in + 2 * width_, values);

  std::vector<int64_t> score(places);
  for (int64_t t = 0; t < places; ++t)  // as an exponent of 2, in units of 2^-12
    score[t] = product(query.data(), keys + t * d, d) * factor >> (54 - query_shift - key_shift[t]);
  const int64_t most = *std::max_element(score.begin(), score.end());
  uint64_t total = 0;
  for (int64_t& s : score) total += static_cast<uint64_t>(s = kPower(most - s));
  const auto inverse = static_cast<int64_t>((uint64_t{1} << 56) / total);
  const int most_shift = *std::max_element(value_shift, value_shift + places);
  std::vector<int32_t> sum(d);
  for (int64_t t = 0; t < places; ++t) {  // probabilities in units of 2^-16
    const int unit = 40 + most_shift - value_shift[t];
    const auto p = static_cast<int32_t>((score[t] * inverse + (int64_t{1} << (unit - 1))) >> unit);
    for (int64_t i = 0; i < d; ++i) sum[i] += p * values[t * d + i];
  }
  for (int64_t i = 0; i < d; ++i)
    out[i] = static_cast<int32_t>(
        std::clamp<int64_t>((int64_t{sum[i]} << most_shift) >> 16, -kMost, kMost));
}

// Softmax of a symbol's logits, of which each symbol gets at least 1.
void CodingNetwork::frequencies(const int32_t* logits, int64_t codes, uint32_t* sums) const {
  const int64_t most = *std::max_element(logits, logits + codes);
  uint64_t total = 0;
  for (int64_t k = 0; k < codes; ++k)
    total += sums[k + 1] = kPower((most - logits[k]) * kLog2E >> 36);
  const uint64_t inverse = (uint64_t{1} << 55) / total;
  sums[0] = 0;
  for (int64_t k = 0; k < codes; ++k)
    sums[k + 1] = sums[k] + 1 + static_cast<uint32_t>(sums[k + 1] * inverse >> 24);
}

CodingNetwork::CodingNetwork(const Prior& prior, const std::string& path)
    : sequence_(prior.sequence()) {
  const auto* transformer = dynamic_cast<const TransformerPrior*>(&prior);
  check(transformer != nullptr, kName, path, " is no transformer, and only these code symbols");
  width_ = transformer->options().width;
  heads_ = transformer->options().heads;
  check(width_ <= 4096 && sequence_.length() <= 1 << 16, kName, path,
        ": at most a width of 4096 and 65536 symbols can be coded");
  fingerprint_ = hash_bytes(&heads_, sizeof heads_);
  const auto hashed = [&](const auto& x) {
    fingerprint_ = hash_words(x.data(), x.size() * sizeof x[0], fingerprint_);
    return x;
  };
  const std::map<std::string, Tensor> state = state_dict(prior);
  const auto numbers = [&](const std::string& name) {
    const std::vector<float> x = state.at(name).to_vector<float>();
    for (float one : x)
      check((bits_of(one) >> 23 & 255) != 255, kName, path, ": ", name, " is not finite");
    return x;
  };
  const auto fixed = [&](const std::string& name, int unit = kUnit) {
    std::vector<int32_t> values;
    for (float x : numbers(name)) values.push_back(scaled(x, unit, kMostParameter));
    return hashed(values);
  };
  const auto norm = [&](const std::string& name) {
    return Norm{fixed(name + ".weight", 16), fixed(name + ".bias")};
  };
  const auto linear = [&](const std::string& name) {
    const Shape shape = state.at(name + ".weight").shape();
    const std::vector<float> w = numbers(name + ".weight");
    Linear made;
    made.rows = (shape[0] + 3) / 4 * 4;
    made.columns = shape[1];
    made.weight.resize(made.rows * shape[1]);
    made.shift.resize(made.rows);
    for (int64_t r = 0; r < shape[0]; ++r)
      made.shift[r] = to_row(&w[r * shape[1]], shape[1], &made.weight[r * shape[1]]);
    made.bias = fixed(name + ".bias");
    made.bias.resize(made.rows);
    hashed(made.weight), hashed(made.shift);
    return made;
  };
  const std::vector<int32_t> starts = fixed("start.weight");
  start_.assign(starts.end() - width_, starts.end());  // no class
  tokens_ = fixed("tokens.weight");
  positions_ = fixed("positions");
  for (int64_t i = 0; i < transformer->options().layers; ++i) {
    const std::string name = str("blocks.", i);
    blocks_.push_back({norm(name + ".norm1"), norm(name + ".norm2"),
                       linear(name + ".attention.qkv"), linear(name + ".attention.proj"),
                       linear(name + ".mlp.0"), linear(name + ".mlp.2")});
  }
  norm_ = norm("norm");
  for (size_t level = 0; level < sequence_.levels().size(); ++level)
    levels_.push_back(linear(str("heads.", level)));
  hashed(sequence_.levels());
}

CodingNetwork::State CodingNetwork::begin(int64_t images) const {
  const size_t rows = static_cast<size_t>(images * sequence_.length() * heads_) * blocks_.size();
  const size_t elements = rows * static_cast<size_t>(width_ / heads_);
  return {images,
          0,
          std::vector<int16_t>(elements),
          std::vector<int16_t>(elements),
          std::vector<int8_t>(rows),
          std::vector<int8_t>(rows)};
}

void CodingNetwork::next(State& state, const std::vector<int32_t>& previous,
                         std::vector<uint32_t>& sums) const {
  const int64_t W = width_, d = W / heads_, T = sequence_.length(), place = state.place;
  const auto blocks = static_cast<int64_t>(blocks_.size());
  const size_t level = sequence_.level_at(place);
  const int64_t codes = sequence_.levels()[level].codes;
  sums.resize(state.images * (codes + 1));
#pragma omp parallel for schedule(dynamic)
  for (int64_t first = 0; first < state.images; first += kGroup) {
    Group group;
    group.images = std::min(kGroup, state.images - first);
    group.x.resize(kGroup * W);
    group.y.resize(kGroup * W);
    for (int64_t n = 0; n < group.images; ++n) {
      const int32_t* input =
          place == 0 ? start_.data()
                     : &tokens_[(sequence_.offset_at(place - 1) + previous[first + n]) * W];
      for (int64_t i = 0; i < W; ++i) group.x[n * W + i] = input[i] + positions_[place * W + i];
    }
    for (int64_t b = 0; b < blocks; ++b) {
      const Block& block = blocks_[b];
      normalise(block.norm1, group);
      apply(block.qkv, group, group.y, group.wide);
      for (int64_t n = 0; n < group.images; ++n)
        for (int64_t h = 0; h < heads_; ++h)
          attend(&group.wide[n * block.qkv.rows + h * d], state,
                 (((first + n) * blocks + b) * heads_ + h) * T, &group.y[n * W + h * d]);
      apply_and_add(block.proj, group, group.y);
      normalise(block.norm2, group);
      apply(block.up, group, group.y, group.wide);
      for (int64_t i = 0; i < group.images * block.up.rows; ++i)
        group.wide[i] = kGelu(group.wide[i]);
      apply_and_add(block.down, group, group.wide);
    }
    normalise(norm_, group);
    apply(levels_[level], group, group.y, group.wide);
    for (int64_t n = 0; n < group.images; ++n)
      frequencies(&group.wide[n * levels_[level].rows], codes, &sums[(first + n) * (codes + 1)]);
  }
  ++state.place;
}

}  // namespace versor
