// Reader of CIFAR's binary files: see cifar.h for the format.
#include "data/cifar.h"

#include "data/records.h"

namespace versor {

namespace {

constexpr int64_t kSide = 32, kPlane = kSide * kSide, kPixels = 3 * kPlane;
constexpr const char* kHint10 =
    "; run `make data`, or set CIFAR10_DIR to a folder with data_batch_1.bin "
    "(the binary version of CIFAR-10)";
constexpr const char* kHint100 =
    "; --data-dir is the folder with train.bin and test.bin (the binary version of CIFAR-100)";

struct Cifar {
  const char *who, *name, *hint;
  int64_t labels;       // bytes before the pixels; the last is the label
  int classes;          // of that label
  int64_t train, test;  // images in the official files
};
constexpr Cifar kCifar10 = {"cifar10", "CIFAR-10", kHint10, 1, 10, 50'000, 10'000};
constexpr Cifar kCifar100 = {"cifar100", "CIFAR-100", kHint100, 2, 100, 50'000, 10'000};

// From planes (red, green, blue) to interleaved pixels.
void planes_to_pixels(uint8_t* pixels, const uint8_t* planes) {
  for (int64_t p = 0; p < kPlane; ++p)
    for (int64_t c = 0; c < 3; ++c) pixels[3 * p + c] = planes[c * kPlane + p];
}

int32_t label_of(const Cifar& kind, const RecordFile& file, int64_t i) {
  const int label = file.read(i, kind.labels).back();
  check(label < kind.classes, kind.who, file.path(), " has label ", label, " in record ", i,
        " (counted from 0), which is not a class 0..", kind.classes - 1, kind.hint);
  return label;
}

// The last file has the test images if `with_test`.
PictureSet find(const Cifar& kind, const std::vector<std::string>& paths, bool with_test) {
  const int64_t record = kind.labels + kPixels;
  PictureSet set;
  std::vector<RecordFile> files;
  for (const std::string& path : paths) {
    files.emplace_back(kind.who, path, 0, record, kind.hint);
    auto& part = with_test && &path == &paths.back() ? set.test : set.train;
    for (int64_t i = 0; i < files.back().records(); ++i) {
      part.push_back(static_cast<int64_t>(set.labels.size()));
      set.labels.push_back(label_of(kind, files.back(), i));
    }
  }
  set.files = paths;
  const bool official = static_cast<int64_t>(set.train.size()) == kind.train &&
                        static_cast<int64_t>(set.test.size()) == kind.test;
  set.name = official ? kind.name : str("images in ", kind.name, "'s format");
  const int64_t labels = kind.labels;
  set.pictures =
      std::make_shared<RecordPictures>(std::move(files), record, PictureShape{kSide, kSide, 3},
                                       [labels](uint8_t* pixels, const uint8_t* bytes) {
                                         planes_to_pixels(pixels, bytes + labels);
                                       });
  return set;
}

}  // namespace

PictureSet find_cifar10(const std::string& folder) {
  check_folder(kCifar10.who, folder, kHint10);
  const auto batch = [&](int i) { return find_file(folder, {str("data_batch_", i, ".bin")}); };
  std::vector<std::string> paths;
  for (int i = 1; batch(i); ++i) paths.push_back(*batch(i));
  const int missing = static_cast<int>(paths.size()) + 1;
  check(missing > 1 && !batch(missing + 1), kCifar10.who, folder, "/data_batch_", missing,
        ".bin does not exist", kHint10);
  const auto test = find_file(folder, {"test_batch.bin"});
  if (test) paths.push_back(*test);
  PictureSet set = find(kCifar10, paths, test.has_value());
  set.classes = {"airplane", "automobile", "bird",  "cat",  "deer",
                 "dog",      "frog",       "horse", "ship", "truck"};  // batches.meta.txt
  return set;
}

PictureSet find_cifar100(const std::string& folder) {
  check_folder(kCifar100.who, folder, kHint100);
  std::vector<std::string> paths = {folder + "/train.bin"};
  const auto test = find_file(folder, {"test.bin"});
  if (test) paths.push_back(*test);
  return find(kCifar100, paths, test.has_value());
}

}  // namespace versor
