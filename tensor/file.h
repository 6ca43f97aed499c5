// Reading and writing files. Reading takes regular files only (a named pipe could block for ever)
// and checks the size before it allocates memory. Writing is atomic: a reader sees the old file or
// the whole new one, even after a kill, a power cut or a full disk (temporary file beside it,
// fsync, rename, fsync of the folder). Every error names the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace versor {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Whether the path exists. A dangling link counts: opening it reports what is wrong. Throws Error
// where this cannot be determined.
bool is_there(const std::string& path);

class InputFile {
 public:
  // Throws Error if it is not there, not readable, or no regular file.
  explicit InputFile(std::string path);

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  // Exactly `bytes` bytes from `offset` on. Throws Error if the file ends before.
  void read(void* target, uint64_t bytes, uint64_t offset) const;

 private:
  std::string path_;
  Descriptor file_;
  uint64_t size_ = 0;
};

// The whole of a file of at most `most` bytes.
constexpr uint64_t kLongestText = uint64_t{64} << 20;
std::string read_file(const std::string& path, uint64_t most = kLongestText);

// What new content must survive: the end of the program, or also a power cut (which waits for the
// disk).
enum class Survives { kill, power_cut };

// A new file, or new content of an existing one, that appears when it is committed. Until then, and
// if it never is, the existing file stays unchanged.
class OutputFile {
 public:
  // Throws Error if the folder cannot be written, or if something other than a file is there.
  explicit OutputFile(std::string path, Survives survives = Survives::power_cut);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* source, uint64_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // On commit the existing file is kept under the name `path` instead of being lost.
  void keep_previous_as(const std::string& path) { previous_ = path; }
  void commit();

 private:
  [[noreturn]] void cannot_write() const;

  std::string path_, temporary_, previous_;
  Survives survives_;
  Descriptor file_;
  bool committed_ = false;
};

void write_file(const std::string& path, std::string_view text,
                Survives survives = Survives::power_cut);
void copy_file(const std::string& from, const std::string& to);

}  // namespace versor
