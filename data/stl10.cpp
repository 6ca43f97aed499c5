// Reader of STL-10's binary files: see stl10.h for the format.
#include "data/stl10.h"

#include "data/records.h"

namespace versor {

namespace {

constexpr const char* kWho = "stl10";
constexpr const char* kHint =
    "; --data-dir is the folder with train_X.bin (the binary version of STL-10)";
constexpr int64_t kSide = 96, kPlane = kSide * kSide, kRecord = 3 * kPlane;
constexpr int kClasses = 10, kUnlabelled = kClasses;
constexpr int64_t kOfficialTest = 8000;

// From planes of columns to interleaved pixels of rows.
void columns_to_pixels(uint8_t* pixels, const uint8_t* planes) {
  for (int64_t y = 0; y < kSide; ++y)
    for (int64_t x = 0; x < kSide; ++x)
      for (int64_t c = 0; c < 3; ++c)
        pixels[3 * (kSide * y + x) + c] = planes[kPlane * c + kSide * x + y];
}

// 0..9 for the labels 1..10 of `count` images; all 0 if there is no file.
std::vector<int32_t> labels_of(const std::optional<std::string>& path, int64_t count) {
  std::vector<int32_t> labels(static_cast<size_t>(count));
  if (!path) return labels;
  const RecordFile file(kWho, *path, 0, 1, kHint);
  check(file.records() == count, kWho, *path, " has ", file.records(), " labels for ", count,
        " images", kHint);
  const std::vector<uint8_t> bytes = file.read(0, count);
  for (size_t i = 0; i < labels.size(); ++i) {
    labels[i] = bytes[i] - 1;
    check(0 <= labels[i] && labels[i] < kClasses, kWho, *path, " has label ", int{bytes[i]},
          " at byte ", i, ", which is not a class 1..", kClasses, kHint);
  }
  return labels;
}

}  // namespace

PictureSet find_stl10(const std::string& folder) {
  check_folder(kWho, folder, kHint);
  PictureSet set;
  std::vector<RecordFile> files;
  for (const std::string part : {"train", "unlabeled", "test"}) {
    const auto images = find_file(folder, {part + "_X.bin"});
    check(images || part != "train", kWho, folder, " has no train_X.bin", kHint);
    if (!images) continue;
    files.emplace_back(kWho, *images, 0, kRecord, kHint);
    set.files.push_back(*images);
    const int64_t count = files.back().records();
    for (int64_t i = 0; i < count; ++i)
      (part == "test" ? set.test : set.train)
          .push_back(static_cast<int64_t>(set.labels.size()) + i);
    if (part == "unlabeled") {
      set.labels.resize(set.labels.size() + static_cast<size_t>(count), kUnlabelled);
      continue;
    }
    const auto file = find_file(folder, {part + "_y.bin"});
    const std::vector<int32_t> labels = labels_of(file, count);
    set.labels.insert(set.labels.end(), labels.begin(), labels.end());
    if (file) set.files.push_back(*file);
  }
  const bool official = static_cast<int64_t>(set.test.size()) == kOfficialTest;
  set.name = official ? "STL-10" : "images in STL-10's format";
  set.classes = {"airplane", "bird",   "car",  "cat",   "deer",      "dog",
                 "horse",    "monkey", "ship", "truck", "unlabelled"};  // class_names.txt
  set.pictures = std::make_shared<RecordPictures>(std::move(files), kRecord,
                                                  PictureShape{kSide, kSide, 3}, columns_to_pixels);
  return set;
}

}  // namespace versor
