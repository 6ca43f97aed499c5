// FNV-1a, 64 bits (Fowler, Noll, Vo): short, and the same on every machine. Every step is a
// bijection of the hash, so that a single changed byte always shows. It detects
// accidents, not attacks: two texts with the same hash are easy to make.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace versor {

constexpr uint64_t kHashStart = 0xcbf29ce484222325u;

inline uint64_t hash_bytes(const void* data, size_t bytes, uint64_t hash = kHashStart) {
  const auto* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * 0x100000001b3u;
  return hash;
}

inline uint64_t hash_text(std::string_view text, uint64_t hash = kHashStart) {
  return hash_bytes(text.data(), text.size(), hash);
}

}  // namespace versor
