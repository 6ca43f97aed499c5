// A folder of image files whose content is an input, for the targets of the readers of such
// folders.
#pragma once

#include <deque>
#include <filesystem>
#include <vector>

#include "data/load_images.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {

class ImageFolder {
 public:
  explicit ImageFolder(const std::vector<std::string>& names) : files_(names.size()) {
    std::string path = (std::filesystem::temp_directory_path() / "versor-fuzz-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = path;
    for (size_t i = 0; i < names.size(); ++i)
      std::filesystem::create_symlink(files_[i].path(), path_ / names[i]);
  }
  ~ImageFolder() { std::filesystem::remove_all(path_); }
  ImageFolder(const ImageFolder&) = delete;
  ImageFolder& operator=(const ImageFolder&) = delete;

  void set(size_t file, std::string_view content) { files_[file].set(content); }

  // The images, if the reader accepts the files; an error names the folder. Half of the images are
  // for testing where no file is.
  bool load(DataKind kind, DatasetPair& images) const {
    const std::string folder = path_.string();
    return accepts(folder, [&] {
      const PictureSet set = find_images({kind}, folder);
      require(set.labels.size() == static_cast<size_t>(set.pictures->size()), "a label for each");
      if (set.pictures->size() > 1 || !set.test.empty())
        images = load_images({kind}, folder, {.test_fraction = .5});
    });
  }

 private:
  std::deque<MemoryFile> files_;
  std::filesystem::path path_;
};

}  // namespace versor::fuzzing
