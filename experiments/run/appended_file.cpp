// Files that grow: see appended_file.h.
#include "experiments/run/appended_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tensor/error.h"

namespace versor {

AppendedFile::AppendedFile(std::string path)
    : path_(std::move(path)),
      file_(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0666)) {
  if (file_.get() < 0) cannot_write();
  size_ = InputFile(path_).size();  // throws if this is no regular file
}

void AppendedFile::cannot_write() const {
  fail("file", "cannot write ", path_, ": ", std::strerror(errno));
}

void AppendedFile::append(std::string_view bytes) {
  uint64_t end = size_;
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      (void)!ftruncate(file_.get(), static_cast<off_t>(size_));
      errno = error;
      cannot_write();
    }
    bytes.remove_prefix(static_cast<size_t>(n));
    end += static_cast<uint64_t>(n);
  }
  size_ = end;
}

void AppendedFile::cut(uint64_t size) {
  if (size >= size_) return;
  if (ftruncate(file_.get(), static_cast<off_t>(size)) != 0) cannot_write();
  size_ = size;
}

void AppendedFile::sync() const {
  if (fsync(file_.get()) != 0) cannot_write();
}

void append_up_to(const std::string& path, const std::string& text) {
  const std::string held = is_there(path) ? read_file(path) : "";
  const auto difference = std::mismatch(held.begin(), held.end(), text.begin(), text.end()).first;
  auto common = static_cast<size_t>(difference - held.begin());
  if (common < held.size()) common = common > 0 ? text.rfind('\n', common - 1) + 1 : 0;
  AppendedFile file(path);
  file.cut(common);
  file.append(std::string_view(text).substr(common));
  file.sync();
}

}  // namespace versor
