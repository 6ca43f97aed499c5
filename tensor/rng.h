// Random numbers from a counter: bits = philox(key, counter), a pure function without state.
// Every value is addressed by (seed, stream, index), so devices and thread counts agree on it, and
// a resumed run draws what an uninterrupted one would have drawn.
// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "tensor/hostdevice.h"

namespace versor {

struct Philox {
  // Ten rounds of Philox-4x32; its published test vectors are in tests/tensor/test_rng.cpp.
  VERSOR_HD static std::array<uint32_t, 4> block(std::array<uint32_t, 4> c, uint32_t key0,
                                                 uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
      c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(p1),
           static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(p0)};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return c;
  }
};

// Two words of random bits to one standard normal number: sqrt(-2 ln u) cos(2 pi v), u in (0,1],
// v in [0,1) (Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958). u keeps
// all 32 bits and is at least 2^-33, so that the tails reach to 6.7 and nothing is infinite.
VERSOR_HD inline float box_muller(uint32_t a, uint32_t b) {
  const float u = (static_cast<float>(a) + 0.5f) * 0x1p-32f;
  const float v = static_cast<float>(b >> 8) * 0x1p-24f;
  return std::sqrt(-2.f * std::log(u)) * std::cos(6.28318531f * v);
}

// A stream of random numbers. Copy it freely: it only holds its address. `split` names independent
// sub-streams, e.g. rng.split(kShuffle).split(epoch).
struct Rng {
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t first = 0;  // added to every index

  explicit Rng(uint64_t seed_, uint64_t stream_ = 0) : seed(seed_), stream(stream_) {}

  // The stream's own number is drawn from Philox, so that (a, b) and (b, a) differ.
  VERSOR_HD Rng split(uint64_t purpose) const {
    const auto b =
        Philox::block({static_cast<uint32_t>(purpose), static_cast<uint32_t>(purpose >> 32),
                       static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                      static_cast<uint32_t>(seed) ^ 0x5bd1e995u, static_cast<uint32_t>(seed >> 32));
    Rng child = *this;
    child.stream = uint64_t{b[0]} | (uint64_t{b[1]} << 32);
    child.first = 0;
    return child;
  }
  // The same stream from number n on, to draw it in parts.
  VERSOR_HD Rng from(uint64_t n) const {
    Rng later = *this;
    later.first += n;
    return later;
  }
  // The 128 bits at this address.
  VERSOR_HD std::array<uint32_t, 4> block(uint64_t index) const {
    index += first;
    return Philox::block({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                          static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                         static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  }
  VERSOR_HD uint32_t bits(uint64_t index) const { return block(index)[0]; }
  // Uniform on [0,1) with 24 bits, exact in f32.
  VERSOR_HD float uniform(uint64_t index) const { return unit(bits(index)); }
  // The same from all four words of a block, for many numbers in a row: a quarter of the work.
  VERSOR_HD float uniform_by_four(uint64_t index) const {
    return unit(block(index / 4)[index % 4]);
  }
  VERSOR_HD static float unit(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }
  // Standard normal. Made of the same bits as uniform(index): draw the two from different streams.
  VERSOR_HD float normal(uint64_t index) const {
    const auto b = block(index);
    return box_muller(b[0], b[1]);
  }

  // Position of i under a random permutation of 0..n-1 (n < 2^31): a bijection computed per
  // element, so that shuffles and draws without replacement need neither memory nor order. A
  // Feistel network permutes the next power of four; "cycle walking" repeats it until the result
  // falls below n (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
  VERSOR_HD uint32_t permute(uint32_t i, uint32_t n) const {
    int half = 1;
    while ((uint64_t{1} << (2 * half)) < n) ++half;
    const uint32_t mask = (uint32_t{1} << half) - 1;
    do {
      uint32_t left = i >> half, right = i & mask;
      for (uint32_t round = 0; round < 6; ++round) {
        const uint32_t f = bits((uint64_t{round + 1} << 32) | right) & mask;
        const uint32_t next = left ^ f;
        left = right;
        right = next;
      }
      i = (left << half) | right;
    } while (i >= n);
    return i;
  }
};

}  // namespace versor
