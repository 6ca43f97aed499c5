// Files of equal records: see records.h.
#include "data/records.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace versor {

namespace fs = std::filesystem;

namespace {

// The file, opened; errors begin with [who] and end in the hint. Its status is asked first, since
// opening tells less: a link to itself "cannot be read".
std::shared_ptr<const InputFile> opened(const char* who, const std::string& path,
                                        const std::string& hint) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check(status.type() != fs::file_type::not_found, who, path, " does not exist", hint);
  check(fs::status_known(status), who, path, " cannot be read: ", error.message(), hint);
  check(status.type() != fs::file_type::directory, who, path, " is a folder, not a file", hint);
  check(fs::is_regular_file(status), who, path, " is not a regular file", hint);
  try {
    return std::make_shared<const InputFile>(path);
  } catch (const Error&) {
    fail(who, path, " cannot be read: ", std::generic_category().message(errno), hint);
  }
}

}  // namespace

RecordFile::RecordFile(const char* who, const std::string& path, int64_t header, int64_t record,
                       const std::string& hint)
    : file_(opened(who, path, hint)), header_(header), record_(record) {
  const auto bytes = static_cast<int64_t>(file_->size());
  records_ = (bytes - header) / record;
  check(bytes >= header + record, who, path, " is truncated: ", bytes,
        " bytes, less than one record of ", record, hint);
  check((bytes - header) % record == 0, who, path, " has ", bytes,
        " bytes, which is no whole number of records of ", record, hint);
}

std::vector<uint8_t> RecordFile::read(int64_t i, int64_t bytes) const {
  std::vector<uint8_t> all(static_cast<size_t>(bytes));
  file_->read(all.data(), all.size(), static_cast<uint64_t>(header_ + i * record_));
  return all;
}

RecordPictures::RecordPictures(std::vector<RecordFile> files, int64_t record, PictureShape shape,
                               PixelsOf pixels_of)
    : files_(std::move(files)),
      first_{0},
      record_(record),
      shape_(shape),
      pixels_of_(std::move(pixels_of)) {
  for (const RecordFile& file : files_) first_.push_back(first_.back() + file.records());
}

size_t RecordPictures::file_of(int64_t i) const {
  const auto after = std::upper_bound(first_.begin(), first_.end(), i);
  return static_cast<size_t>(after - first_.begin()) - 1;
}

std::vector<uint8_t> RecordPictures::record(int64_t i, int64_t bytes) const {
  const size_t file = file_of(i);
  return files_[file].read(i - first_[file], bytes);
}

Bitmap RecordPictures::read(int64_t i) const {
  Bitmap picture{shape_, std::vector<uint8_t>(static_cast<size_t>(shape_.bytes()))};
  pixels_of_(picture.pixels.data(), record(i, record_).data());
  return picture;
}

void check_folder(const char* who, const std::string& folder, const std::string& hint) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  check(status.type() != fs::file_type::not_found, who, "the folder ", folder, " does not exist",
        hint);
  check(fs::status_known(status), who, "the folder ", folder, " cannot be read: ", error.message(),
        hint);
  check(fs::is_directory(status), who, folder, " is not a folder", hint);
  const fs::file_status inside = fs::status(fs::path(folder) / "any", error);
  check(fs::status_known(inside), who, "the folder ", folder, " cannot be read: ", error.message(),
        hint);
}

std::optional<std::string> find_file(const std::string& folder,
                                     const std::vector<std::string>& names) {
  std::error_code error;
  for (const std::string& name : names) {
    const fs::path path = fs::path(folder) / name;
    if (fs::symlink_status(path, error).type() != fs::file_type::not_found) return path.string();
  }
  return {};
}

}  // namespace versor
