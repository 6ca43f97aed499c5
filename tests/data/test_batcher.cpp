// The batcher: every image once per epoch, orders that depend on (rng, epoch) alone, exact values.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "data/batcher.h"
#include "tensor/backend.h"
#include "tests/data/temporary_folder.h"

namespace {

using versor::Batcher;
using versor::Dataset;
using versor::DType;
using versor::Epoch;
using versor::Feeding;
using versor::Rng;
using versor::Shape;
using versor::Tensor;
using versor::testing::contains;
using versor::testing::error_of;

// [count,2,3,2]: image i is the bytes 12 i, 12 i + 1, ..., modulo 256.
Dataset small_set(int64_t count) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count * 12));
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  return {Tensor::from(bytes, {count, 2, 3, 2}), std::vector<int32_t>(static_cast<size_t>(count)),
          "a small set", true};
}

std::vector<int32_t> order_of(const Epoch& epoch) {
  std::vector<int32_t> order;
  for (int64_t b = 0; b < epoch.batches(); ++b) {
    const std::vector<int32_t> part = epoch.indices(b).to_vector<int32_t>();
    order.insert(order.end(), part.begin(), part.end());
  }
  return order;
}

std::vector<int32_t> counted_to(int64_t n) {
  std::vector<int32_t> numbers(static_cast<size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

TEST_CASE("batcher: bytes 0..255 become -1..1, the ends exactly") {
  std::vector<uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  const Dataset set{Tensor::from(bytes, {1, 16, 16, 1}), {0}, "all bytes", true};
  const std::vector<float> values = Batcher(set, 1).in_order().batch(0).to_vector<float>();
  REQUIRE(values.size() == 256);
  CHECK(values.front() == -1.f);
  CHECK(values.back() == 1.f);
  double largest = 0;
  for (int p = 0; p < 256; ++p)
    largest = std::max(largest, std::abs(values[static_cast<size_t>(p)] - (p * 2.0 / 255 - 1)));
  // Rounding 2/255 to f32 costs at most 2^-31, times 255, and rounding the product 2^-24.
  CHECK(largest <= 255 * 0x1p-31 + 0x1p-24);
}

TEST_CASE("batcher: a batch by a number on the device is the same batch") {
  const Epoch epoch = Batcher(small_set(7), 3).shuffled(Rng(5), 2);
  CHECK(epoch.order().to_vector<int32_t>() == order_of(epoch));
  for (int32_t b = 0; b < 3; ++b) {
    CHECK(epoch.batch_count(b) == (b < 2 ? 3 : 1));
    const Tensor number = Tensor::from(std::vector<int32_t>{b}, {1});
    const Tensor images = epoch.batch_at(number, epoch.batch_count(b));
    CHECK(images.shape() == epoch.batch(b).shape());
    CHECK(images.to_vector<float>() == epoch.batch(b).to_vector<float>());
  }
  CHECK(contains(error_of([&] { epoch.batch_count(3); }), "no batch 3 among 3"));
}

TEST_CASE("batcher: a batch holds the images that its indices name") {
  const Dataset set = small_set(7);
  const Epoch epoch = Batcher(set, 3).shuffled(Rng(5), 2);
  const std::vector<uint8_t> bytes = set.images.to_vector<uint8_t>();
  for (int64_t b = 0; b < epoch.batches(); ++b) {
    const Tensor images = epoch.batch(b);
    const std::vector<int32_t> index = epoch.indices(b).to_vector<int32_t>();
    const int64_t n = static_cast<int64_t>(index.size());
    REQUIRE(images.shape() == Shape{n, 2, 3, 2});
    REQUIRE(images.dtype() == DType::f32);
    const std::vector<float> values = images.to_vector<float>();
    for (size_t i = 0; i < values.size(); ++i) {
      const uint8_t byte = bytes[static_cast<size_t>(index[i / 12]) * 12 + i % 12];
      CHECK(values[i] == doctest::Approx(byte * 2.0 / 255 - 1).epsilon(1e-6));
    }
  }
}

TEST_CASE("batcher: the last batch holds what is left") {
  const Dataset set = small_set(10);
  struct Case {
    int64_t batch_size, batches, last;
  };
  for (const Case& c : {Case{4, 3, 2}, {5, 2, 5}, {10, 1, 10}, {1, 10, 1}, {9, 2, 1}}) {
    CAPTURE(c.batch_size);
    const Batcher batcher(set, c.batch_size);
    CHECK(batcher.size() == 10);
    CHECK(batcher.batch_size() == c.batch_size);
    CHECK(batcher.batches() == c.batches);
    const Epoch epoch = batcher.in_order();
    CHECK(epoch.batches() == c.batches);
    CHECK(epoch.batch(c.batches - 1).dim(0) == c.last);
    CHECK(epoch.indices(0).dim(0) == c.batch_size);
    CHECK(order_of(epoch) == counted_to(10));
  }
}

TEST_CASE("batcher: a shuffled epoch has every image exactly once") {
  for (int64_t count : {1, 2, 3, 16, 17, 1000}) {
    CAPTURE(count);
    const Batcher batcher(small_set(count), std::min<int64_t>(count, 7));
    for (int64_t e = 0; e < 5; ++e) {
      std::vector<int32_t> order = order_of(batcher.shuffled(Rng(1), e));
      std::sort(order.begin(), order.end());
      CHECK(order == counted_to(count));
    }
  }
}

TEST_CASE("batcher: orders differ between epochs and seeds, and repeat for equal ones") {
  const Dataset set = small_set(1000);
  const Batcher batcher(set, 128);
  const std::vector<int32_t> order = order_of(batcher.shuffled(Rng(1), 3));
  CHECK(order_of(batcher.shuffled(Rng(1), 3)) == order);
  CHECK(order_of(Batcher(set, 100).shuffled(Rng(1), 3)) == order);  // whatever the batch size

  const auto places_shared_with = [&](const std::vector<int32_t>& other) {
    return std::inner_product(order.begin(), order.end(), other.begin(), 0, std::plus<>(),
                              std::equal_to<>());
  };
  // Two random orders share one place on average; ten or more happen once in ten million.
  CHECK(places_shared_with(counted_to(1000)) < 10);
  CHECK(places_shared_with(order_of(batcher.shuffled(Rng(1), 4))) < 10);
  CHECK(places_shared_with(order_of(batcher.shuffled(Rng(2), 3))) < 10);
  CHECK(places_shared_with(order_of(batcher.shuffled(Rng(1).split(1), 3))) < 10);
}

TEST_CASE("batcher: an image comes at every place of the epoch equally often") {
  const Batcher batcher(small_set(10), 10);
  std::array<int, 10> times{};  // how often image 3 comes at each place, over 2,000 epochs
  for (int64_t e = 0; e < 2000; ++e) {
    const std::vector<int32_t> order = order_of(batcher.shuffled(Rng(9), e));
    ++times[static_cast<size_t>(std::find(order.begin(), order.end(), 3) - order.begin())];
  }
  double chi_squared = 0;  // 9 degrees of freedom: above 33.7 once in 10,000 tries
  for (int n : times) chi_squared += (n - 200.0) * (n - 200.0) / 200.0;
  CHECK(chi_squared < 33.7);
}

TEST_CASE("batcher: how an image is mirrored and shifted depends on rng, epoch and image alone") {
  // All images are equal, no pixel like another.
  const int64_t count = 100;
  std::vector<uint8_t> bytes;
  for (int64_t i = 0; i < count; ++i)
    for (uint8_t p = 0; p < 12; ++p) bytes.push_back(p);
  const Dataset set{Tensor::from(bytes, {count, 3, 4, 1}), std::vector<int32_t>(count), "s", true};
  // The changed images by the number of the image.
  const auto images_of = [&](const Epoch& epoch) {
    std::vector<std::vector<float>> images(count);
    for (int64_t b = 0; b < epoch.batches(); ++b) {
      const Tensor number = Tensor::from(std::vector{static_cast<int32_t>(b)}, {1});
      const Tensor batch = epoch.batch(b);
      CHECK(epoch.batch_at(number, batch.dim(0)).to_vector<float>() == batch.to_vector<float>());
      const auto index = epoch.indices(b).to_vector<int32_t>();
      for (int64_t n = 0; n < batch.dim(0); ++n)
        images[static_cast<size_t>(index[n])] = batch.rows(n, n + 1).to_vector<float>();
    }
    return images;
  };
  const Batcher plain(set, 30), mirrors(set, 30, {}, {.mirror = true});
  const auto original = plain.in_order().batch(0).rows(0, 1).to_vector<float>();
  std::vector<float> mirrored = original;
  for (int row = 0; row < 3; ++row)
    std::reverse(mirrored.begin() + 4 * row, mirrored.begin() + 4 * row + 4);
  const auto images = images_of(mirrors.shuffled(Rng(1), 3));
  int times = 0;
  for (const auto& image : images) {
    const bool is_original = image == original;
    CHECK((is_original || image == mirrored));
    times += !is_original;
  }
  CHECK(times > 30);  // of 100; fewer happen once in 30,000 tries
  CHECK(times < 70);
  CHECK(order_of(mirrors.shuffled(Rng(1), 3)) == order_of(plain.shuffled(Rng(1), 3)));
  CHECK(images_of(mirrors.shuffled(Rng(1), 3)) == images);
  CHECK(images_of(Batcher(set, 7, {}, {.mirror = true}).shuffled(Rng(1), 3)) == images);
  CHECK(images_of(mirrors.shuffled(Rng(1), 4)) != images);
  CHECK(images_of(mirrors.shuffled(Rng(2), 3)) != images);
  for (const auto& image : images_of(mirrors.in_order())) CHECK(image == original);

  // All 18 results of a shift by -1, 0 or 1 each way, mirrored or not.
  const Batcher both(set, 30, {}, {.mirror = true, .shift = 1});
  std::set<std::vector<float>> seen;
  for (int64_t e = 0; e < 5; ++e)
    for (const auto& image : images_of(both.shuffled(Rng(1), e))) seen.insert(image);
  CHECK(seen.size() == 18);
  Epoch epoch = both.in_order();
  const Tensor order = epoch.order();
  epoch.take(both.shuffled(Rng(1), 3));
  CHECK(images_of(epoch) == images_of(both.shuffled(Rng(1), 3)));
  CHECK(order.to_vector<int32_t>() == order_of(epoch));  // at the same address
}

TEST_CASE("batcher: a streamed set gives the same bits, in any order of batches") {
  const Dataset set = small_set(17);
  for (const versor::Augmentation& augmentation :
       {versor::Augmentation{}, versor::Augmentation{.mirror = true, .shift = 1}}) {
    const Batcher resident(set, 5, {}, augmentation, Feeding::resident);
    const Batcher streamed(set, 5, {}, augmentation, Feeding::streamed);
    CHECK(streamed.streamed());
    CHECK_FALSE(resident.streamed());
    Epoch here = resident.in_order(), there = streamed.in_order();
    const auto check_batch = [&](int64_t b) {
      CAPTURE(b);
      CHECK(there.batch(b).to_vector<float>() == here.batch(b).to_vector<float>());
      const Tensor number = Tensor::from(std::vector{static_cast<int32_t>(b)}, {1});
      there.fetch(b);
      CHECK(there.batch_at(number, there.batch_count(b)).to_vector<float>() ==
            here.batch(b).to_vector<float>());
      CHECK(there.labels(b).to_vector<int32_t>() == here.labels(b).to_vector<int32_t>());
    };
    for (int64_t b : {0, 1, 2, 3}) check_batch(b);
    // Also where the reading ahead was in vain: another batch or another order comes next.
    for (int64_t b : {0, 2, 2, 1}) check_batch(b);
    here.take(resident.shuffled(Rng(3), 1));
    there.take(streamed.shuffled(Rng(3), 1));
    for (int64_t b : {2, 3, 0, 1}) check_batch(b);
  }
  const Epoch epoch = Batcher(set, 5, {}, {}, Feeding::streamed).in_order();
  const Tensor number = Tensor::from(std::vector{0}, {1});
  CHECK(contains(error_of([&] { epoch.batch_at(number, 5); }), "batch_at() comes after fetch()"));
  CHECK(contains(error_of([&] { epoch.fetch(4); }), "no batch 4 among 4"));
}

TEST_CASE("batcher: a set that would fill more than half of the device is streamed") {
  const Dataset set = small_set(1000);  // 12,000 bytes
  versor::MemoryPool& pool = versor::backend_for({}).pool();
  const size_t limit = pool.room() + pool.current_bytes();
  pool.set_limit(pool.current_bytes() + 20'480);
  const Batcher streamed(set, 10);
  pool.set_limit(pool.current_bytes() + 40'960);
  const Batcher resident(set, 10);
  pool.set_limit(limit);
  CHECK(streamed.feeding() ==
        "11.7 KiB of images, streamed: more than half of the 20 KiB that cpu has free");
  CHECK(resident.feeding() ==
        "11.7 KiB of images, resident: not more than half of the 40 KiB that cpu has free");
  CHECK(Batcher(set, 10, {}, {}, Feeding::streamed).feeding() == "11.7 KiB of images, streamed");
}

TEST_CASE("batcher: a batch's labels are those of its images") {
  Dataset set = small_set(7);
  for (size_t i = 0; i < 7; ++i) set.labels[i] = static_cast<int32_t>(100 + i);
  const Epoch epoch = Batcher(set, 3).shuffled(Rng(5), 2);
  for (int64_t b = 0; b < 3; ++b) {
    std::vector<int32_t> expected = epoch.indices(b).to_vector<int32_t>();
    for (int32_t& label : expected) label += 100;
    CHECK(epoch.labels(b).to_vector<int32_t>() == expected);
    CHECK(epoch.labels(b).shape() == Shape{epoch.batch_count(b)});
  }
}

TEST_CASE("batcher: wrong sizes are named with both numbers") {
  const Dataset set = small_set(10);
  std::string message = error_of([&] { Batcher(set, 11); });
  CHECK(contains(message, "batch size 11 is larger than the data: 10 images of a small set"));
  message = error_of([&] { Batcher(set, 0); });
  CHECK(contains(message, "batch size 0 is less than 1 (the data: 10 images"));
  CHECK(contains(error_of([&] { Batcher(set, -4); }), "batch size -4"));
  message = error_of([&] { Batcher(set, 4, {}, {.shift = 2}); });
  CHECK(contains(message, "cannot shift images [10,2,3,2] by 2"));
  Dataset unlike = set;
  unlike.labels.pop_back();
  CHECK(contains(error_of([&] { Batcher(unlike, 4); }), "got [10,2,3,2]"));

  const Epoch epoch = Batcher(set, 4).in_order();
  CHECK(contains(error_of([&] { epoch.batch(3); }), "no batch 3 among 3"));
  CHECK(contains(error_of([&] { epoch.batch(-1); }), "no batch -1 among 3"));
}

TEST_CASE("dataset: head takes the first images, and says what it cannot take") {
  const Dataset set = small_set(10);
  const Dataset part = versor::head(set, 4);
  CHECK(part.size() == 4);
  CHECK(part.name == set.name);
  CHECK(part.synthetic);
  CHECK(part.images.shape() == Shape{4, 2, 3, 2});
  CHECK(part.images.to_vector<uint8_t>()[47] == 47);
  CHECK(order_of(Batcher(part, 3).in_order()) == counted_to(4));
  CHECK(versor::head(set, 10).size() == 10);
  CHECK(contains(error_of([&] { versor::head(set, 11); }), "first 11 images of the 10 of a small"));
  CHECK(contains(error_of([&] { versor::head(set, 0); }), "first 0 images of the 10"));
  CHECK(contains(error_of([&] { versor::head(set, -1); }), "first -1 images of the 10"));
}

TEST_CASE("mirrored images exchange left and right, and nothing else") {
  Dataset set;
  set.images = Tensor::from<uint8_t>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {1, 2, 3, 2});
  set.labels = {4};
  const Dataset other = mirrored(set);
  CHECK(other.images.to_vector<uint8_t>() ==
        std::vector<uint8_t>{5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8});
  CHECK(other.labels == set.labels);
  CHECK(set.images.to_vector<uint8_t>()[0] == 1);
}
