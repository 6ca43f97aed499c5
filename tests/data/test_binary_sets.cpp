// CIFAR-100, IDX and STL-10: where each byte goes, what may be missing, and one line for each kind
// of wrong file. (CIFAR-10: test_cifar10.cpp.)
#include <doctest/doctest.h>

#include "data/load_images.h"
#include "tests/data/image_files.h"
#include "tests/data/temporary_folder.h"

namespace versor::testing {
namespace {

using Bytes = std::vector<uint8_t>;

std::string text(const Bytes& bytes) {
  return {bytes.begin(), bytes.end()};
}

DatasetPair load(DataKind kind, const TemporaryFolder& folder, const ImageForm& form = {}) {
  return load_images({kind}, folder.path().string(), form);
}

// The one line of an error that names `part`.
void check_error(DataKind kind, const TemporaryFolder& folder, const std::string& part) {
  const std::string message = error_of([&] { load(kind, folder); });
  CAPTURE(message);
  CHECK(contains(message, part));
  CHECK(contains(message, "--data-dir"));
  CHECK_FALSE(contains(message, "\n"));
}

std::string cifar100_record(int coarse, int fine, int seed) {
  std::string record = {static_cast<char>(coarse), static_cast<char>(fine)};
  return record + text(colourful(32, 96, 1, seed));  // three planes, one below the other
}

// A record of STL-10 and the pixels that it stands for.
std::pair<std::string, Bytes> stl10_record(int seed) {
  const Bytes pixels = colourful(96, 96, 3, seed);
  std::string record;
  for (int c = 0; c < 3; ++c)
    for (int x = 0; x < 96; ++x)
      for (int y = 0; y < 96; ++y)
        record.push_back(static_cast<char>(pixels[3 * (96 * y + x) + c]));
  return {record, pixels};
}

}  // namespace

TEST_CASE("cifar100: the fine label and the planes of every record") {
  const TemporaryFolder folder;
  put_file(folder / "train.bin", cifar100_record(3, 99, 0) + cifar100_record(19, 7, 1));
  put_file(folder / "test.bin", cifar100_record(0, 42, 2));
  const DatasetPair pair = load(DataKind::cifar100, folder);
  CHECK(pair.train.name == "images in CIFAR-100's format");
  CHECK(pair.train.labels == std::vector<int32_t>{99, 7});
  CHECK(pair.test.labels == std::vector<int32_t>{42});
  REQUIRE(pair.train.images.shape() == Shape{2, 32, 32, 3});
  const Bytes planes = colourful(32, 96, 1, 1);
  const uint8_t* second = pair.train.images.data<uint8_t>() + 3072;
  for (int p : {0, 1, 500, 1023})
    for (int c = 0; c < 3; ++c) CHECK(second[3 * p + c] == planes[1024 * c + p]);

  put_file(folder / "test.bin", cifar100_record(0, 100, 2));
  check_error(DataKind::cifar100, folder, "test.bin has label 100 in record 0");
  put_file(folder / "test.bin", "");
  check_error(DataKind::cifar100, folder, "test.bin is truncated: 0 bytes");
  std::filesystem::remove(folder / "train.bin");
  check_error(DataKind::cifar100, folder, "train.bin does not exist");
}

TEST_CASE("mnist: images of any size, with either kind of name, with or without labels") {
  const TemporaryFolder folder;
  put_file(folder / "train-images-idx3-ubyte", idx_file({3, 4, 5}, colourful(5, 12, 1)));
  put_file(folder / "train-labels.idx1-ubyte", idx_file({3}, {9, 0, 200}));
  put_file(folder / "t10k-images.idx3-ubyte", idx_file({2, 4, 5}, colourful(5, 8, 1, 3)));
  const DatasetPair pair = load(DataKind::mnist, folder);
  CHECK(pair.train.name == "images in MNIST's format");
  CHECK(pair.train.labels == std::vector<int32_t>{9, 0, 200});
  CHECK(pair.test.labels == std::vector<int32_t>{0, 0});
  CHECK(pair.train.images.shape() == Shape{3, 4, 5, 1});
  CHECK(pair.train.images.to_vector<uint8_t>() == colourful(5, 12, 1));
  CHECK(pair.test.images.to_vector<uint8_t>() == colourful(5, 8, 1, 3));
  const EnvironmentVariable cache("XDG_CACHE_HOME", folder.path().c_str());
  const DatasetPair formed = load(DataKind::mnist, folder, {.size = 8, .channels = 3});
  CHECK(formed.test.images.shape() == Shape{2, 8, 8, 3});
}

TEST_CASE("mnist: the sets are known by their first labels") {
  const TemporaryFolder folder;
  put_file(folder / "train-images-idx3-ubyte", idx_file({10, 4, 4}, Bytes(160)));
  put_file(folder / "t10k-images-idx3-ubyte", idx_file({1, 4, 4}, Bytes(16)));
  const auto name = [&](const Bytes& labels) {
    put_file(folder / "train-labels-idx1-ubyte", idx_file({10}, labels));
    return load(DataKind::mnist, folder).train.name;
  };
  CHECK(name({5, 0, 4, 1, 9, 2, 1, 3, 1, 4}) == "MNIST");
  CHECK(name({9, 0, 0, 3, 0, 2, 7, 2, 5, 5}) == "Fashion-MNIST");
  CHECK(name({5, 0, 4, 1, 9, 2, 1, 3, 1, 5}) == "images in MNIST's format");
}

TEST_CASE("mnist: a wrong file is named") {
  const TemporaryFolder folder;
  const std::string images = folder / "train-images-idx3-ubyte";
  check_error(DataKind::mnist, folder, "has no train-images-idx3-ubyte");
  const std::string whole = idx_file({3, 4, 5}, Bytes(60));
  const std::pair<std::string, const char*> wrong[] = {
      {"", "is truncated: 0 bytes"},
      {whole.substr(0, 3), "train-images"},
      {whole.substr(0, 12), "is truncated"},
      {whole.substr(0, 75), "is truncated: 59 bytes after its header, which promises 60"},
      {whole + "x", "is too large"},
      {idx_file({60}, Bytes(60)), "does not begin as an IDX file of bytes with 3 dimensions"},
      {"\x1f\x8b" + whole, "does not begin as an IDX file"},
      {idx_file({3, 0, 5}, Bytes(60)), "dimension 2 of 0"},
      {idx_file({1, 1 << 16, 1}, Bytes(60)), "dimension 2 of 65536"},
      {idx_file({int64_t{1} << 31, 1 << 15, 1 << 15}, Bytes(60)), "is truncated"}};
  for (const auto& [content, part] : wrong) {
    put_file(images, content);
    check_error(DataKind::mnist, folder, part);
    check_error(DataKind::mnist, folder, images);
  }
  put_file(images, whole);
  put_file(folder / "train-labels-idx1-ubyte", idx_file({2}, Bytes(2)));
  check_error(DataKind::mnist, folder, "has 2 labels for 3 images");
  std::filesystem::remove(folder / "train-labels-idx1-ubyte");
  put_file(folder / "t10k-images-idx3-ubyte", idx_file({3, 5, 4}, Bytes(60)));
  check_error(DataKind::mnist, folder, "has images of 4x5 grey and the training images are 5x4");
}

TEST_CASE("stl10: columns become rows, and unlabelled images are for training") {
  const TemporaryFolder folder;
  const auto [a, first] = stl10_record(0);
  const auto [b, second] = stl10_record(5);
  put_file(folder / "train_X.bin", a + b);
  put_file(folder / "train_y.bin", "\x01\x0a");
  put_file(folder / "test_X.bin", b);
  DatasetPair pair = load(DataKind::stl10, folder);
  CHECK(pair.train.name == "images in STL-10's format");
  CHECK(pair.train.labels == std::vector<int32_t>{0, 9});
  CHECK(pair.test.labels == std::vector<int32_t>{0});
  REQUIRE(pair.train.images.shape() == Shape{2, 96, 96, 3});
  CHECK(pair.train.images.rows(0, 1).to_vector<uint8_t>() == first);
  CHECK(pair.test.images.to_vector<uint8_t>() == second);

  put_file(folder / "unlabeled_X.bin", b);
  pair = load(DataKind::stl10, folder);
  CHECK(pair.train.labels == std::vector<int32_t>{0, 9, 10});
  CHECK(pair.train.images.rows(2, 3).to_vector<uint8_t>() == second);
  CHECK(pair.test.images.to_vector<uint8_t>() == second);

  put_file(folder / "train_y.bin", std::string("\x01\0", 2));
  check_error(DataKind::stl10, folder, "train_y.bin has label 0 at byte 1");
  put_file(folder / "train_y.bin", "\x01");
  check_error(DataKind::stl10, folder, "train_y.bin has 1 labels for 2 images");
  put_file(folder / "test_X.bin", b.substr(1));
  put_file(folder / "train_y.bin", "\x01\x02");
  check_error(DataKind::stl10, folder, "test_X.bin is truncated: 27647 bytes");
  std::filesystem::remove(folder / "train_X.bin");
  check_error(DataKind::stl10, folder, "has no train_X.bin");
}

}  // namespace versor::testing
