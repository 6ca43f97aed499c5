// Files: see file.h.
#include "tensor/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "tensor/error.h"

namespace versor {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// A rename is on the disk once its folder is.
void sync_folder(const std::string& path) {
  const Descriptor folder(open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // some file systems (FUSE) do not support fsync on a folder
  check(folder.get() >= 0 && (fsync(folder.get()) == 0 || errno == EINVAL), "file",
        "cannot write the folder of ", path, " to the disk: ", std::strerror(errno));
}

// The temporary file is always a new one: whatever has its name was left behind by a kill.
int create(const std::string& path, const std::string& temporary) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0)
    check(S_ISREG(info.st_mode), "file", path, " is there and is no regular file");
  unlink(temporary.c_str());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  check(fd >= 0, "file", "cannot write ", path, ": ", std::strerror(errno));
  return fd;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

bool is_there(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) return true;
  check(errno == ENOENT || errno == ENOTDIR, "file", "cannot look for ", path, ": ",
        std::strerror(errno));
  return false;
}

InputFile::InputFile(std::string path)
    : path_(std::move(path)),
      file_(open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {  // a pipe must not block
  check(file_.get() >= 0, "file", "cannot open ", path_, ": ", std::strerror(errno));
  struct stat info {};
  check(fstat(file_.get(), &info) == 0, "file", "cannot read ", path_, ": ", std::strerror(errno));
  check(S_ISREG(info.st_mode), "file", path_,
        S_ISDIR(info.st_mode) ? " is a folder, not a file" : " is not a regular file");
  size_ = static_cast<uint64_t>(info.st_size);
}

void InputFile::read(void* target, uint64_t bytes, uint64_t offset) const {
  char* out = static_cast<char*>(target);
  while (bytes > 0) {
    const ssize_t n = pread(file_.get(), out, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    check(n >= 0, "file", "cannot read ", path_, ": ", std::strerror(errno));
    check(n > 0, "file", path_, " is truncated: it ends at byte ", offset);
    out += n;
    offset += static_cast<uint64_t>(n);
    bytes -= static_cast<uint64_t>(n);
  }
}

std::string read_file(const std::string& path, uint64_t most) {
  const InputFile file(path);
  check(file.size() <= most, "file", path, " is too large: ", file.size(), " bytes, at most ", most,
        " are read");
  std::string text(file.size(), '\0');
  file.read(text.data(), text.size(), 0);
  return text;
}

OutputFile::OutputFile(std::string path, Survives survives)
    : path_(std::move(path)),
      temporary_(path_ + ".tmp"),
      survives_(survives),
      file_(create(path_, temporary_)) {}

OutputFile::~OutputFile() {
  if (!committed_) unlink(temporary_.c_str());  // a full disk should not stay full
}

void OutputFile::cannot_write() const {
  const int error = errno;
  struct stat info {};
  const bool is_there = stat(path_.c_str(), &info) == 0;
  fail("file", "cannot write ", path_, ": ", std::strerror(error),
       is_there ? "; what was there is unchanged" : "");
}

void OutputFile::write(const void* source, uint64_t bytes) {
  const char* in = static_cast<const char*>(source);
  while (bytes > 0) {
    const ssize_t n = ::write(file_.get(), in, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) cannot_write();
    in += n;
    bytes -= static_cast<uint64_t>(n);
  }
}

void OutputFile::commit() {
  const bool sync = survives_ == Survives::power_cut;
  if (sync && fsync(file_.get()) != 0) cannot_write();
  if (!previous_.empty()) {  // a second name for the same file: the first is there at all times
    unlink(previous_.c_str());
    // there may be no old file, and some file systems have no hard links: then none is kept
    (void)!link(path_.c_str(), previous_.c_str());
  }
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) cannot_write();
  committed_ = true;
  if (sync) sync_folder(path_);
}

void write_file(const std::string& path, std::string_view text, Survives survives) {
  OutputFile file(path, survives);
  file.write(text);
  file.commit();
}

void copy_file(const std::string& from, const std::string& to) {
  const InputFile in(from);
  OutputFile out(to);
  std::vector<char> part(std::min<uint64_t>(in.size(), 1 << 20));
  for (uint64_t at = 0; at < in.size(); at += part.size()) {
    const uint64_t bytes = std::min<uint64_t>(part.size(), in.size() - at);
    in.read(part.data(), bytes, at);
    out.write(part.data(), bytes);
  }
  out.commit();
}

}  // namespace versor
