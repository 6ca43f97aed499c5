// Choosing columns by index; indices that do not exist, which the CPU refuses and a GPU answers
// with NaN or leaves out without a read or write outside; and dropout.
#include <cmath>
#include <limits>

#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

bool is_nan(const Tensor& x) {
  const std::vector<float> values = x.to_vector<float>();
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
}

TEST_CASE("indices: pick and one_hot") {
  Backend& backend = backend_for(test_device());
  ref::Random random(46);
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 7}, Shape{3, 1025}, Shape{5000, 9}}) {
    CAPTURE(shape);
    const ref::Array x = random_array(random, shape);
    const ref::Indices index = random.indices(shape[0], shape[1]);
    const Fenced in(x), in_index(index_tensor(index));
    Fenced picked({shape[0]}), hot(shape);
    backend.pick(picked.view, in.view, in_index.view);
    check_output(picked, ref::pick(x, index), 0);
    backend.one_hot(hot.view, in_index.view);
    check_output(hot, ref::pick_grad(ref::filled({shape[0]}, 1), index, shape[1]), 0);
  }
}

TEST_CASE("indices: the CPU refuses one that does not exist" * cpu_only()) {
  const Tensor x = ops::zeros({3, 2}), images = ops::zeros({3, 2, 2, 1}, {}, DType::u8);
  const Tensor moves = ops::zeros({3, 3}, {}, DType::i32);
  Tensor table = ops::zeros({2, 1});
  for (const int32_t wrong : {-1, 7, std::numeric_limits<int32_t>::min()}) {
    const Tensor index = index_tensor({0, wrong, 1}), number = index_tensor({wrong});
    const auto refuses = [&](const std::string& start, const std::string& end, auto call) {
      CHECK(error_of(call) == str(start, wrong, end));
    };
    refuses("[gather_rows] index ", " is outside the 3 rows", [&] { ops::gather_rows(x, index); });
    refuses("[pick] index ", " is outside the 2 columns", [&] { ops::pick(x, index); });
    refuses("[one_hot] index ", " is outside the 2 columns", [&] { ops::one_hot(index, 2); });
    refuses("[segment_sum] index ", " is outside the 5 segments",
            [&] { ops::segment_sum(x, index, 5); });
    refuses("[bincount] index ", " is outside the 5 segments", [&] { ops::bincount(index, 5); });
    refuses("[write_row] index ", " is outside the 2 rows of the table",
            [&] { ops::write_row(table, number, {ops::zeros({1})}); });
    refuses("[gather_images] index ", " is outside the 3 images",
            [&] { ops::gather_images(images, index, {}, 2, 2, 1, 0); });
    refuses("[gather_images] batch ", " of 2 images is outside the 3 places",
            [&] { ops::gather_images(images, index, number, 2, 2, 1, 0); });
    refuses("[move_images] batch ", " of 3 images is outside the 3 places", [&] {
      ops::move_images(ops::zeros({3, 2, 2, 1}), moves, number, 3);
    });
  }
  // What a batch does not take may be anything.
  CHECK(ops::gather_images(images, index_tensor({0, 2, 9}), {}, 2, 2, 1, 0).dim(0) == 2);
  CHECK(error_of([] {
          ops::gather_rows(ops::zeros({0, 2}), index_tensor({0}));
        }) == "[gather_rows] index 0 is outside the 0 rows");
}

TEST_CASE("indices: a GPU makes NaN of one that does not exist, or leaves it out") {
  if (!on_other_device()) return;
  const Tensor x = to_tensor(ref::filled({3, 4}, 1)), narrow = to_tensor(ref::filled({3, 3}, 1));
  const Tensor images = on_device(std::vector<uint8_t>(12, 255), {3, 2, 2, 1});
  const Tensor pictures = to_tensor(ref::filled({3, 2, 2, 1}, 1));
  for (const int32_t wrong : {-1, 7, std::numeric_limits<int32_t>::max()}) {
    CAPTURE(wrong);
    const Tensor index = index_tensor({0, wrong, 1}), number = index_tensor({wrong});
    const auto check_middle = [](const Tensor& y) {
      CHECK(is_nan(y.rows(1, 2)));
      for (int64_t r : {0, 2}) CHECK(!is_nan(y.rows(r, r + 1)));
    };
    check_middle(ops::gather_rows(x, index));
    check_middle(ops::gather_rows(narrow, index));
    check_middle(ops::pick(x, index));
    check_middle(ops::one_hot(index, 4));
    check_middle(ops::gather_images(images, index, {}, 3, 3, 1, 0));
    CHECK(is_nan(ops::gather_images(images, index, number, 3, 3, 1, 0)));
    CHECK(
        is_nan(ops::move_images(pictures, on_device(std::vector<int32_t>(9), {3, 3}), number, 3)));
    CHECK(error(ops::segment_sum(x, index, 3), {{3, 4}, {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}}) ==
          0);
    CHECK(ops::bincount(index, 3).to_vector<int32_t>() == std::vector<int32_t>{1, 1, 0});
    Fenced table(ref::filled({2, 1}, 5));
    ops::write_row(table.view, number, {ops::full({1}, 3.f, test_device())});
    check_output(table, ref::filled({2, 1}, 5), 0);
  }
}

TEST_CASE("indices: a move that is too large stays within its image") {
  const Tensor x = to_tensor({{1, 1, 3, 1}, {1, 2, 3}});
  for (const int32_t right : {3, 4, 1000, -1000}) {
    const Tensor moved = ops::move_images(x, on_device<int32_t>({0, 0, right}, {1, 3}), {}, 1);
    for (float value : moved.to_vector<float>()) CHECK((value == 1 || value == 2 || value == 3));
  }
}

TEST_CASE("dropout: drops a share p, scales the rest, and depends on the draw alone") {
  const Rng rng(5);
  const Tensor first = index_tensor({0}), second = index_tensor({1});
  const int64_t n = 40001;
  const Fenced in(ref::filled({n}, 3));
  for (const float p : {0.f, 0.25f, 0.9f}) {
    CAPTURE(p);
    Fenced out({n});
    backend_for(test_device()).dropout(out.view, in.view, first, rng, p);
    CHECK(out.intact());
    int64_t dropped = 0;
    const std::vector<float> values = out.view.to_vector<float>();
    for (int64_t i = 0; i < n; ++i) {
      const bool drops = rng.split(0).uniform_by_four(static_cast<uint64_t>(i)) < p;
      dropped += drops ? 1 : 0;
      CHECK(values[static_cast<size_t>(i)] == (drops ? 0.f : 3.f * (1.f / (1.f - p))));
    }
    const double sigma = std::sqrt(p * (1 - p) / double(n));
    CHECK(std::abs(double(dropped) / double(n) - p) <= 4 * sigma + 1e-12);
    CHECK((bits_of(ops::dropout(in.view, first, rng, p)) == bits_of(out.view)));
    CHECK((p == 0 || bits_of(ops::dropout(in.view, second, rng, p)) != bits_of(out.view)));
  }
  const Tensor half = ops::dropout(ops::cast(in.view, DType::bf16), first, rng, 0.25f);
  CHECK(
      (bits_of(half) == bits_of(ops::cast(ops::dropout(in.view, first, rng, 0.25f), DType::bf16))));
}

}  // namespace
}  // namespace versor::testing
