// Pictures as files hold them, before they are brought into one form: what every reader gives.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace versor {

struct PictureShape {
  int64_t height = 0, width = 0, channels = 0;  // 1 grey, 3 RGB

  int64_t bytes() const { return height * width * channels; }
  bool operator==(const PictureShape&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const PictureShape& s) {
  return out << s.width << "x" << s.height << (s.channels == 1 ? " grey" : "");
}

// A file that promises more is refused: a side of 11,585, or what the largest cameras take.
constexpr uint64_t kMostPixels = uint64_t{1} << 27;

struct Bitmap {
  PictureShape shape;
  std::vector<uint8_t> pixels;  // [height,width,channels]
};

// Many pictures that are decoded one by one, on any thread.
class Pictures {
 public:
  virtual ~Pictures() = default;
  virtual int64_t size() const = 0;
  // The file of picture i, for errors.
  virtual std::string file(int64_t i) const = 0;
  // These throw Error, naming the file, if it is not what it should be.
  virtual PictureShape shape(int64_t i) const = 0;
  virtual Bitmap read(int64_t i) const = 0;
};

// What a reader finds in a folder.
struct PictureSet {
  std::shared_ptr<const Pictures> pictures;
  std::vector<int32_t> labels;                   // of each picture
  std::vector<int64_t> train, test, validation;  // the numbers of the pictures of each part
  std::string name = {};                         // these three as in Dataset
  std::string folder = {};
  std::vector<std::string> classes = {};
  // All files that were found: when one changes, so may the pictures.
  std::vector<std::string> files = {};
  bool encoded = false;  // decoding the files takes time
  int64_t skipped = 0;   // files that are no pictures
};

}  // namespace versor
