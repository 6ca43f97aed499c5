// Reader of IDX files: see idx.h for the format.
#include "data/idx.h"

#include <algorithm>

#include "data/records.h"

namespace versor {

namespace {

constexpr const char* kWho = "mnist";
constexpr const char* kHint =
    "; --data-dir is the folder with train-images-idx3-ubyte (unpacked with gunzip)";
constexpr int64_t kLargestSide = 1 << 15;

// The labels of the first training images tell MNIST from Fashion-MNIST and others.
const std::vector<int32_t> kMnistStart = {5, 0, 4, 1, 9, 2, 1, 3, 1, 4};
const std::vector<int32_t> kFashionStart = {9, 0, 0, 3, 0, 2, 7, 2, 5, 5};

std::vector<std::string> names(const std::string& name, int dimensions) {
  return {str(name, "-idx", dimensions, "-ubyte"), str(name, ".idx", dimensions, "-ubyte")};
}

// The dimensions in the header of a file, which has as many bytes as they say.
std::vector<int64_t> dimensions_of(const std::string& path, int64_t expected) {
  const int64_t header = 4 + 4 * expected;
  const RecordFile whole(kWho, path, header, 1, kHint);
  const std::vector<uint8_t> head = RecordFile(kWho, path, 0, 1).read(0, header);
  check(head[0] == 0 && head[1] == 0 && head[2] == 8 && head[3] == expected, kWho, path,
        " does not begin as an IDX file of bytes with ", expected, " dimensions", kHint);
  std::vector<int64_t> dimensions;
  int64_t product = 1;
  for (int64_t d = 1; d <= expected; ++d) {
    int64_t extent = 0;
    for (int64_t i = 0; i < 4; ++i) extent = extent << 8 | head[static_cast<size_t>(4 * d + i)];
    check(extent > 0 && (d == 1 || extent <= kLargestSide), kWho, path, " has dimension ", d,
          " of ", extent, kHint);
    dimensions.push_back(extent);
    product *= extent;
  }
  check(product == whole.records(), kWho, path, " is ",
        product > whole.records() ? "truncated" : "too large", ": ", whole.records(),
        " bytes after its header, which promises ", product, kHint);
  return dimensions;
}

// The labels of `count` images; all 0 if there is no file.
std::vector<int32_t> labels_of(const std::optional<std::string>& path, int64_t count) {
  if (!path) return std::vector<int32_t>(static_cast<size_t>(count));
  const int64_t labels = dimensions_of(*path, 1)[0];
  check(labels == count, kWho, *path, " has ", labels, " labels for ", count, " images", kHint);
  const auto bytes = RecordFile(kWho, *path, 8, count, kHint).read(0, count);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

PictureSet find_mnist(const std::string& folder) {
  check_folder(kWho, folder, kHint);
  PictureSet set;
  std::vector<RecordFile> files;
  PictureShape shape;
  for (const std::string part : {"train", "t10k"}) {
    const auto images = find_file(folder, names(part + "-images", 3));
    if (!images && part == "t10k") continue;
    check(images.has_value(), kWho, folder, " has no train-images-idx3-ubyte", kHint);
    const std::vector<int64_t> d = dimensions_of(*images, 3);
    const PictureShape found = {d[1], d[2], 1};
    check(files.empty() || found == shape, kWho, *images, " has images of ", found,
          " and the training images are ", shape, kHint);
    shape = found;
    const auto labels = find_file(folder, names(part + "-labels", 1));
    const std::vector<int32_t> values = labels_of(labels, d[0]);
    for (int64_t i = 0; i < d[0]; ++i)
      (files.empty() ? set.train : set.test).push_back(static_cast<int64_t>(set.labels.size()) + i);
    set.labels.insert(set.labels.end(), values.begin(), values.end());
    set.files.push_back(*images);
    if (labels) set.files.push_back(*labels);
    files.emplace_back(kWho, *images, 16, shape.bytes(), kHint);
  }
  const auto starts = [&](const std::vector<int32_t>& with) {
    return std::mismatch(with.begin(), with.end(), set.labels.begin(), set.labels.end()).first ==
           with.end();
  };
  set.name = starts(kMnistStart)     ? "MNIST"
             : starts(kFashionStart) ? "Fashion-MNIST"
                                     : "images in MNIST's format";
  set.pictures = std::make_shared<RecordPictures>(
      std::move(files), shape.bytes(), shape, [shape](uint8_t* pixels, const uint8_t* record) {
        std::copy(record, record + shape.bytes(), pixels);
      });
  return set;
}

}  // namespace versor
