// The table of operation cases except for the convolutions: element-wise functions, matrix
// products, reductions, layout. See cases.h. Sizes: one element, odd ones, and more than one block
// of the parallel loops (16384 elements).
#include "tests/cases.h"

#include "tests/elementwise_operations.h"

namespace versor::testing {

using ref::Array;

namespace {

const std::vector<Shape> kShapes = {{1}, {17}, {5, 7}, {2, 3, 5, 7}, {40001}};

std::string named(const char* function, const Shape& shape) {
  return str(function, ", ", shape);
}

Arrays both(ref::Two two) {
  return {std::move(two.first), std::move(two.second)};
}

void add_unary(std::vector<OperationCase>& cases) {
  for (const Unary& u : kUnary)
    for (const Shape& shape : kShapes)
      cases.push_back({named(name_of(u.op), shape),
                       {{shape, u.low, u.high}},
                       [u](const Variables& x) { return u.function(x[0]); },
                       [u](const Arrays& x) { return u.value(x[0]); },
                       [u](const Array& dy, const Arrays& x) {
                         return Arrays{u.gradient(dy, u.saved_of(x[0]))};
                       }});
  for (const Shape& shape : kShapes)
    cases.push_back(
        {named("scale", shape),
         {{shape}},
         [](const Variables& x) { return scale(x[0], -1.75f); },
         [](const Arrays& x) { return ref::scale(x[0], -1.75); },
         [](const Array& dy, const Arrays&) { return Arrays{ref::scale_grad(dy, -1.75)}; }});
  for (const Shape& shape : kShapes)
    cases.push_back({named("add_scalar", shape),
                     {{shape}},
                     [](const Variables& x) { return add_scalar(x[0], -1.75f); },
                     [](const Arrays& x) { return ref::shift(x[0], -1.75); },
                     [](const Array& dy, const Arrays&) { return Arrays{ref::shift_grad(dy)}; }});
  for (const Shape& shape : kShapes)
    cases.push_back({named("cast", shape) + " to bf16 and back",
                     {{shape}},
                     [](const Variables& x) { return cast(cast(x[0], DType::bf16), DType::f32); },
                     [](const Arrays& x) { return rounded_to_bf16(x[0]); },
                     [](const Array& dy, const Arrays&) { return Arrays{rounded_to_bf16(dy)}; }});
}

void add_binary(std::vector<OperationCase>& cases) {
  for (const Binary& b : kBinary)
    for (const Shape& shape : kShapes)
      cases.push_back(
          {named(name_of(b.op), shape),
           {{shape, -b.limit_a, b.limit_a}, {shape, b.low_b, 1, true}},
           [b](const Variables& x) { return b.function(x[0], x[1]); },
           [b](const Arrays& x) { return b.value(x[0], x[1]); },
           [b](const Array& dy, const Arrays& x) { return both(b.gradient(dy, x[0], x[1])); }});
}

// The rows of any shape [...,C].
Array as_rows(const Array& x) {
  return {{x.count() / x.shape.back(), x.shape.back()}, x.data};
}

void add_rows(std::vector<OperationCase>& cases) {
  for (const Shape& shape :
       {Shape{1, 1}, Shape{3, 5}, Shape{2, 3, 5, 7}, Shape{5000, 9}, Shape{3, 20000}}) {
    cases.push_back({named("add_bias", shape),
                     {{shape}, {{shape[-1]}}},
                     [](const Variables& x) { return add_bias(x[0], x[1]); },
                     [](const Arrays& x) {
                       return Array{x[0].shape, ref::add_to_rows(as_rows(x[0]), x[1]).data};
                     },
                     [](const Array& dy, const Arrays&) {
                       return Arrays{dy, ref::sum_axis0(as_rows(dy))};
                     }});
    cases.push_back({named("scale_columns", shape),
                     {{shape}, {{shape[-1]}}},
                     [](const Variables& x) { return scale_columns(x[0], x[1]); },
                     [](const Arrays& x) {
                       return Array{x[0].shape, ref::mul_rows(as_rows(x[0]), x[1]).data};
                     },
                     [](const Array& dy, const Arrays& x) {
                       ref::Two d = ref::mul_rows_grad(as_rows(dy), as_rows(x[0]), x[1]);
                       d.first.shape = dy.shape;
                       return both(d);
                     }});
    cases.push_back({named("rows", shape),
                     {{shape}},
                     [](const Variables& x) { return rows(x[0]); },
                     [](const Arrays& x) { return as_rows(x[0]); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{{x[0].shape, dy.data}};
                     }});
  }
}

// One row, one column, rows that are no multiple of a warp, more than one block of rows.
void add_functions_of_rows(std::vector<OperationCase>& cases) {
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 37}, Shape{9, 1}, Shape{5, 7}, Shape{3, 1025},
                             Shape{5000, 9}, Shape{3, 20000}}) {
    cases.push_back({named("scale_rows", shape),
                     {{shape}, {{shape[0]}}},
                     [](const Variables& x) { return scale_rows(x[0], x[1]); },
                     [](const Arrays& x) { return ref::scale_rows(x[0], x[1]); },
                     [](const Array& dy, const Arrays& x) {
                       return both(ref::scale_rows_grad(dy, x[0], x[1]));
                     }});
    cases.push_back({named("sum_axis1", shape),
                     {{shape, -0.5, 1}},
                     [](const Variables& x) { return sum_axis1(x[0]); },
                     [](const Arrays& x) { return ref::sum_axis1(x[0]); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{ref::sum_axis1_grad(dy, x[0].dim(1))};
                     }});
    cases.push_back({named("softmax", shape),
                     {{shape, -4, 4}},
                     [](const Variables& x) { return softmax(x[0]); },
                     [](const Arrays& x) { return ref::softmax(x[0]); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{ref::softmax_grad(dy, ref::softmax(x[0]))};
                     }});
  }
  // Rows from far shorter than the root of 1e-12 to far longer. (For one long column the gradient
  // is the rounding error of zero.)
  const auto add_normalize = [&](const Shape& shape, double largest) {
    cases.push_back({str("normalize_rows, ", shape, " up to ", largest),
                     {{shape, -largest, largest}},
                     [](const Variables& x) { return normalize_rows(x[0]); },
                     [](const Arrays& x) { return ref::normalize_rows(x[0], 1e-12); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{ref::normalize_rows_grad(dy, x[0], 1e-12)};
                     }});
  };
  add_normalize({9, 1}, 2e-6);
  for (double largest : {1e-25, 1e-6, 1.0, 1e4}) add_normalize({5, 7}, largest);
  add_normalize({5000, 9}, 1);
  add_normalize({3, 20000}, 1);
}

void add_reductions(std::vector<OperationCase>& cases) {
  for (const Shape& shape : kShapes) {
    cases.push_back({named("sum", shape),
                     {{shape, -0.5, 1}},
                     [](const Variables& x) { return sum(x[0]); },
                     [](const Arrays& x) { return one(ref::sum(x[0])); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{ref::sum_grad(dy[0], x[0].shape)};
                     }});
    cases.push_back({named("mean", shape),
                     {{shape, -0.5, 1}},
                     [](const Variables& x) { return mean(x[0]); },
                     [](const Arrays& x) { return one(ref::mean(x[0])); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{ref::mean_grad(dy[0], x[0].shape)};
                     }});
    cases.push_back(
        {named("mse", shape),
         {{shape}, {shape}},
         [](const Variables& x) { return mse(x[0], x[1]); },
         [](const Arrays& x) { return one(ref::mse(x[0], x[1])); },
         [](const Array& dy, const Arrays& x) { return both(ref::mse_grad(dy[0], x[0], x[1])); }});
  }
}

// The last sizes are beyond one tile of the plain product in all three directions (96, 256, 256).
void add_products(std::vector<OperationCase>& cases) {
  struct Sizes {
    int64_t M, L, N;
  };
  for (auto [M, L, N] : {Sizes{1, 1, 1}, Sizes{1, 7, 1}, Sizes{5, 3, 2}, Sizes{7, 13, 17},
                         Sizes{1, 64, 33}, Sizes{64, 1, 33}, Sizes{100, 270, 260}}) {
    const std::string sizes = str(", ", M, "x", L, "x", N);
    cases.push_back({"matmul" + sizes,
                     {{{M, L}}, {{L, N}}},
                     [](const Variables& x) { return matmul(x[0], x[1]); },
                     [](const Arrays& x) { return ref::matmul(x[0], x[1], false, false); },
                     [](const Array& dy, const Arrays& x) {
                       return both(ref::matmul_grad(dy, x[0], x[1], false, false));
                     }});
    for (bool bias : {false, true}) {
      std::vector<Input> inputs{{{M, L}}, {{N, L}}};
      if (bias) inputs.push_back({{N}});
      cases.push_back(
          {"linear" + sizes + (bias ? " +bias" : ""), inputs,
           [bias](const Variables& x) { return linear(x[0], x[1], bias ? x[2] : Variable()); },
           [bias](const Arrays& x) { return ref::linear(x[0], x[1], bias ? x[2] : Array{}); },
           [bias](const Array& dy, const Arrays& x) {
             ref::LinearGradients d = ref::linear_grad(dy, x[0], x[1]);
             Arrays list{d.x, d.w};
             if (bias) list.push_back(d.b);
             return list;
           }});
    }
  }
}

// One channel, one group, as many groups as channels, the groups of a wide layer, and more than one
// block of the loops; values far from zero compared with their spread.
void add_group_norm(std::vector<OperationCase>& cases) {
  constexpr double kEps = 1e-5;
  const auto add = [&](const Shape& shape, int64_t groups, double low, double high) {
    const Shape channels{shape[3]};
    cases.push_back(
        {str("group_norm, ", groups, " groups of ", shape, " from ", low),
         {{shape, low, high}, {channels}, {channels}},
         [=](const Variables& x) { return group_norm(x[0], x[1], x[2], groups); },
         [=](const Arrays& x) { return ref::group_norm(x[0], x[1], x[2], groups, kEps); },
         [=](const Array& dy, const Arrays& x) {
           auto d = ref::group_norm_grad(dy, x[0], x[1], groups, kEps);
           return Arrays{d.x, d.weight, d.bias};
         }});
  };
  add({1, 2, 2, 1}, 1, -1, 1);
  for (int64_t groups : {1, 2, 3, 6}) add({2, 3, 5, 6}, groups, -1, 1);
  add({2, 4, 4, 64}, 32, -1, 1);
  add({3, 16, 16, 40}, 8, 7, 8);
  add({2, 3, 3, 300}, 2, -1, 1);
  add({40, 1, 3, 9}, 3, -1, 1);
}

void add_shapes(std::vector<OperationCase>& cases) {
  const auto add_reshape = [&](const Shape& from, const Shape& to) {
    cases.push_back({str("reshape, ", from, " to ", to),
                     {{from}},
                     [to](const Variables& x) { return reshape(x[0], to); },
                     [to](const Arrays& x) {
                       return Array{ref_shape(to), x[0].data};
                     },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{{x[0].shape, dy.data}};
                     }});
  };
  add_reshape({1}, {1, 1, 1, 1});
  add_reshape({2, 3, 5, 7}, {15, 14});
  add_reshape({6, 35}, {2, 3, 5, 7});

  const auto add_permute = [&](const Shape& shape, const std::vector<int>& axes) {
    const std::vector<size_t> ref_axes(axes.begin(), axes.end());
    std::string name = str("permute, ", shape, " by");
    for (int axis : axes) name += str(" ", axis);
    cases.push_back({name,
                     {{shape}},
                     [axes](const Variables& x) { return permute(x[0], axes); },
                     [ref_axes](const Arrays& x) { return ref::permute(x[0], ref_axes); },
                     [ref_axes](const Array& dy, const Arrays&) {
                       return Arrays{ref::permute_grad(dy, ref_axes)};
                     }});
  };
  add_permute({5}, {0});
  add_permute({7, 11}, {1, 0});
  add_permute({3, 4, 5}, {1, 2, 0});
  add_permute({2, 3, 4, 5}, {0, 3, 1, 2});
  add_permute({2, 3, 4, 5}, {3, 0, 1, 2});
  add_permute({2, 3, 4, 5}, {2, 0, 3, 1});
  add_permute({9, 16, 17, 18}, {0, 2, 3, 1});
}

void add_columns(std::vector<OperationCase>& cases) {
  const auto add_slice = [&](int64_t R, int64_t C, int64_t begin, int64_t end) {
    cases.push_back({str("slice, ", begin, " to ", end, " of ", Shape{R, C}),
                     {{{R, C}}},
                     [=](const Variables& x) { return slice(x[0], begin, end); },
                     [=](const Arrays& x) { return ref::slice_columns(x[0], begin, end); },
                     [=](const Array& dy, const Arrays&) {
                       return Arrays{ref::slice_columns_grad(dy, begin, C)};
                     }});
  };
  add_slice(1, 1, 0, 1);
  add_slice(5, 7, 0, 3);
  add_slice(5, 7, 2, 5);
  add_slice(5, 7, 4, 7);
  add_slice(5, 7, 0, 7);
  add_slice(4001, 13, 5, 12);

  const auto add_concat = [&](int64_t R, const std::vector<int64_t>& columns) {
    OperationCase c;
    c.name = str("concat, ", R, " rows");
    for (int64_t width : columns) {
      c.name += str(" ", width);
      c.inputs.push_back({{R, width}});
    }
    c.forward = [](const Variables& x) { return concat(x); };
    c.reference = [](const Arrays& x) {
      Array y = x[0];
      for (size_t i = 1; i < x.size(); ++i) y = ref::concat_columns(y, x[i]);
      return y;
    };
    c.reference_grad = [](const Array& dy, const Arrays& x) {
      Arrays d;
      int64_t begin = 0;
      for (const Array& part : x) {
        d.push_back(ref::slice_columns(dy, begin, begin + part.dim(1)));
        begin += part.dim(1);
      }
      return d;
    };
    cases.push_back(c);
  };
  add_concat(1, {1});
  add_concat(3, {4, 2});
  add_concat(7, {1, 5, 3});
  add_concat(3001, {6, 1, 9});

  // Rows are chosen with repetition; rows that are never chosen get gradient zero.
  const auto add_gather = [&](int64_t K, int64_t D, int64_t R) {
    const ref::Indices index = ref::Random(99).indices(R, K);
    cases.push_back({str("gather_rows, ", R, " of ", Shape{K, D}),
                     {{{K, D}}},
                     [=](const Variables& x) {
                       return gather_rows(x[0], index_tensor(index, x[0].value().device()));
                     },
                     [=](const Arrays& x) { return ref::gather_rows(x[0], index); },
                     [=](const Array& dy, const Arrays&) {
                       return Arrays{ref::gather_rows_grad(dy, index, K)};
                     }});
  };
  add_gather(1, 1, 1);
  add_gather(5, 3, 8);
  add_gather(100, 7, 40);
  add_gather(50, 33, 2001);
}

}  // namespace

const std::vector<OperationCase>& operation_cases() {
  static const std::vector<OperationCase> cases = [] {
    std::vector<OperationCase> list = conv_operation_cases();
    for (auto add : {add_unary, add_binary, add_rows, add_functions_of_rows, add_reductions,
                     add_products, add_group_norm, add_shapes, add_columns})
      add(list);
    for (OperationCase& c : composed_operation_cases()) list.push_back(std::move(c));
    for (OperationCase& c : attention_operation_cases()) list.push_back(std::move(c));
    return list;
  }();
  return cases;
}

Arrays draw_inputs(const OperationCase& c, uint64_t seed) {
  ref::Random random(seed);
  Arrays inputs;
  for (const Input& input : c.inputs) {
    Array array = random_array(random, input.shape, input.low, input.high);
    if (input.either_sign)
      for (double& value : array.data) value = random.index(2) == 0 ? value : -value;
    inputs.push_back(std::move(array));
  }
  return inputs;
}

Outcome run_case(const OperationCase& c, const Arrays& inputs, const Array& dy, Device device) {
  Variables x;
  for (const Array& input : inputs) x.emplace_back(to_tensor(input, device), true);
  const Variable y = c.forward(x);
  backward(sum(mul(y, Variable(to_tensor(dy, device)))));
  Outcome outcome{y.value(), {}};
  for (const Variable& input : x) outcome.gradients.push_back(input.grad());
  return outcome;
}

}  // namespace versor::testing
