// Shape, Tensor and Device: extents, views of shared storage, the way to the host and back.
#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tensor/tensor.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_CASE("shape: extents, count and text" * cpu_only()) {
  const Shape s{2, 3, 5, 7};
  CHECK(s.rank() == 4);
  CHECK(s.numel() == 210);
  CHECK(s[0] == 2);
  CHECK(s[-1] == 7);
  CHECK(s[-4] == 2);
  CHECK(str(s, Shape{}, Shape{4}) == "[2,3,5,7][][4]");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{3, 0, 2}.numel() == 0);
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK(error_of([&] { s[4]; }) == "[shape] axis 4 is out of range for rank 4");
  CHECK(error_of([&] { s[-5]; }) == "[shape] axis -5 is out of range for rank 4");
  CHECK(error_of([] { Shape{1, 2, 3, 4, 5}; }) == "[shape] rank 5 exceeds 4");
  CHECK(error_of([] { Shape{1, -2}; }) == "[shape] extent -2 of axis 1 is negative");
}

TEST_CASE("tensor: values survive the way there and back, every type") {
  const std::vector<float> f{1.5f, -2, 0};
  const std::vector<int32_t> i{1, -2, INT32_MAX};
  const std::vector<uint8_t> u{0, 7, 255};
  const std::vector<bf16> h{bf16(1.5f), bf16(-2.f), bf16(0.f)};
  CHECK(on_device(f, {3}).to_vector<float>() == f);
  CHECK(on_device(i, {3}).to_vector<int32_t>() == i);
  CHECK(on_device(u, {3}).to_vector<uint8_t>() == u);
  CHECK(on_device(h, {3}).to_vector<bf16>()[1].bits == h[1].bits);
  CHECK(on_device(f, {3}).bytes() == 12);
  CHECK(on_device(u, {3}).bytes() == 3);
  CHECK(on_device(h, {3}).bytes() == 6);
  CHECK(str(DType::f32, DType::bf16, DType::i32, DType::u8) == "f32bf16i32u8");
  CHECK(empty({0, 4}).to_vector<float>().empty());
  const Tensor moved = Tensor::from(i, {3}).to(test_device());
  CHECK(moved.device() == test_device());
  CHECK(moved.to(Device{}).device() == Device{});
  CHECK(moved.to(Device{}).to_vector<int32_t>() == i);
}

TEST_CASE("tensor: a copy, reshape() and rows() share storage") {
  const Tensor x = on_device<float>({0, 1, 2, 3, 4, 5}, {3, 2});
  const Tensor same = x, shaped = x.reshape({2, 3}), last = x.rows(1, 3), one_row = last.rows(1, 2);
  for (const Tensor& view : {same, shaped, last, one_row}) CHECK(view.shares_storage_with(x));
  CHECK_FALSE(ops::clone(x).shares_storage_with(x));
  Tensor element = x.reshape({6}).rows(4, 5);
  ops::fill(element, 40);
  CHECK(same.to_vector<float>()[4] == 40);
  CHECK(shaped.shape() == Shape{2, 3});
  CHECK(shaped.to_vector<float>()[4] == 40);
  CHECK(last.to_vector<float>() == std::vector<float>{2, 3, 40, 5});
  CHECK(one_row.shape() == Shape{1, 2});
  CHECK(one_row.to_vector<float>() == std::vector<float>{40, 5});
  CHECK(last.reshape({4}).rows(1, 2).item() == 3);
  CHECK(x.rows(3, 3).numel() == 0);
  CHECK(empty({2, 3, 4, 5}).flat_rows().shape() == Shape{24, 5});
  CHECK(empty({5}).flat_rows().shape() == Shape{1, 5});
  CHECK(empty({6, 2, 2}).rows(2, 5).shape() == Shape{3, 2, 2});
}

TEST_CASE("tensor: a view keeps the storage alive") {
  MemoryPool& pool = backend_for(test_device()).pool();
  const size_t before = pool.current_bytes();
  Tensor view;
  {
    const Tensor x = on_device(std::vector<float>(1000, 2.f), {1000});
    view = x.rows(999, 1000);
  }
  CHECK(pool.current_bytes() > before);
  CHECK(view.item() == 2);
  view = {};
  CHECK(pool.current_bytes() == before);
}

TEST_CASE("tensor: wrong use is an error") {
  Tensor x = on_device<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor none;
  CHECK_FALSE(none.defined());
  CHECK(error_of([&] { x.reshape({4}); }) == "[reshape] [3,2] has 6 elements, [4] has 4");
  CHECK(error_of([&] { x.rows(1, 4); }) == "[rows] range 1..4 is outside the first axis of [3,2]");
  CHECK(error_of([&] { x.rows(2, 1); }) == "[rows] range 2..1 is outside the first axis of [3,2]");
  CHECK(error_of([&] { x.rows(-1, 1); }) ==
        "[rows] range -1..1 is outside the first axis of [3,2]");
  CHECK(error_of([&] { empty(Shape{}).rows(0, 1); }) == "[rows] a scalar has no rows");
  CHECK(error_of([&] { empty(Shape{}).flat_rows(); }) == "[rows] [] has no rows");
  CHECK(error_of([&] { x.item(); }) == "[item] [3,2] has 6 elements, not one");
  CHECK(error_of([&] { x.data<int32_t>(); }) == "[tensor] elements are f32, not i32");
  CHECK(error_of([&] { x.to_vector<uint8_t>(); }) == "[tensor] elements are f32, not u8");
  CHECK(error_of([&] { index_tensor({3}).item(); }) == "[tensor] elements are i32, not f32");
  CHECK(error_of([&] { none.device(); }) == "[tensor] is undefined");
  CHECK(error_of([&] { none.to_vector<float>(); }) == "[tensor] is undefined");
  CHECK(error_of([&] { none.backend(); }) == "[tensor] is undefined");
  CHECK(error_of([] { on_device<float>({1, 2}, {3}); }) == "[tensor] 2 values do not fill [3]");
}

TEST_CASE("device: names" * cpu_only()) {
  CHECK(parse_device("cpu") == Device{DeviceType::cpu, 0});
  CHECK(parse_device("cuda") == Device{DeviceType::cuda, 0});
  CHECK(parse_device("cuda:3") == Device{DeviceType::cuda, 3});
  CHECK(str(parse_device("cuda:12"), ' ', Device{}) == "cuda:12 cpu");
  for (const char* wrong : {"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:1x",
                            "cuda1", "cuda:12345678901234567890"}) {
    CAPTURE(wrong);
    CHECK(error_of([&] { parse_device(wrong); }) ==
          str("[device] unknown device \"", wrong, "\"; expected cpu, cuda or cuda:N"));
  }
}

TEST_CASE("tensor: wraps memory of somebody else, which lives as long as it" * cpu_only()) {
  const auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  {
    const Tensor t = Tensor::wrap(owner->data(), {2, 2}, DType::f32, Device{}, owner);
    CHECK(t.rows(1, 2).to_vector<float>() == std::vector<float>{3, 4});
    (*owner)[3] = 5;
    CHECK(t.to_vector<float>() == std::vector<float>{1, 2, 3, 5});
    CHECK(owner.use_count() == 2);
  }
  CHECK(owner.use_count() == 1);
  CHECK(contains(error_of([&] {
                   Tensor::wrap(reinterpret_cast<char*>(owner->data()) + 1, {1}, DType::f32,
                                Device{}, owner);
                 }),
                 "not aligned to f32"));
  CHECK(contains(error_of([&] { Tensor::wrap(owner->data(), {1}, DType::f32, Device{}, {}); }),
                 "has an owner"));
}

TEST_CASE("device: a GPU that is not there is an error, a tensor on the CPU stays there") {
  const Device far{DeviceType::cuda, 63};
  const Tensor x = Tensor::from<float>({1, 2}, {2});
  CHECK(x.device() == Device{});
  CHECK(x.to(Device{}).shares_storage_with(x));
  CHECK(contains(error_of([&] { Tensor({2}, DType::f32, far); }), "no CUDA device"));
  CHECK(contains(error_of([&] { x.to(far); }), "no CUDA device"));
  CHECK(contains(error_of([&] { ops::zeros({2}, far); }), "no CUDA device"));
}

}  // namespace
}  // namespace versor::testing
