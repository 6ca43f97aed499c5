// Gathering and summing rows by index, called on the backend itself with outputs between fences.
#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

struct Sizes {
  int64_t R, K, D;
};
const Sizes kSizes[] = {{1, 1, 1}, {7, 3, 5}, {3, 50, 2}, {2001, 40, 33}, {20000, 9, 1}};

TEST_CASE("rows: gather_rows, segment_sum and bincount") {
  Backend& backend = backend_for(test_device());
  ref::Random random(41);
  for (auto [R, K, D] : kSizes) {
    CAPTURE(R);
    const ref::Indices index = random.indices(R, K);
    const ref::Array table = random_array(random, {K, D}), x = random_array(random, {R, D});
    const Fenced in_table(table), in_x(x), in_index(index_tensor(index));
    Fenced gathered({R, D}), sums({K, D}), counts({K}, DType::i32);
    backend.gather_rows(gathered.view, in_table.view, in_index.view);
    check_output(gathered, ref::gather_rows(table, index), 0);
    backend.segment_sum(sums.view, in_x.view, in_index.view);
    check_output(sums, ref::segment_sum(x, index, K));
    backend.bincount(counts.view, in_index.view);
    check_output(counts, ref::bincount(index, K), 0);
  }
}

TEST_CASE("rows: segments without rows are zero, one segment may have them all") {
  Backend& backend = backend_for(test_device());
  ref::Random random(42);
  const ref::Indices index(5000, 3);
  const ref::Array x = random_array(random, {5000, 4});
  Fenced sums({6, 4}), counts({6}, DType::i32);
  backend.segment_sum(sums.view, to_tensor(x), index_tensor(index));
  check_output(sums, ref::segment_sum(x, index, 6));
  backend.bincount(counts.view, index_tensor(index));
  check_output(counts, {{6}, {0, 0, 0, 5000, 0, 0}}, 0);
}

// This many random bytes.
std::vector<uint8_t> draw_bytes(ref::Random& random, int64_t count) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.index(256));
  return bytes;
}

TEST_CASE("rows: gather_images turns bytes into numbers") {
  Backend& backend = backend_for(test_device());
  ref::Random random(43);
  for (const ref::Shape& shape : {ref::Shape{1, 1, 1, 1}, {5, 3, 4, 2}, {9, 32, 32, 3}}) {
    CAPTURE(shape[0]);
    const std::vector<uint8_t> bytes = draw_bytes(random, ref::count_of(shape));
    const ref::Indices index = random.indices(13, shape[0]);
    const Fenced images(on_device(bytes, to_shape(shape)));
    const Fenced in_index(index_tensor(index));
    const float scale = 2.f / 255, shift = -1.f;
    Fenced y({13, shape[1], shape[2], shape[3]});
    backend.gather_images(y.view, images.view, in_index.view, {}, 13, scale, shift);
    check_output(y, ref::gather_images(bytes, shape, index, scale, shift));
    const std::vector<float> values = y.view.to_vector<float>();
    CHECK(*std::ranges::min_element(values) >= -1.f);
    CHECK(*std::ranges::max_element(values) <= 1.f);
  }
}

// 13 images in batches of 5: the batch number is read on the device, and the last batch has 3.
TEST_CASE("rows: gather_images takes batch after batch of an order") {
  Backend& backend = backend_for(test_device());
  ref::Random random(44);
  const ref::Shape shape{20, 3, 3, 2};
  const std::vector<uint8_t> bytes = draw_bytes(random, ref::count_of(shape));
  const ref::Indices order = random.indices(13, 20);
  const Fenced images(on_device(bytes, to_shape(shape))), in_order(index_tensor(order));
  for (int64_t b : {0, 1, 2}) {
    CAPTURE(b);
    const int64_t begin = 5 * b, end = std::min<int64_t>(begin + 5, 13);
    const Fenced batch(index_tensor({b}));
    Fenced y({end - begin, 3, 3, 2});
    backend.gather_images(y.view, images.view, in_order.view, batch.view, 5, 0.5f, -3.f);
    const ref::Indices chosen(order.begin() + begin, order.begin() + end);
    check_output(y, ref::gather_images(bytes, shape, chosen, 0.5, -3), 0);
    const Tensor front =
        ops::gather_images(images.view, in_order.view, batch.view, 5, end - begin, 0.5f, -3.f);
    CHECK((bits_of(front) == bits_of(y.view)));
  }
}

TEST_CASE("rows: move_images mirrors and shifts each image of a batch as its row says") {
  Backend& backend = backend_for(test_device());
  ref::Random random(45);
  for (const ref::Shape& shape : {ref::Shape{3, 1, 1, 1}, {3, 5, 4, 2}, {3, 32, 32, 3}}) {
    CAPTURE(shape[1]);
    ref::Indices moves;  // of 13 images, in batches of 5
    for (int i = 0; i < 13; ++i) {
      moves.push_back(random.index(2));
      for (int64_t size : {shape[1], shape[2]})
        moves.push_back(random.index(2 * size - 1) - size + 1);
    }
    const Fenced in_moves(on_device(std::vector<int32_t>(moves.begin(), moves.end()), {13, 3}));
    for (int64_t b : {0, 1, 2}) {
      const ref::Array x = random_array(random, to_shape(shape));
      const Fenced in(x), batch(index_tensor({b}));
      Fenced y(to_shape(shape));
      backend.move_images(y.view, in.view, in_moves.view, batch.view, 5);
      const ref::Indices of_batch(moves.begin() + 15 * b, moves.begin() + 15 * b + 9);
      check_output(y, ref::move_images(x, of_batch), 0);
      CHECK((bits_of(ops::move_images(in.view, in_moves.view, batch.view, 5)) == bits_of(y.view)));
    }
  }
}

TEST_CASE("rows: a row of pixels, mirrored and shifted") {
  const Tensor x = to_tensor({{1, 1, 5, 1}, {1, 2, 3, 4, 5}});
  const auto moved = [&](int32_t mirrored, int32_t right) {
    const Tensor moves = on_device(std::vector<int32_t>{mirrored, 0, right}, {1, 3});
    return ops::move_images(x, moves, {}, 1).to_vector<float>();
  };
  CHECK(moved(0, 0) == std::vector<float>{1, 2, 3, 4, 5});
  CHECK(moved(1, 0) == std::vector<float>{5, 4, 3, 2, 1});
  CHECK(moved(0, 2) == std::vector<float>{3, 2, 1, 2, 3});
  CHECK(moved(0, -1) == std::vector<float>{2, 3, 4, 5, 4});
  CHECK(moved(1, 1) == std::vector<float>{4, 3, 2, 1, 2});
}

}  // namespace
}  // namespace versor::testing
