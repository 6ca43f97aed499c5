// The part of the table for functions that are compositions of others: two shapes, sums over axes,
// choices among columns. See cases.h.
#include "tests/cases.h"

namespace versor::testing {

using ref::Array;

namespace {

// Scalars, lacking axes, axes of extent 1 in the front, in the middle and at the end, in both.
struct Pair {
  Shape a, b, both;
};
const Pair kPairs[] = {
    {{1}, {7}, {7}},
    {{5, 7}, {1}, {5, 7}},
    {{}, {3, 2}, {3, 2}},
    {{4, 1}, {1, 3}, {4, 3}},
    {{6, 7}, {7}, {6, 7}},
    {{5, 1}, {5, 7}, {5, 7}},
    {{2, 3, 5, 7}, {3, 1, 7}, {2, 3, 5, 7}},
    {{2, 1, 5, 1}, {1, 3, 1, 7}, {2, 3, 5, 7}},
    {{1, 1, 1, 6}, {9, 16, 17, 1}, {9, 16, 17, 6}},
};

struct Function {
  const char* name;
  Variable (*function)(const Variable&, const Variable&);
  Array (*value)(const Array&, const Array&);
  ref::Two (*gradient)(const Array& dy, const Array& a, const Array& b);
};
const Function kFunctions[] = {
    {"add", add, ref::add, [](auto& dy, auto&, auto&) { return ref::add_grad(dy); }},
    {"sub", sub, ref::sub, [](auto& dy, auto&, auto&) { return ref::sub_grad(dy); }},
    {"mul", mul, ref::mul, ref::mul_grad},
    {"div", div, ref::div, ref::div_grad},
    {"maximum", maximum, ref::maximum, ref::maximum_grad},
    {"minimum", minimum, ref::minimum, ref::minimum_grad},
};

void add_two_shapes(std::vector<OperationCase>& cases) {
  for (const Pair& p : kPairs)
    for (const Function& f : kFunctions) {
      const ref::Shape both = ref_shape(p.both);
      const auto repeated = [=](const Array& x) { return ref::expand(x, both); };
      cases.push_back(
          {str(f.name, ", ", p.a, " and ", p.b),
           {{p.a}, {p.b, 0.2, 1, true}},
           [f](const Variables& x) { return f.function(x[0], x[1]); },
           [=](const Arrays& x) { return f.value(repeated(x[0]), repeated(x[1])); },
           [=](const Array& dy, const Arrays& x) {
             const ref::Two d = f.gradient(dy, repeated(x[0]), repeated(x[1]));
             return Arrays{ref::sum_to(d.first, x[0].shape), ref::sum_to(d.second, x[1].shape)};
           }});
    }
  for (const Pair& p : kPairs) {
    const ref::Shape both = ref_shape(p.both);
    cases.push_back(
        {str("expand, ", p.a, " to ", p.both),
         {{p.a}},
         [to = p.both](const Variables& x) { return expand(x[0], to); },
         [=](const Arrays& x) { return ref::expand(x[0], both); },
         [](const Array& dy, const Arrays& x) { return Arrays{ref::sum_to(dy, x[0].shape)}; }});
  }
}

void add_sums(std::vector<OperationCase>& cases) {
  struct Sum {
    Shape from;
    std::vector<int> axes;
    bool keep;
    ref::Shape ones;  // `from` with 1 on the axes
    Shape to;
  };
  for (const Sum& s : {Sum{{5}, {0}, false, {1}, {}}, Sum{{5, 7}, {-1}, false, {5, 1}, {5}},
                       Sum{{5, 7}, {0}, true, {1, 7}, {1, 7}},
                       Sum{{2, 3, 5, 7}, {1, 2}, false, {2, 1, 1, 7}, {2, 7}},
                       Sum{{2, 3, 5, 7}, {2, 0}, false, {1, 3, 1, 7}, {3, 7}},
                       Sum{{2, 3, 5, 7}, {1, -1}, true, {2, 1, 5, 1}, {2, 1, 5, 1}},
                       Sum{{9, 16, 17, 18}, {0, 1, 2, 3}, false, {1, 1, 1, 1}, {}},
                       Sum{{3, 4}, {}, false, {3, 4}, {3, 4}}})
    for (const bool is_mean : {false, true}) {
      const double factor =
          is_mean ? static_cast<double>(s.to.numel()) / static_cast<double>(s.from.numel()) : 1.0;
      std::string name =
          str(is_mean ? "mean, " : "sum, ", s.from, s.keep ? " keeping" : "", " axes");
      for (int axis : s.axes) name += str(" ", axis);
      cases.push_back({name,
                       {{s.from, -0.5, 1}},
                       [=](const Variables& x) {
                         return is_mean ? mean(x[0], s.axes, s.keep) : sum(x[0], s.axes, s.keep);
                       },
                       [=](const Arrays& x) {
                         const Array y = ref::scale(ref::sum_to(x[0], s.ones), factor);
                         return Array{ref_shape(s.to), y.data};
                       },
                       [=](const Array& dy, const Arrays& x) {
                         const Array kept{s.ones, dy.data};
                         return Arrays{ref::scale(ref::expand(kept, x[0].shape), factor)};
                       }});
    }
}

// One column, one row, more than a warp and more than a block of them.
void add_choices(std::vector<OperationCase>& cases) {
  for (const Shape& shape :
       {Shape{1, 1}, Shape{5, 7}, Shape{9, 1}, Shape{3, 1025}, Shape{5000, 9}}) {
    const ref::Indices index = ref::Random(98).indices(shape[0], shape[1]);
    const auto on_device_of = [index](const Variable& x) {
      return index_tensor(index, x.value().device());
    };
    const int64_t columns = shape[1];
    cases.push_back({str("pick, ", shape),
                     {{shape}},
                     [=](const Variables& x) { return pick(x[0], on_device_of(x[0])); },
                     [=](const Arrays& x) { return ref::pick(x[0], index); },
                     [=](const Array& dy, const Arrays&) {
                       return Arrays{ref::pick_grad(dy, index, columns)};
                     }});
    cases.push_back({str("max_axis1, ", shape),
                     {{shape}},
                     [](const Variables& x) { return max_axis1(x[0]); },
                     [](const Arrays& x) { return ref::pick(x[0], ref::argmax(x[0])); },
                     [=](const Array& dy, const Arrays& x) {
                       return Arrays{ref::pick_grad(dy, ref::argmax(x[0]), columns)};
                     }});
    if (columns == 1) continue;  // the logarithm of 1, and so all gradients, are 0 up to rounding
    cases.push_back({str("log_softmax, ", shape),
                     {{shape, -4, 4}},
                     [](const Variables& x) { return log_softmax(x[0]); },
                     [](const Arrays& x) { return ref::log_softmax(x[0]); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{ref::log_softmax_grad(dy, ref::log_softmax(x[0]))};
                     }});
    for (double largest : {1.0, 100.0})
      cases.push_back({str("cross_entropy, ", shape, " up to ", largest),
                       {{shape, -largest, largest}},
                       [=](const Variables& x) { return cross_entropy(x[0], on_device_of(x[0])); },
                       [=](const Arrays& x) { return one(ref::cross_entropy(x[0], index)); },
                       [=](const Array& dy, const Arrays& x) {
                         return Arrays{ref::cross_entropy_grad(dy[0], x[0], index)};
                       }});
  }
}

void add_bounds(std::vector<OperationCase>& cases) {
  for (const Shape& shape : {Shape{1}, Shape{2, 3, 5, 7}, Shape{40001}}) {
    cases.push_back({str("clamp, ", shape),
                     {{shape}},
                     [](const Variables& x) { return clamp(x[0], -0.25f, 0.5f); },
                     [](const Arrays& x) { return ref::clamp(x[0], -0.25, 0.5); },
                     [](const Array& dy, const Arrays& x) {
                       return Arrays{ref::clamp_grad(dy, x[0], -0.25, 0.5)};
                     }});
    cases.push_back(
        {str("pow, ", shape),
         {{shape, 0.1, 3}},
         [](const Variables& x) { return pow(x[0], -1.5f); },
         [](const Arrays& x) { return ref::pow(x[0], -1.5); },
         [](const Array& dy, const Arrays& x) { return Arrays{ref::pow_grad(dy, x[0], -1.5)}; }});
  }
}

// Windows of one pixel, as large as the image, and with rows and columns left over.
void add_pooling(std::vector<OperationCase>& cases) {
  struct Windows {
    Shape shape;
    int64_t kernel;
  };
  for (const Windows& p :
       {Windows{{1, 1, 1, 1}, 1}, Windows{{2, 6, 4, 3}, 2}, Windows{{2, 5, 7, 3}, 2},
        Windows{{1, 7, 10, 5}, 3}, Windows{{3, 4, 4, 2}, 4}, Windows{{5, 32, 33, 9}, 2}})
    for (const bool largest : {false, true}) {
      const ref::Pool pool{p.kernel, largest};
      const auto function = largest ? max_pool2d : avg_pool2d;
      cases.push_back(
          {str(largest ? "max_pool2d, " : "avg_pool2d, ", p.shape, " by ", p.kernel),
           {{p.shape}},
           [=, k = p.kernel](const Variables& x) { return function(x[0], k); },
           [=](const Arrays& x) { return pool.value(x[0]); },
           [=](const Array& dy, const Arrays& x) { return Arrays{pool.gradient(dy, x[0])}; }});
    }
}

void add_layer_norm(std::vector<OperationCase>& cases) {
  constexpr double kEps = 1e-5;
  for (const Shape& shape : {Shape{7}, Shape{5, 7}, Shape{2, 3, 5, 4}, Shape{3, 1025}}) {
    const Shape columns{shape[-1]};
    const auto rows_of = [c = shape[-1]](const Array& x) {
      return Array{{x.count() / c, c}, x.data};
    };
    cases.push_back(
        {str("layer_norm, ", shape),
         {{shape, 1, 3}, {columns}, {columns}},
         [](const Variables& x) { return layer_norm(x[0], x[1], x[2]); },
         [=](const Arrays& x) {
           return Array{x[0].shape, ref::RowNorm(rows_of(x[0]), kEps).value(x[1], x[2]).data};
         },
         [=](const Array& dy, const Arrays& x) {
           const ref::RowNorm norm(rows_of(x[0]), kEps);
           const Array rows = rows_of(dy);
           return Arrays{{x[0].shape, norm.gradient(rows, x[1]).data},
                         ref::sum_axis0(ref::mul(rows, norm.normalized)),
                         ref::sum_axis0(rows)};
         }});
  }
}

}  // namespace

std::vector<OperationCase> composed_operation_cases() {
  std::vector<OperationCase> cases;
  for (auto add : {add_two_shapes, add_sums, add_choices, add_bounds, add_pooling, add_layer_norm})
    add(cases);
  return cases;
}

}  // namespace versor::testing
