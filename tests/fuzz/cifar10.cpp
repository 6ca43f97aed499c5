// CIFAR-10's binary files. The first byte says how many records are read, and whether the rest is
// padded or cut to fit (a generated file seldom has the right size).
#include "data/cifar10.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static MemoryFile file;
  if (input.empty()) return;
  const auto choice = static_cast<unsigned char>(input[0]);
  const int64_t records = 1 + choice % 2;
  std::string content(input.substr(1));
  if (choice < 128) content.resize(static_cast<size_t>(records) * 3073);
  file.set(content);
  Dataset set;
  if (!accepts(file.path(), [&] { set = read_cifar10_files({file.path()}, records); })) return;
  require(set.size() == records && set.images.shape() == Shape{records, 32, 32, 3},
          "so many images");
  require(*std::max_element(set.labels.begin(), set.labels.end()) < 10, "ten classes");
  const uint8_t* pixels = set.images.data<uint8_t>();
  for (size_t at = 0, p = 0; at < content.size(); at += 3073)
    for (size_t i = 0; i < 3072; ++i, ++p)
      require(pixels[3072 * (at / 3073) + 3 * (i % 1024) + i / 1024] ==
                  static_cast<uint8_t>(content[at + 1 + i]),
              "every byte has its pixel");
}

}  // namespace

FUZZ_TARGET(cifar10, read)

}  // namespace versor::fuzzing
