// STL-10's files. The first byte is the number of labels, which follow; the rest is a pattern that
// fills whole images, unless the first byte is odd.
#include <algorithm>

#include "tests/fuzz/image_folder.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static ImageFolder folder({"train_X.bin", "train_y.bin"});
  if (input.size() < 2) return;
  const size_t choice = static_cast<unsigned char>(input[0]);
  const size_t labels = std::min(choice % 8, input.size() - 1);
  std::string images_file(input.substr(1 + labels));
  if (choice % 2 == 0) images_file.resize(27648 * std::max<size_t>(1, labels), 'x');
  folder.set(1, input.substr(1, labels));
  folder.set(0, images_file);
  DatasetPair images;
  if (!folder.load(DataKind::stl10, images) || images.train.size() == 0) return;
  const uint8_t* pixels = images.train.images.data<uint8_t>();
  for (size_t x = 0; x < 96; ++x)
    require(pixels[3 * x] == static_cast<uint8_t>(images_file[96 * x]), "columns become rows");
  for (const int32_t label : images.train.labels)
    require(0 <= label && label < 10, "one of ten classes");
}

}  // namespace

FUZZ_TARGET(stl10, read)

}  // namespace versor::fuzzing
