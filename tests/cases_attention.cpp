// The part of the table for what transformers need: attention and causal softmax, products of many
// matrices, slices and joins along any axis, larger images. See cases.h.
#include "tests/cases.h"

namespace versor::testing {

using ref::Array;

namespace {

// One sequence, one place, one head, heads of one channel, sizes that are no multiples of vectors,
// and those of a prior.
void add_attention(std::vector<OperationCase>& cases) {
  struct Sizes {
    int64_t N, T, W, heads;
  };
  for (const Sizes& s : {Sizes{1, 1, 1, 1}, Sizes{3, 1, 6, 2}, Sizes{1, 7, 5, 5},
                         Sizes{2, 5, 12, 3}, Sizes{2, 33, 10, 2}, Sizes{1, 64, 64, 2}})
    for (const bool causal : {false, true}) {
      const ref::Attention attention_of{s.heads, causal};
      cases.push_back({str("attention, ", Shape{s.N, s.T, s.W}, " with ", s.heads, " heads",
                           causal ? ", causal" : ""),
                       {{{s.N, s.T, 3 * s.W}, -2, 2}},
                       [=](const Variables& x) { return attention(x[0], s.heads, causal); },
                       [=](const Arrays& x) { return attention_of.value(x[0]); },
                       [=](const Array& dy, const Arrays& x) {
                         return Arrays{attention_of.gradient(dy, x[0])};
                       }});
    }
}

// Row t of each matrix, with -infinity where it sees nothing.
Array masked(const Array& x) {
  const int64_t K = x.shape.back(), T = x.shape[x.shape.size() - 2];
  Array rows{{x.count() / K, K}, x.data};
  for (int64_t r = 0; r < rows.dim(0); ++r)
    for (int64_t k = r % T + 1 + K - T; k < K; ++k) rows.at(r, k) = -INFINITY;
  return rows;
}

void add_softmax(std::vector<OperationCase>& cases) {
  const auto add = [&](const char* name, const Shape& shape, Variable (*function)(const Variable&),
                       Array (*rows_of)(const Array&)) {
    cases.push_back({str(name, ", ", shape, " at any rank"),
                     {{shape, -4, 4}},
                     [=](const Variables& x) { return function(x[0]); },
                     [=](const Arrays& x) {
                       return Array{x[0].shape, ref::softmax(rows_of(x[0])).data};
                     },
                     [=](const Array& dy, const Arrays& x) {
                       const Array y = ref::softmax(rows_of(x[0])), rows{y.shape, dy.data};
                       return Arrays{{x[0].shape, ref::softmax_grad(rows, y).data}};
                     }});
  };
  const auto all = [](const Array& x) {
    return Array{{x.count() / x.shape.back(), x.shape.back()}, x.data};
  };
  for (const Shape& shape : {Shape{7}, Shape{2, 3, 5}, Shape{2, 3, 4, 9}})
    add("softmax", shape, softmax, all);
  for (const Shape& shape : {Shape{5, 5}, Shape{3, 4, 9}, Shape{2, 3, 17, 17}, Shape{2, 1, 40}})
    add("causal_softmax", shape, causal_softmax, masked);
}

// Matrix number i of a batch.
Array matrix(const Array& x, int64_t i) {
  const size_t rank = x.shape.size();
  Array y = ref::zeros({x.shape[rank - 2], x.shape[rank - 1]});
  for (int64_t k = 0; k < y.count(); ++k) y[k] = x[i * y.count() + k];
  return y;
}

void append(Array& to, const Array& part) {
  to.data.insert(to.data.end(), part.data.begin(), part.data.end());
}

void add_products(std::vector<OperationCase>& cases) {
  struct Sizes {
    Shape a, b, y;
    int64_t count;
  };
  for (const Sizes& s :
       {Sizes{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 1}, Sizes{{3, 1, 7}, {3, 7, 5}, {3, 1, 5}, 3},
        Sizes{{2, 3, 5, 4}, {2, 3, 4, 9}, {2, 3, 5, 9}, 6},
        Sizes{{5, 33, 17}, {5, 17, 31}, {5, 33, 31}, 5}})
    cases.push_back({str("matmul, ", s.a, " by ", s.b),
                     {{s.a}, {s.b}},
                     [](const Variables& x) { return matmul(x[0], x[1]); },
                     [=](const Arrays& x) {
                       Array y{ref_shape(s.y), {}};
                       for (int64_t i = 0; i < s.count; ++i)
                         append(y, ref::matmul(matrix(x[0], i), matrix(x[1], i), false, false));
                       return y;
                     },
                     [=](const Array& dy, const Arrays& x) {
                       Array da{x[0].shape, {}}, db{x[1].shape, {}};
                       for (int64_t i = 0; i < s.count; ++i) {
                         const auto d = ref::matmul_grad(matrix(dy, i), matrix(x[0], i),
                                                         matrix(x[1], i), false, false);
                         append(da, d.first);
                         append(db, d.second);
                       }
                       return Arrays{da, db};
                     }});
}

void add_axes(std::vector<OperationCase>& cases) {
  const auto add_choice = [&](const std::string& name, const Shape& from, const Shape& to,
                              const ref::Indices& chosen,
                              const std::function<Variable(const Variable&)>& function) {
    cases.push_back({name,
                     {{from}},
                     [=](const Variables& x) { return function(x[0]); },
                     [=](const Arrays& x) { return ref::take(x[0], chosen, ref_shape(to)); },
                     [=](const Array& dy, const Arrays& x) {
                       return Arrays{ref::take_grad(dy, chosen, x[0].shape)};
                     }});
  };
  struct Part {
    Shape from;
    int axis;
    int64_t begin, end;
    Shape to;
  };
  for (const Part& p :
       {Part{{7}, 0, 2, 5, {3}}, Part{{5, 3}, 0, 1, 2, {1, 3}}, Part{{2, 4, 3}, 1, 0, 3, {2, 3, 3}},
        Part{{2, 3, 4, 5}, -2, 1, 4, {2, 3, 3, 5}}, Part{{2, 3, 4, 5}, 3, 0, 5, {2, 3, 4, 5}}}) {
    const int axis = p.axis < 0 ? p.axis + p.from.rank() : p.axis;
    add_choice(str("slice, ", p.begin, "..", p.end, " of axis ", p.axis, " of ", p.from), p.from,
               p.to,
               ref::elements_along(ref_shape(p.from), static_cast<size_t>(axis), p.begin, p.end),
               [=](const Variable& x) { return slice(x, p.axis, p.begin, p.end); });
  }
  for (const auto& [shape, factor] :
       {std::pair<Shape, int64_t>{{1, 1, 1, 1}, 3}, {{2, 3, 5, 7}, 2}, {{1, 2, 3, 1}, 1}})
    add_choice(str("upsample_nearest2d, ", shape, " by ", factor), shape,
               {shape[0], factor * shape[1], factor * shape[2], shape[3]},
               ref::upsampled_elements(ref_shape(shape), factor),
               [factor = factor](const Variable& x) { return upsample_nearest2d(x, factor); });

  const auto add_join = [&](const std::vector<Shape>& parts, int axis, const Shape& joined) {
    OperationCase c;
    c.name = str("concat, along axis ", axis, " to ", joined);
    std::vector<ref::Indices> places;  // of each part in the result
    int64_t begin = 0;
    const int along = axis < 0 ? axis + joined.rank() : axis;
    for (const Shape& part : parts) {
      c.inputs.push_back({part});
      const int64_t end = begin + part[along];
      places.push_back(
          ref::elements_along(ref_shape(joined), static_cast<size_t>(along), begin, end));
      begin = end;
    }
    c.forward = [axis](const Variables& x) { return concat(x, axis); };
    c.reference = [=](const Arrays& x) {
      Array y = ref::zeros(ref_shape(joined));
      for (size_t i = 0; i < x.size(); ++i)
        y = ref::add(y, ref::take_grad(x[i], places[i], y.shape));
      return y;
    };
    c.reference_grad = [=](const Array& dy, const Arrays& x) {
      Arrays d;
      for (size_t i = 0; i < x.size(); ++i) d.push_back(ref::take(dy, places[i], x[i].shape));
      return d;
    };
    cases.push_back(c);
  };
  add_join({{2}, {5}}, 0, {7});
  add_join({{2, 3, 4}, {2, 1, 4}, {2, 2, 4}}, 1, {2, 6, 4});
  add_join({{1, 3, 4, 5}, {2, 3, 4, 5}}, -4, {3, 3, 4, 5});
}

}  // namespace

std::vector<OperationCase> attention_operation_cases() {
  std::vector<OperationCase> cases;
  for (auto add : {add_attention, add_softmax, add_products, add_axes}) add(cases);
  return cases;
}

}  // namespace versor::testing
