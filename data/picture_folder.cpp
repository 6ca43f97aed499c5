// Folders of pictures: see picture_folder.h.
#include "data/picture_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "data/jpeg_reader.h"
#include "data/png_reader.h"
#include "data/records.h"
#include "tensor/file.h"

namespace versor {

namespace fs = std::filesystem;

namespace {

constexpr const char* kWho = "pictures";
constexpr uint64_t kLongestFile = uint64_t{1} << 30;

class PictureFiles final : public Pictures {
 public:
  explicit PictureFiles(std::vector<std::string> paths) : paths_(std::move(paths)) {}

  int64_t size() const override { return static_cast<int64_t>(paths_.size()); }
  std::string file(int64_t i) const override { return paths_[static_cast<size_t>(i)]; }
  PictureShape shape(int64_t i) const override {
    const std::string path = file(i), bytes = read_file(path, kLongestFile);
    return is_png(bytes) ? png_shape(bytes, path) : jpeg_shape(bytes, path);
  }
  Bitmap read(int64_t i) const override {
    const std::string path = file(i), bytes = read_file(path, kLongestFile);
    return is_png(bytes) ? decode_png(bytes, path) : decode_jpeg(bytes, path);
  }

 private:
  std::vector<std::string> paths_;
};

bool begins_as_picture(const std::string& path) {
  const InputFile file(path);
  std::string start(static_cast<size_t>(std::min<uint64_t>(file.size(), 8)), '\0');
  file.read(start.data(), start.size(), 0);
  return is_png(start) || is_jpeg(start);
}

// Walks through folders; the pictures of a class are collected in order.
class Walk {
 public:
  std::vector<std::string> paths, classes;  // of each picture
  int64_t skipped = 0;

  // The pictures below `folder`, whose class is `label`, or on the first level the subfolder.
  void visit(const fs::path& folder, const std::string& label, bool first_level) {
    struct stat info {};
    check(stat(folder.c_str(), &info) == 0, kWho, "the folder ", folder.string(),
          " cannot be read");
    const std::pair<dev_t, ino_t> self{info.st_dev, info.st_ino};
    if (std::find(above_.begin(), above_.end(), self) != above_.end()) return;  // a link upwards
    above_.push_back(self);
    for (const fs::path& path : entries(folder)) {
      std::error_code error;
      const fs::file_status status = fs::status(path, error);
      if (fs::is_directory(status))
        visit(path, first_level ? path.filename().string() : label, false);
      else if (fs::is_regular_file(status) && begins_as_picture(path.string()))
        take(path.string(), label);
      else
        skip(path);
    }
    above_.pop_back();
  }

 private:
  // Other files may lie among pictures, but one that is called a picture is a broken one.
  void skip(const fs::path& path) {
    std::string ending = path.extension().string();
    for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    check(ending != ".png" && ending != ".jpg" && ending != ".jpeg", kWho, path.string(),
          " is neither a PNG nor a JPEG file");
    ++skipped;
  }

  static std::vector<fs::path> entries(const fs::path& folder) {
    std::error_code error;
    std::vector<fs::path> all;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      if (!it->path().filename().string().starts_with('.')) all.push_back(it->path());
    check(!error, kWho, "the folder ", folder.string(), " cannot be read: ", error.message());
    std::sort(all.begin(), all.end(),
              [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
    return all;
  }
  void take(const std::string& path, const std::string& label) {
    paths.push_back(path);
    classes.push_back(label);
  }

  std::vector<std::pair<dev_t, ino_t>> above_;  // the folders that lead to this one
};

}  // namespace

PictureSet find_pictures(const std::string& folder) {
  check_folder(kWho, folder);
  const fs::path root(folder);
  const auto is_part = [&](const char* name) {
    std::error_code ignored;
    return fs::is_directory(root / name, ignored);
  };
  const char* validation = is_part("validation") ? "validation" : "val";
  const bool tested = is_part("test"), validated = is_part(validation);
  const bool parts = is_part("train") && (tested || validated);

  PictureSet set;
  Walk walk;
  const auto add = [&](const fs::path& path, std::vector<int64_t>& part) {
    const auto first = static_cast<int64_t>(walk.paths.size());
    walk.visit(path, "", true);
    for (auto i = first; i < static_cast<int64_t>(walk.paths.size()); ++i) part.push_back(i);
    check(!part.empty(), kWho, path.string(), " has no PNG or JPEG picture");
  };
  add(parts ? root / "train" : root, set.train);
  if (parts && tested) add(root / "test", set.test);
  if (parts && validated) add(root / validation, tested ? set.validation : set.test);

  std::map<std::string, int32_t> numbers;
  for (const std::string& name : walk.classes) numbers[name] = 0;
  for (auto& [name, number] : numbers) {
    number = static_cast<int32_t>(set.classes.size());
    set.classes.push_back(name.empty() ? "(none)" : name);
  }
  for (const std::string& name : walk.classes) set.labels.push_back(numbers[name]);
  set.name = "own images";
  set.folder = fs::weakly_canonical(root).filename().string();
  set.files = walk.paths;
  set.encoded = true;
  set.skipped = walk.skipped;
  set.pictures = std::make_shared<PictureFiles>(std::move(walk.paths));
  return set;
}

PictureSet find_picture(const std::string& file) {
  PictureSet set;
  set.labels = {0};
  set.train = {0};
  set.name = "own images";
  set.files = {file};
  set.encoded = true;
  set.pictures = std::make_shared<PictureFiles>(std::vector<std::string>{file});
  return set;
}

}  // namespace versor
