// Reader of CIFAR-10's binary files: see cifar10.h for the format.
#include "data/cifar10.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace versor {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kSide = 32, kPlane = kSide * kSide, kPixels = 3 * kPlane;
constexpr int64_t kRecord = 1 + kPixels;
constexpr int kClasses = 10;
constexpr int64_t kRecordsPerFile = 10'000;
constexpr const char* kHint =
    "; run `make data`, or set CIFAR10_DIR to a folder with data_batch_1.bin "
    "(the binary version of CIFAR-10)";

// Throws unless `path` is a regular file of the right size. Does not open it, since opening a named
// pipe would wait for its writer.
void check_file(const std::string& path, int64_t records) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check(status.type() != fs::file_type::not_found, "cifar10", path, " does not exist", kHint);
  check(fs::status_known(status), "cifar10", path, " cannot be read: ", error.message(), kHint);
  check(status.type() != fs::file_type::directory, "cifar10", path, " is a folder, not a file",
        kHint);
  check(fs::is_regular_file(status), "cifar10", path, " is not a regular file", kHint);

  const auto size = fs::file_size(path, error);
  check(!error, "cifar10", path, " cannot be read: ", error.message(), kHint);
  const auto expected = static_cast<std::uintmax_t>(records * kRecord);
  check(size == expected, "cifar10", path, " is ", size < expected ? "truncated" : "too large",
        ": ", size, " bytes instead of ", expected, " (", records, " records of ", kRecord, ")",
        kHint);
}

// From planes (red, green, blue) to interleaved pixels.
void planes_to_pixels(uint8_t* pixels, const uint8_t* planes) {
  for (int64_t p = 0; p < kPlane; ++p)
    for (int64_t c = 0; c < 3; ++c) pixels[3 * p + c] = planes[c * kPlane + p];
}

// images [records,32,32,3], labels [records]; the file has passed check_file.
void read_file(const std::string& path, int64_t records, uint8_t* images, uint8_t* labels) {
  std::ifstream in(path, std::ios::binary);
  check(in.is_open(), "cifar10", path, " cannot be read: ", std::generic_category().message(errno),
        kHint);
  std::array<uint8_t, kRecord> record;
  for (int64_t i = 0; i < records; ++i) {
    in.read(reinterpret_cast<char*>(record.data()), kRecord);
    check(in.gcount() == kRecord, "cifar10", path, " ended or failed while record ", i,
          " (counted from 0) was read", kHint);
    check(record[0] < kClasses, "cifar10", path, " has label ", int{record[0]}, " in record ", i,
          " (counted from 0), which is not a class 0..9", kHint);
    labels[i] = record[0];
    planes_to_pixels(images + i * kPixels, record.data() + 1);
  }
}

}  // namespace

Dataset read_cifar10_files(const std::vector<std::string>& paths, int64_t records) {
  check(!paths.empty() && records >= 1, "cifar10", "there is nothing to read: ", paths.size(),
        " files of ", records, " records");
  for (const std::string& path : paths) check_file(path, records);
  const int64_t total = static_cast<int64_t>(paths.size()) * records;
  Dataset set{Tensor({total, kSide, kSide, 3}, DType::u8),
              std::vector<uint8_t>(static_cast<size_t>(total)), "CIFAR-10", false};
  int64_t first = 0;
  for (const std::string& path : paths) {
    read_file(path, records, set.images.data<uint8_t>() + first * kPixels,
              set.labels.data() + first);
    first += records;
  }
  return set;
}

DatasetPair load_cifar10(const std::string& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  check(status.type() != fs::file_type::not_found, "cifar10", "the folder ", folder,
        " does not exist", kHint);
  check(fs::status_known(status), "cifar10", "the folder ", folder,
        " cannot be read: ", error.message(), kHint);
  check(fs::is_directory(status), "cifar10", folder, " is not a folder", kHint);

  const auto file = [&](const std::string& name) { return (fs::path(folder) / name).string(); };
  std::vector<std::string> train;
  for (int i = 1; i <= 5; ++i) train.push_back(file(str("data_batch_", i, ".bin")));
  return {read_cifar10_files(train, kRecordsPerFile),
          read_cifar10_files({file("test_batch.bin")}, kRecordsPerFile)};
}

}  // namespace versor
