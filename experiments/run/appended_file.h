// A file that grows at its end while others read it: `tail -f` follows it, as it cannot follow a
// file that is replaced. What has been appended survives a kill. After a power cut the end may be
// missing, unless sync() came before.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tensor/file.h"

namespace versor {

class AppendedFile {
 public:
  // Opens the file, or makes an empty one. Throws Error, naming it, if that is not possible.
  explicit AppendedFile(std::string path);

  uint64_t size() const { return size_; }
  // Appends all of it or, if that is not possible (a full disk), nothing, and throws Error.
  void append(std::string_view bytes);
  void cut(uint64_t size);  // removes what follows the first `size` bytes
  void sync() const;

 private:
  [[noreturn]] void cannot_write() const;

  std::string path_;
  Descriptor file_;
  uint64_t size_ = 0;
};

// Makes `path` hold exactly `text`: appends what is missing, if the file holds its beginning. Else
// the file is first cut after the last line that the two have in common. So a line that a kill tore
// is mended, and lines that a resumed run repeats are not there twice.
void append_up_to(const std::string& path, const std::string& text);

}  // namespace versor
