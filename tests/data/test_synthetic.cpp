// Synthetic images: the same bytes everywhere, balanced classes, and something to learn in them.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "data/synthetic.h"
#include "tests/data/temporary_folder.h"

namespace {

using versor::Dataset;
using versor::DatasetPair;
using versor::synthetic_images;
using versor::testing::contains;
using versor::testing::error_of;

constexpr int64_t kImage = 3072;

// FNV-1a, 64 bits.
uint64_t checksum(const Dataset& set) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (uint8_t byte : set.images.to_vector<uint8_t>()) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

}  // namespace

TEST_CASE("synthetic: the bytes are those of every other machine") {
  const DatasetPair pair = synthetic_images(200, 50);
  CHECK(checksum(pair.train) == 2381541957063188199u);
  CHECK(checksum(pair.test) == 2485083407073414689u);
}

TEST_CASE("synthetic: sets have the shape and name they should have, and balanced classes") {
  const DatasetPair pair = synthetic_images(60, 20);
  for (const Dataset* set : {&pair.train, &pair.test}) {
    CHECK(set->images.shape() == versor::Shape{set->size(), 32, 32, 3});
    CHECK(set->name == "synthetic images (not CIFAR-10)");
    CHECK(set->synthetic);
    std::array<int64_t, 10> count{};
    for (int32_t label : set->labels) ++count.at(label);
    for (int64_t n : count) CHECK(n == set->size() / 10);
  }
  CHECK(pair.train.size() == 60);
  CHECK(pair.test.size() == 20);
}

TEST_CASE("synthetic: the first images do not depend on the number asked for") {
  const DatasetPair few = synthetic_images(12, 3), more = synthetic_images(30, 5);
  CHECK(checksum(few.train) == checksum(head(more.train, 12)));
  CHECK(checksum(few.test) == checksum(head(more.test, 3)));
}

TEST_CASE("synthetic: training and test images are all different") {
  const DatasetPair pair = synthetic_images(500, 500);
  std::set<std::string_view> distinct;
  for (const Dataset* set : {&pair.train, &pair.test}) {
    const auto* bytes = reinterpret_cast<const char*>(set->images.data<uint8_t>());
    for (int64_t i = 0; i < set->size(); ++i) distinct.emplace(bytes + i * kImage, kImage);
  }
  CHECK(distinct.size() == 1000);
}

TEST_CASE("synthetic: images vary, use the whole range, and neighbours are alike") {
  const Dataset set = synthetic_images(500, 1).train;
  const std::vector<uint8_t> bytes = set.images.to_vector<uint8_t>();
  double sum = 0, sum_of_squares = 0, step_of_squares = 0;  // a step: to the next pixel in a row
  int64_t steps = 0;
  std::array<int64_t, 256> count{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    const double value = bytes[i];
    ++count[bytes[i]];
    sum += value;
    sum_of_squares += value * value;
    if (i / 3 % 32 != 31) {
      step_of_squares += (value - bytes[i + 3]) * (value - bytes[i + 3]);
      ++steps;
    }
  }
  const double n = static_cast<double>(bytes.size()), mean = sum / n;
  const double variance = sum_of_squares / n - mean * mean;
  CHECK(mean > 100);
  CHECK(mean < 155);
  CHECK(variance > 45 * 45);  // CIFAR-10: about 63 squared
  CHECK(variance < 80 * 80);
  CHECK(std::count(count.begin(), count.end(), 0) == 0);
  // A step's mean square would be twice the variance if neighbours had nothing in common.
  const double unlike = step_of_squares / static_cast<double>(steps) / (2 * variance);
  CHECK(unlike > 0.01);
  CHECK(unlike < 0.2);
}

TEST_CASE("synthetic: numbers that cannot be made are named") {
  CHECK(contains(error_of([] { synthetic_images(0, 1); }), "cannot make 0 images"));
  CHECK(contains(error_of([] { synthetic_images(1, -3); }), "cannot make -3 images"));
  CHECK(contains(error_of([] { synthetic_images(int64_t{1} << 60, 1); }), "expected 1 to 1000000"));
}
