// The hash for megabytes: every byte and their order count.
#include <doctest/doctest.h>

#include <set>
#include <vector>

#include "tensor/hash.h"

namespace versor::testing {

TEST_CASE("hash of words: a bit, two bits, the order and the length all show") {
  std::vector<unsigned char> bytes(41);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(37 * i);
  std::set<uint64_t> seen;
  size_t different = 0;
  const auto add = [&](size_t length) {
    seen.insert(hash_words(bytes.data(), length));
    ++different;
  };
  for (size_t length = 0; length <= bytes.size(); ++length) add(length);
  // The highest bits of words, one and two of them: their products have nowhere to carry to.
  for (size_t i = 0; i < 8 * bytes.size(); ++i) {
    bytes[i / 8] ^= static_cast<unsigned char>(1u << i % 8);
    add(bytes.size());
    for (size_t j = i + 1; j < 8 * bytes.size(); ++j) {
      bytes[j / 8] ^= static_cast<unsigned char>(1u << j % 8);
      add(bytes.size());
      bytes[j / 8] ^= static_cast<unsigned char>(1u << j % 8);
    }
    bytes[i / 8] ^= static_cast<unsigned char>(1u << i % 8);
  }
  std::swap(bytes[0], bytes[8]);
  add(bytes.size());
  CHECK(seen.size() == different);
  CHECK(hash_words(bytes.data(), 41, 1) != hash_words(bytes.data(), 41, 2));
}

}  // namespace versor::testing
