// CIFAR-10's reader: where each byte goes, and the error for each kind of wrong file.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <set>
#include <string_view>

#include "data/load_images.h"
#include "tests/data/temporary_folder.h"

namespace {

using versor::Dataset;
using versor::DatasetPair;
using versor::testing::contains;
using versor::testing::error_of;
using versor::testing::TemporaryFolder;

constexpr int64_t kRecord = 3073, kImage = 3072;
constexpr int64_t kFileBytes = 10'000 * kRecord;
const std::vector<std::string> kNames = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                         "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};

// The byte of record i at row y, column x, colour c: distinct for neighbours in every direction.
uint8_t byte_at(int64_t i, int64_t y, int64_t x, int64_t c) {
  return static_cast<uint8_t>(31 * i + 7 * y + 5 * x + 83 * c + x * y);
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Records first, first + 1, ...; record i has label i % 10.
std::string records(int64_t first, int64_t count) {
  std::string bytes;
  for (int64_t i = first; i < first + count; ++i) {
    bytes.push_back(static_cast<char>(i % 10));
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t y = 0; y < 32; ++y)
        for (int64_t x = 0; x < 32; ++x) bytes.push_back(static_cast<char>(byte_at(i, y, x, c)));
  }
  return bytes;
}

DatasetPair load_cifar10(const std::string& folder) {
  return versor::load_images({versor::DataKind::cifar10}, folder);
}

// Of the folder that the file is in.
std::string error_of_reading(const std::string& path) {
  return error_of([&] { load_cifar10(std::filesystem::path(path).parent_path().string()); });
}

void check_hint(const std::string& message, const std::string& path) {
  CAPTURE(message);
  CHECK(message.starts_with("[cifar10] "));
  CHECK(contains(message, path));
  CHECK(contains(message, "make data"));
  CHECK(contains(message, "CIFAR10_DIR"));
}

// A file of full size that takes no room on the disk: zeros, except for its first and last record.
void write_sparse(const std::string& path, uint8_t label) {
  std::string first(kRecord, '\0');
  first[0] = static_cast<char>(label);
  write(path, first);
  std::filesystem::resize_file(path, kFileBytes - 1);
  std::ofstream(path, std::ios::binary | std::ios::app) << static_cast<char>(100 + label);
}

std::string real_folder() {
  return versor::environment("CIFAR10_DIR").value_or("");
}

// Drops the rights of root, which may read everything, for the duration of a test.
class WithoutRoot {
 public:
  WithoutRoot() { done_ = geteuid() != 0 || seteuid(65534) == 0; }
  ~WithoutRoot() {
    if (getuid() == 0 && seteuid(0) != 0) std::abort();
  }
  bool done() const { return done_; }

 private:
  bool done_;
};

}  // namespace

TEST_CASE("cifar10: every pixel of every record lands where it belongs") {
  const TemporaryFolder folder;
  write(folder / "data_batch_1.bin", records(0, 2));
  write(folder / "data_batch_2.bin", records(2, 4));
  write(folder / "test_batch.bin", records(7, 1));
  const DatasetPair pair = load_cifar10(folder.path().string());
  CHECK(pair.test.labels == std::vector<int32_t>{7});
  CHECK(pair.test.images.data<uint8_t>()[0] == byte_at(7, 0, 0, 0));
  const Dataset& set = pair.train;
  CHECK(set.name == "images in CIFAR-10's format");  // so few are not CIFAR-10
  CHECK_FALSE(set.synthetic);
  CHECK(set.size() == 6);
  CHECK(set.labels == std::vector<int32_t>{0, 1, 2, 3, 4, 5});
  REQUIRE(set.images.shape() == versor::Shape{6, 32, 32, 3});
  const std::vector<uint8_t> pixels = set.images.to_vector<uint8_t>();
  int64_t wrong = 0, at = 0;
  for (int64_t i = 0; i < 6; ++i)
    for (int64_t y = 0; y < 32; ++y)
      for (int64_t x = 0; x < 32; ++x)
        for (int64_t c = 0; c < 3; ++c) wrong += pixels[at++] != byte_at(i, y, x, c);
  CHECK(wrong == 0);
}

TEST_CASE("cifar10: a folder of six full files is read in the official order") {
  const TemporaryFolder folder;
  for (size_t i = 0; i < kNames.size(); ++i)
    write_sparse(folder / kNames[i], static_cast<uint8_t>(i + 1));
  const DatasetPair pair = load_cifar10(folder.path().string());
  REQUIRE(pair.train.images.shape() == versor::Shape{50'000, 32, 32, 3});
  REQUIRE(pair.test.images.shape() == versor::Shape{10'000, 32, 32, 3});
  REQUIRE(pair.train.size() == 50'000);
  REQUIRE(pair.test.size() == 10'000);
  const uint8_t* pixels = pair.train.images.data<uint8_t>();
  for (int64_t file = 0; file < 5; ++file) {
    CHECK(pair.train.labels[static_cast<size_t>(file * 10'000)] == file + 1);
    CHECK(pair.train.labels[static_cast<size_t>(file * 10'000 + 1)] == 0);
    CHECK(pixels[(file + 1) * 10'000 * kImage - 1] ==
          101 + file);  // the last byte of its last blue
  }
  CHECK(pair.test.labels[0] == 6);
  CHECK(pair.test.images.data<uint8_t>()[10'000 * kImage - 1] == 106);

  CHECK(pair.train.name == "CIFAR-10");

  std::filesystem::remove(folder / "data_batch_4.bin");
  const std::string message = error_of([&] { load_cifar10(folder.path().string()); });
  check_hint(message, folder / "data_batch_4.bin");
  CHECK(contains(message, "does not exist"));
}

TEST_CASE("cifar10: without a test file every tenth image is a test image, and it is said") {
  const TemporaryFolder folder;
  write(folder / "data_batch_1.bin", records(0, 25));
  std::string said;
  const DatasetPair pair =
      versor::load_images({versor::DataKind::cifar10}, folder.path().string(), {},
                          [&](const std::string& sentence) { said += sentence; });
  CHECK(contains(said, "2 of 25"));
  CHECK(pair.test.labels == std::vector<int32_t>{9, 9});
  CHECK(pair.test.images.data<uint8_t>()[kImage] == byte_at(19, 0, 0, 0));
  REQUIRE(pair.train.size() == 23);
  CHECK(pair.train.images.data<uint8_t>()[9 * kImage] == byte_at(10, 0, 0, 0));
  CHECK(pair.train.labels[9] == 0);
}

TEST_CASE("cifar10: a wrong folder is named") {
  const TemporaryFolder folder;
  const std::string missing = folder / "nowhere", file = folder / "file";
  std::string message = error_of([&] { load_cifar10(missing); });
  check_hint(message, missing);
  CHECK(contains(message, "does not exist"));

  write(file, "x");
  message = error_of([&] { load_cifar10(file); });
  check_hint(message, file);
  CHECK(contains(message, "is not a folder"));

  message = error_of([&] { load_cifar10(folder.path().string()); });
  check_hint(message, folder / "data_batch_1.bin");
}

TEST_CASE("cifar10: a file of the wrong size is named with both sizes") {
  const TemporaryFolder folder;
  const std::string path = folder / "data_batch_1.bin";
  write(path, records(0, 3).substr(0, 3 * kRecord - 1));
  std::string message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "has 9218 bytes, which is no whole number of records of 3073"));

  write(path, records(0, 3) + "x");
  message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "has 9220 bytes"));

  write(path, "");
  message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "truncated: 0 bytes"));

  std::filesystem::resize_file(path, uintmax_t{1} << 40);  // a terabyte is refused unread
  message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "no whole number of records"));
}

TEST_CASE("cifar10: a label that is no class is named with its record") {
  const TemporaryFolder folder;
  const std::string path = folder / "data_batch_1.bin";
  std::string bytes = records(0, 3);
  bytes[2 * kRecord] = 10;
  write(path, bytes);
  std::string message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "label 10 in record 2"));

  bytes[1 * kRecord] = static_cast<char>(255);
  write(path, bytes);
  CHECK(contains(error_of_reading(path), "label 255 in record 1"));

  bytes[1 * kRecord] = bytes[2 * kRecord] = 9;
  write(path, bytes);
  write(folder / "test_batch.bin", records(0, 1));
  CHECK(error_of_reading(path) == "");
}

TEST_CASE("cifar10: what is not a file is refused at once") {
  const TemporaryFolder folder;
  const std::string path = folder / "data_batch_1.bin";
  std::filesystem::create_directory(path);
  std::string message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "is a folder"));

  std::filesystem::remove(path);
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "not a regular file"));

  std::filesystem::remove(path);
  std::filesystem::create_symlink(path, path);
  message = error_of_reading(path);
  check_hint(message, path);
  CHECK(contains(message, "cannot be read"));
}

TEST_CASE("cifar10: a file or folder without the right to read is named") {
  const TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms{0755});
  const std::string path = folder / "data_batch_1.bin", closed = folder / "closed";
  write(path, records(0, 3));
  std::filesystem::permissions(path, std::filesystem::perms::none);
  std::filesystem::create_directory(closed);
  write(closed + "/data_batch_1.bin", records(0, 3));
  std::filesystem::permissions(closed, std::filesystem::perms::none);

  std::string of_file, of_folder;
  {
    const WithoutRoot ordinary_user;
    if (!ordinary_user.done()) {
      MESSAGE("not shown: this user may read everything");
      return;
    }
    of_file = error_of_reading(path);
    of_folder = error_of([&] { load_cifar10(closed); });
  }
  std::filesystem::permissions(closed, std::filesystem::perms{0755});
  check_hint(of_file, path);
  CHECK(contains(of_file, "cannot be read: Permission denied"));
  check_hint(of_folder, "the folder " + closed);
  CHECK(contains(of_folder, "cannot be read: Permission denied"));
}

TEST_CASE("cifar10: the real data has 5,000 and 1,000 images of each class, all distinct" *
          doctest::skip(real_folder().empty())) {
  const DatasetPair pair = load_cifar10(real_folder());
  for (const Dataset* set : {&pair.train, &pair.test}) {
    std::array<int64_t, 10> count{};
    for (int32_t label : set->labels) ++count[label];
    for (int64_t n : count) CHECK(n == set->size() / 10);
    const auto* pixels = reinterpret_cast<const char*>(set->images.data<uint8_t>());
    std::set<std::string_view> distinct;
    for (int64_t i = 0; i < set->size(); ++i) distinct.emplace(pixels + i * kImage, kImage);
    CHECK(static_cast<int64_t>(distinct.size()) == set->size());
  }
}
