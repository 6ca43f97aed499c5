// CIFAR-10's and CIFAR-100's binary files. The first byte says which, and whether the rest is
// padded or cut to records (a generated file seldom has the right size).
#include <algorithm>

#include "tests/fuzz/image_folder.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static ImageFolder folder({"data_batch_1.bin", "test_batch.bin", "train.bin", "test.bin"});
  if (input.empty()) return;
  const auto choice = static_cast<unsigned char>(input[0]);
  const bool hundred = choice % 2 == 1;
  const size_t record = hundred ? 3074 : 3073;
  std::string content(input.substr(1));
  if (choice < 128) content.resize((content.size() / record + 1) * record);
  folder.set(hundred ? 2 : 0, content);
  folder.set(hundred ? 3 : 1, std::string(record, '\0'));
  DatasetPair images;
  if (!folder.load(hundred ? DataKind::cifar100 : DataKind::cifar10, images)) return;
  const Dataset& set = images.train;
  const auto count = static_cast<int64_t>(content.size() / record);
  require(set.size() == count && set.images.shape() == Shape{count, 32, 32, 3}, "so many images");
  require(*std::max_element(set.labels.begin(), set.labels.end()) < (hundred ? 100 : 10),
          "so many classes");
  const uint8_t* pixels = set.images.data<uint8_t>();
  for (size_t at = 0, p = 0; at < content.size(); at += record)
    for (size_t i = 0; i < 3072; ++i, ++p)
      require(pixels[3072 * (at / record) + 3 * (i % 1024) + i / 1024] ==
                  static_cast<uint8_t>(content[at + record - 3072 + i]),
              "every byte has its pixel");
}

}  // namespace

FUZZ_TARGET(cifar10, read)

}  // namespace versor::fuzzing
