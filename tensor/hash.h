// FNV-1a, 64 bits (Fowler, Noll, Vo): short, and the same on every machine. Every step is a
// bijection of the hash, so a single changed byte always shows. It detects accidents, not attacks:
// two texts with the same hash are easy to make.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace versor {

constexpr uint64_t kHashStart = 0xcbf29ce484222325u;

inline uint64_t hash_bytes(const void* data, size_t bytes, uint64_t hash = kHashStart) {
  const auto* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * 0x100000001b3u;
  return hash;
}

// For megabytes of data: takes eight bytes at a time and mixes them first, as MurmurHash64A does
// (Austin Appleby). The same on every machine of this byte order, and a bijection of the hash too.
inline uint64_t hash_words(const void* data, size_t bytes, uint64_t hash = kHashStart) {
  constexpr uint64_t kFactor = 0xc6a4a7935bd1e995u;
  const auto* p = static_cast<const unsigned char*>(data);
  size_t i = 0;
  for (; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, p + i, sizeof word);
    word *= kFactor;
    hash = (hash ^ (word ^ (word >> 47)) * kFactor) * kFactor;
  }
  hash = hash_bytes(p + i, bytes - i, hash);
  return hash ^ (hash >> 47);
}

inline uint64_t hash_text(std::string_view text, uint64_t hash = kHashStart) {
  return hash_bytes(text.data(), text.size(), hash);
}

}  // namespace versor
