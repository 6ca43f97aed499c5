// IDX files. The first byte is the number of bytes that are the labels; the rest are the images.
#include <algorithm>

#include "tests/fuzz/image_folder.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static ImageFolder folder({"train-images-idx3-ubyte", "train-labels-idx1-ubyte"});
  if (input.empty()) return;
  const size_t labels = std::min<size_t>(static_cast<unsigned char>(input[0]), input.size() - 1);
  folder.set(1, input.substr(1, labels));
  folder.set(0, input.substr(1 + labels));
  DatasetPair images;
  if (!folder.load(DataKind::mnist, images) || images.train.size() == 0) return;
  const auto total =
      static_cast<uint64_t>(images.train.images.numel() + images.test.images.numel());
  require(total + 16 == input.size() - 1 - labels, "every byte is a pixel");
  require(images.train.images.dim(3) == 1, "grey images");
}

}  // namespace

FUZZ_TARGET(idx, read)

}  // namespace versor::fuzzing
