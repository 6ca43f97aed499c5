// Wrong calls of the front end: each is refused before the backend sees it, with the operation in
// brackets and the shapes that do not fit. The messages are part of the interface.
#include "tensor/ops.h"
#include "tests/wrong_calls.h"

namespace versor::testing {
namespace {

TEST_CASE("errors: convolution") {
  const auto conv = [](Shape x, Shape w, Conv2dParams p = {}, Tensor bias = {}) {
    return [=] { ops::conv2d(f32(x), f32(w), {bias, false}, p); };
  };
  check_all({
      {conv({128, 32, 32, 3}, {128, 4, 4, 4}),
       "[conv2d] input channels 3 do not match weight channels 4 (input [128,32,32,3], weight "
       "[128,4,4,4])"},
      {conv({2, 3, 5, 1}, {1, 4, 3, 1}),
       "[conv2d] kernel does not fit into the padded input (input [2,3,5,1], weight [1,4,3,1], "
       "padding 0)"},
      {conv({2, 5, 3, 1}, {1, 3, 6, 1}, {2, 1}),
       "[conv2d] kernel does not fit into the padded input (input [2,5,3,1], weight [1,3,6,1], "
       "padding 1)"},
      {conv({5, 3, 1}, {1, 3, 3, 1}),
       "[conv2d] needs images [N,H,W,C] and weight [O,kh,kw,I], got input [5,3,1], weight "
       "[1,3,3,1]"},
      {conv({2, 5, 3, 1}, {3, 3}),
       "[conv2d] needs images [N,H,W,C] and weight [O,kh,kw,I], got input [2,5,3,1], weight "
       "[3,3]"},
      {conv({1, 5, 5, 1}, {1, 3, 3, 1}, {0, 1}),
       "[conv2d] stride 0 and padding 1 must be at least 1 and 0"},
      {conv({1, 5, 5, 1}, {1, 3, 3, 1}, {1, -1}),
       "[conv2d] stride 1 and padding -1 must be at least 1 and 0"},
      {conv({1, 5, 5, 1}, {1, 0, 3, 1}), "[conv2d] kernel is empty (weight [1,0,3,1])"},
      {conv({1, 5, 5, 1}, {2, 3, 3, 1}, {}, f32({3})),
       "[conv2d] bias [3] does not match 2 output channels"},
      {conv({1, 5, 5, 1}, {2, 3, 3, 1}, {}, f32({1, 2})),
       "[conv2d] bias [1,2] does not match 2 output channels"},
      {conv({1, 5, 5, 1}, {2, 3, 3, 1}, {}, typed({2}, DType::i32)),
       "[conv2d] needs f32, got i32 [2]"},
      {[] {
         ops::conv2d(typed({1, 5, 5, 1}, DType::u8), f32({2, 3, 3, 1}), {}, {});
       },
       "[conv2d] needs f32 or bf16, got u8 [1,5,5,1]"},
      {[] {
         ops::conv2d(f32({1, 5, 5, 1}), {}, {}, {});
       },
       "[conv2d] an input is undefined"},
      {[] {
         ops::conv2d(f32({1, 5, 5, 1}), f32({2, 3, 3, 1}), {{}, false, f32({1, 3, 3, 1})}, {});
       },
       "[conv2d] shapes differ: [1,3,3,2] and [1,3,3,1]"},
      {[] {
         ops::conv_transpose2d(f32({1, 3, 3, 2}), f32({2, 3, 3, 1}), {{}, false, f32({1, 5, 5, 1})},
                               {});
       },
       "[conv_transpose2d] takes no residual"},
      {[] {
         ops::bias_relu_grad(f32({5, 2}), {}, {});
       },
       "[bias_relu_grad] needs a skip or a y"},
      {[] {
         ops::bias_relu_grad(f32({5, 2}), f32({5, 3}), f32({5, 2}));
       },
       "[bias_relu_grad] shapes differ: [5,2] and [5,3]"},
      {[] {
         ops::conv2d_grad_input(f32({1, 3, 3, 2}), f32({2, 3, 3, 1}), {1, 6, 5, 1}, {});
       },
       "[conv2d_grad_input] output gradient [1,3,3,2] is not [1,4,3,2] (input [1,6,5,1], weight "
       "[2,3,3,1])"},
      {[] {
         ops::conv2d_grad_input(f32({1, 3, 3, 2}), f32({2, 3, 3, 1}), {1, 5, 5, 3}, {});
       },
       "[conv2d_grad_input] input channels 3 do not match weight channels 1 (input [1,5,5,3], "
       "weight [2,3,3,1])"},
      {[] {
         ops::conv2d_grad_weight(f32({2, 5, 5, 1}), f32({1, 3, 3, 2}), {2, 3, 3, 1}, {});
       },
       "[conv2d_grad_weight] output gradient [1,3,3,2] is not [2,3,3,2] (input [2,5,5,1], weight "
       "[2,3,3,1])"},
  });
}

TEST_CASE("errors: transposed convolution") {
  const auto conv = [](Shape x, Shape w, Conv2dParams p = {}, Tensor bias = {}) {
    return [=] { ops::conv_transpose2d(f32(x), f32(w), {bias, false}, p); };
  };
  check_all({
      {conv({2, 8, 8, 3}, {4, 4, 4, 5}),
       "[conv_transpose2d] input channels 3 do not match weight channels 4 (input [2,8,8,3], "
       "weight [4,4,4,5])"},
      {conv({2, 8, 8}, {4, 4, 4, 5}),
       "[conv_transpose2d] needs images [N,H,W,I] and weight [I,kh,kw,O], got input [2,8,8], "
       "weight [4,4,4,5]"},
      {conv({2, 1, 4, 3}, {3, 2, 2, 5}, {1, 1}),
       "[conv_transpose2d] stride 1 and padding 1 leave no output (input [2,1,4,3], weight "
       "[3,2,2,5])"},
      {conv({2, 4, 4, 3}, {3, 2, 2, 5}, {-1, 0}),
       "[conv_transpose2d] stride -1 and padding 0 leave no output (input [2,4,4,3], weight "
       "[3,2,2,5])"},
      {conv({2, 4, 4, 3}, {3, 2, 2, 5}, {1, 0}, f32({3})),
       "[conv_transpose2d] bias [3] does not match 5 output channels"},
  });
}

TEST_CASE("errors: matrix product") {
  check_all({
      {[] {
         ops::matmul(f32({2, 3}), f32({4, 5}));
       },
       "[matmul] inner sizes 3 and 4 differ (a [2,3], b [4,5])"},
      {[] {
         ops::matmul(f32({2, 3}), f32({3, 5}), true, false);
       },
       "[matmul] inner sizes 2 and 3 differ (a [2,3] transposed, b [3,5])"},
      {[] {
         ops::matmul(f32({2, 3}), f32({3, 5}), false, true);
       },
       "[matmul] inner sizes 3 and 5 differ (a [2,3], b [3,5] transposed)"},
      {[] {
         ops::matmul(f32({2, 3, 1}), f32({3, 5}));
       },
       "[matmul] the leading axes of [2,3,1] and [3,5] differ"},
      {[] {
         ops::matmul(f32({2, 3, 4}), f32({3, 4, 5}));
       },
       "[matmul] the leading axes of [2,3,4] and [3,4,5] differ"},
      {[] {
         ops::matmul(f32({3}), f32({3, 5}));
       },
       "[matmul] needs matrices [...,M,L], got [3]"},
      {[] {
         ops::matmul(f32({2, 3, 4}), f32({2, 4, 5}), false, false, f32({5}));
       },
       "[matmul] bias [5] does not match the rows of [2,3,5]"},
      {[] {
         ops::matmul(f32({2, 3}), f32({3, 5}), false, false, f32({2}));
       },
       "[matmul] bias [2] does not match the rows of [2,5]"},
      {[] {
         ops::matmul(f32({2, 3}), typed({3, 5}, DType::bf16));
       },
       "[matmul] element types differ: f32 [2,3] and bf16 [3,5]"},
  });
  CHECK(contains(error_of([] {
                   ops::matmul(f32({2, 3}), f32({4, 5}), false, false, f32({5}));
                 }),
                 "[matmul] inner sizes"));
  CHECK(contains(error_of([] { ops::matmul({}, f32({4, 5})); }), "[matmul]"));
}

TEST_CASE("errors: element-wise") {
  Tensor a = f32({2, 3}), b = f32({3, 2}), integers = typed({2, 3}, DType::i32);
  const Tensor none;
  check_all({
      {[&] { ops::add(a, b); }, "[binary] shapes differ: [2,3] and [3,2]"},
      {[&] { ops::add(a, integers); }, "[binary] element types differ: f32 [2,3] and i32 [2,3]"},
      {[&] { ops::mul(a, none); }, "[binary] an input is undefined"},
      {[&] { ops::mul(none, a); }, "[binary] an input is undefined"},
      {[&] { ops::relu(none); }, "[unary] an input is undefined"},
      {[&] { ops::relu(integers); }, "[unary] needs f32 or bf16, got i32 [2,3]"},
      {[&] { ops::relu_grad(a, b); }, "[unary_grad] shapes differ: [2,3] and [3,2]"},
      {[&] { ops::binary_rows(a, f32({2}), BinaryOp::add); },
       "[binary_rows] vector [2] does not match the rows of [2,3]"},
      {[&] {
         ops::binary_rows(a, f32({1, 3}), BinaryOp::add);
       },
       "[binary_rows] vector [1,3] does not match the rows of [2,3]"},
      {[&] { ops::scale_rows(a, f32({3})); },
       "[scale_rows] factors [3] do not match the rows of [2,3]"},
      {[&] {
         ops::scale_rows(f32({2, 3, 4}), f32({2}));
       },
       "[scale_rows] needs rows [R,C], got [2,3,4]"},
      {[&] { ops::scale_rows(integers, f32({2})); }, "[scale_rows] needs f32, got i32 [2,3]"},
      {[&] { ops::scale_rows(a, none); }, "[scale_rows] an input is undefined"},
      {[&] { ops::broadcast(a, {4}); }, "[broadcast] needs a tensor of one element, got [2,3]"},
      {[&] { ops::cast(none, DType::f32); }, "[cast] an input is undefined"},
      {[&] { ops::affine(none, 2.f, 1.f, DType::f32); }, "[affine] an input is undefined"},
      {[&] { ops::copy(a, b); }, "[copy] shapes differ: [2,3] and [3,2]"},
      {[&] { ops::copy(a, integers); }, "[copy] needs f32, got i32 [2,3]"},
      {[&] { ops::dropout(a, integers, Rng(1), 0.5f); },
       "[dropout] needs a tensor of one element, got [2,3]"},
      {[&] { ops::dropout(a, f32({1}), Rng(1), 0.5f); }, "[dropout] needs i32, got f32 [1]"},
      {[&] { ops::dropout(a, typed({1}, DType::i32), Rng(1), 1.f); },
       "[dropout] the probability 1 is not in [0,1)"},
      {[] { ops::uniform({2}, Rng(1), 1, -1); }, "[uniform] range 1..-1 is empty"},
      {[&] { ops::increment(a); }, "[increment] needs i32, got f32 [2,3]"},
      {[&] { ops::increment(integers); }, "[increment] needs a tensor of one element, got [2,3]"},
      {[&] {
         ops::increment(integers, {5, 6});
       },
       "[increment] there is no counter 6 among [2,3]"},
  });
  CHECK(contains(error_of([] {
                   Tensor undefined;
                   ops::fill(undefined, 0);
                 }),
                 "undefined"));
}

TEST_CASE("errors: layout, reductions and rows") {
  const Tensor x = f32({2, 3}), cube = f32({2, 3, 4}), bytes = typed({2, 3, 4}, DType::u8);
  const Tensor images = typed({2, 3, 4, 1}, DType::u8), pictures = f32({2, 3, 4, 1});
  const Tensor moves = typed({2, 3}, DType::i32);
  const Tensor index = index_tensor({0, 1});
  check_all({
      {[&] { ops::permute(x, {0}); }, "[permute] 1 axes given for [2,3]"},
      {[&] {
         ops::permute(x, {0, 0});
       },
       "[permute] axes are not a permutation of 0..1 (input [2,3])"},
      {[&] {
         ops::permute(x, {0, 2});
       },
       "[permute] axes are not a permutation of 0..1 (input [2,3])"},
      {[&] {
         ops::permute(cube, {0, -1, 1});
       },
       "[permute] axes are not a permutation of 0..2 (input [2,3,4])"},
      {[&] { ops::slice(x, 1, 4); }, "[slice] columns 1..4 are outside [2,3]"},
      {[&] { ops::slice(x, 2, 2); }, "[slice] columns 2..2 are outside [2,3]"},
      {[&] { ops::slice(x, -1, 2); }, "[slice] columns -1..2 are outside [2,3]"},
      {[&] { ops::slice(cube, 0, 1); }, "[slice] needs rows [R,C], got [2,3,4]"},
      {[] { ops::concat_rows({}); }, "[concat_rows] nothing to join"},
      {[&] {
         ops::concat_rows({x, f32({2, 4})});
       },
       "[concat_rows] columns differ: [2,3] and [2,4]"},
      {[&] {
         ops::concat_rows({x, cube});
       },
       "[concat_rows] needs rows [R,C], got [2,3,4]"},
      {[] { ops::concat({}); }, "[concat] nothing to join"},
      {[&] {
         ops::concat({x, f32({3, 3})});
       },
       "[concat] rows differ: [2,3] and [3,3]"},
      {[&] {
         ops::concat({x, cube});
       },
       "[concat] needs rows [R,C], got [2,3,4]"},
      {[&] {
         ops::concat({x, {}});
       },
       "[concat] an input is undefined"},
      {[&] { ops::sum({}); }, "[sum] an input is undefined"},
      {[&] { ops::sum(index); }, "[sum] needs f32, got i32 [2]"},
      {[&] { ops::sum_axis0(cube); }, "[sum_axis0] needs rows [R,C], got [2,3,4]"},
      {[&] { ops::sum_axis1(cube); }, "[sum_axis1] needs rows [R,C], got [2,3,4]"},
      {[&] { ops::softmax(f32({})); }, "[softmax] needs rows, got []"},
      {[&] { ops::softmax(f32({3}), true); }, "[softmax] needs matrices, got [3]"},
      {[&] {
         ops::softmax(f32({2, 4, 3}), true);
       },
       "[softmax] the first rows of [2,4,3] would see no column"},
      {[&] { ops::softmax(index); }, "[softmax] needs f32, got i32 [2]"},
      {[&] {
         ops::softmax_grad(f32({3, 2}), x);
       },
       "[softmax_grad] shapes differ: [3,2] and [2,3]"},
      {[&] { ops::softmax_grad({}, x); }, "[softmax_grad] an input is undefined"},
      {[&] { ops::argmax(cube); }, "[argmax] needs rows [R,C], got [2,3,4]"},
      {[&] { ops::argmax(index); }, "[argmax] needs f32, got i32 [2]"},
      {[&] { ops::argmax({}); }, "[argmax] an input is undefined"},
      {[] {
         ops::argmax(f32({2, 0}));
       },
       "[argmax] there is nothing to choose from in [2,0]"},
      {[&] { ops::mse(x, cube); }, "[mse] shapes differ: [2,3] and [2,3,4]"},
      {[] { ops::mse(f32({0}), f32({0})); }, "[mse] the mean over no elements is undefined"},
      {[&] { ops::mse_grad(x, x, x); }, "[mse_grad] needs a tensor of one element, got [2,3]"},
      {[&] { ops::gather_rows(x, f32({2})); }, "[gather_rows] needs i32, got f32 [2]"},
      {[&] { ops::gather_rows(cube, index); }, "[gather_rows] needs rows [R,C], got [2,3,4]"},
      {[&] { ops::gather_images(bytes, index, {}, 2, 2, 1, 0); },
       "[gather_images] needs images [M,H,W,C], got [2,3,4]"},
      {[&] { ops::gather_images(x, index, {}, 2, 2, 1, 0); },
       "[gather_images] needs u8, got f32 [2,3]"},
      {[&] { ops::gather_images(images, index, {}, 1, 2, 1, 0); },
       "[gather_images] 2 images asked for, in batches of 1 of 2"},
      {[&] { ops::gather_images(images, index, {}, 3, 3, 1, 0); },
       "[gather_images] 3 images asked for, in batches of 3 of 2"},
      {[&] { ops::gather_images(images, index, index, 2, 2, 1, 0); },
       "[gather_images] needs a tensor of one element, got [2]"},
      {[&] { ops::move_images(x, index, {}, 2); },
       "[move_images] needs images [N,H,W,C], got [2,3]"},
      {[&] { ops::move_images(pictures, index, {}, 2); },
       "[move_images] needs three numbers for each image, got [2]"},
      {[&] { ops::move_images(pictures, moves, {}, 1); },
       "[move_images] 2 images given, in batches of 1 of 2"},
      {[&] { ops::move_images(pictures, moves, index, 2); },
       "[move_images] needs a tensor of one element, got [2]"},
      {[&] {
         ops::segment_sum(x, index_tensor({0, 1, 2}), 3);
       },
       "[segment_sum] index [3] does not match the rows of [2,3], or there are no segments"},
      {[&] { ops::segment_sum(x, index, 0); },
       "[segment_sum] index [2] does not match the rows of [2,3], or there are no segments"},
      {[&] { ops::bincount(index, 0); }, "[bincount] there are no segments to count"},
      {[&] { ops::bincount(x, 4); }, "[bincount] needs i32, got f32 [2,3]"},
      {[&] { ops::pick(x, index_tensor({0})); },
       "[pick] index [1] does not match the rows of [2,3]"},
      {[&] { ops::pick(cube, index); }, "[pick] needs rows [R,C], got [2,3,4]"},
      {[&] { ops::pick(x, f32({2})); }, "[pick] needs i32, got f32 [2]"},
      {[&] { ops::one_hot(index, 0); }, "[one_hot] there are no classes"},
      {[&] { ops::one_hot({}, 2); }, "[one_hot] an input is undefined"},
      {[&] { ops::log_softmax(cube); }, "[log_softmax] needs rows [R,C], got [2,3,4]"},
      {[&] { ops::log_softmax({}); }, "[log_softmax] an input is undefined"},
      {[&] {
         ops::expand(x, {3, 2});
       },
       "[expand] [2,3] does not repeat to [3,2]"},
      {[&] { ops::expand(x, {3}); }, "[expand] [2,3] does not repeat to [3]"},
      {[&] { ops::sum_to(x, {2}); }, "[sum_to] [2] does not repeat to [2,3]"},
      {[&] {
         ops::expand(index, {2, 2});
       },
       "[expand] needs f32, got i32 [2]"},
  });
}

TEST_CASE("errors: counters and guards") {
  Tensor table = f32({2, 2}), counts = index_tensor({1, 2}), guard = ops::new_guard(test_device());
  Tensor floats = f32({2});
  const Tensor row = index_tensor({1}), value = f32({1}), half = typed({1}, DType::bf16);
  check_all({
      {[&] { ops::add_counts(counts, floats); }, "[add_counts] needs i32, got f32 [2]"},
      {[&] { ops::add_counts(floats, counts); }, "[add_counts] needs i32, got f32 [2]"},
      {[&] { ops::add_counts(counts, row); }, "[add_counts] shapes differ: [2] and [1]"},
      {[&] { ops::write_row(table, row, {value}); },
       "[write_row] 1 values do not fill a row of [2,2]"},
      {[&] {
         ops::write_row(table, row, {value, floats});
       },
       "[write_row] needs a tensor of one element, got [2]"},
      {[&] {
         ops::write_row(table, row, {value, half});
       },
       "[write_row] needs f32 or i32, got bf16"},
      {[&] {
         ops::write_row(table, value, {value, value});
       },
       "[write_row] needs i32, got f32 [1]"},
      {[&] {
         ops::write_row(table, counts, {value, value});
       },
       "[write_row] needs a tensor of one element, got [2]"},
      {[&] { ops::write_row(floats, row, {value}); }, "[write_row] needs rows [R,C], got [2]"},
      {[&] { ops::find_nonfinite(guard, {row}, 0, row); },
       "[find_nonfinite] needs f32 or bf16, got i32 [1]"},
      {[&] { ops::find_nonfinite(guard, {value}, 0, value); },
       "[find_nonfinite] needs i32, got f32 [1]"},
      {[&] { ops::find_nonfinite(floats, {value}, 0, row); },
       "[find_nonfinite] needs i32, got f32 [2]"},
      {[&] {
         ops::find_nonfinite(guard, {value, {}}, 0, row);
       },
       "[find_nonfinite] an input is undefined"},
  });
}

TEST_CASE("errors: one operation, one type and one device") {
  const Tensor a = f32({2, 3}), half = typed({2, 3}, DType::bf16);
  const Tensor image = f32({1, 3, 3, 1}), half_image = typed({1, 3, 3, 1}, DType::bf16);
  check_all({
      {[&] { ops::add(a, half); }, "[binary] element types differ: f32 [2,3] and bf16 [2,3]"},
      {[&] { ops::relu_grad(half, a); },
       "[unary_grad] element types differ: bf16 [2,3] and f32 [2,3]"},
      {[&] { ops::conv2d(half_image, image, {}, {}); },
       "[conv2d] element types differ: bf16 [1,3,3,1] and f32 [1,3,3,1]"},
      {[&] { ops::sum(half); }, "[sum] needs f32, got bf16 [2,3]"},
  });
  if (!on_other_device()) return;
  CHECK(error_of([&] {
          ops::add(a, ops::zeros({2, 3}));
        }) == str("[binary] inputs are on ", test_device(), " and cpu"));
}

}  // namespace
}  // namespace versor::testing
