// Pictures in files of equal records: what the binary formats have in common.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/picture.h"
#include "tensor/file.h"

namespace versor {

// A file of a header and records of equal length. It is measured before it is read: neither a wrong
// file nor a named pipe can make a reader hang or take memory.
class RecordFile {
 public:
  // Throws Error, beginning with [who] and ending in `hint`, unless `path` is a regular file of
  // `header` bytes and at least one record.
  RecordFile(const char* who, const std::string& path, int64_t header, int64_t record,
             const std::string& hint = "");

  const std::string& path() const { return file_->path(); }
  int64_t records() const { return records_; }
  // The first bytes of record i, or as many as `bytes`.
  std::vector<uint8_t> read(int64_t i, int64_t bytes) const;

 private:
  std::shared_ptr<const InputFile> file_;
  int64_t header_, record_, records_;
};

// The pictures of several such files, one after the other. `pixels_of` makes the pixels of a
// picture, [height,width,channels], from its record.
class RecordPictures final : public Pictures {
 public:
  using PixelsOf = std::function<void(uint8_t* pixels, const uint8_t* record)>;
  RecordPictures(std::vector<RecordFile> files, int64_t record, PictureShape shape,
                 PixelsOf pixels_of);

  int64_t size() const override { return first_.back(); }
  std::string file(int64_t i) const override { return files_[file_of(i)].path(); }
  PictureShape shape(int64_t) const override { return shape_; }
  Bitmap read(int64_t i) const override;
  // The first bytes of the record of picture i.
  std::vector<uint8_t> record(int64_t i, int64_t bytes) const;

 private:
  size_t file_of(int64_t i) const;

  std::vector<RecordFile> files_;
  std::vector<int64_t> first_;  // the first picture of each file; last, their number
  int64_t record_;
  PictureShape shape_;
  PixelsOf pixels_of_;
};

// Throws Error unless `folder` is a folder that can be looked into.
void check_folder(const char* who, const std::string& folder, const std::string& hint = "");

// The first of these files that is in the folder, which has been checked.
std::optional<std::string> find_file(const std::string& folder,
                                     const std::vector<std::string>& names);

}  // namespace versor
