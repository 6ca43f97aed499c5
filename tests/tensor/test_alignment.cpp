// A tensor may be a view that begins at any element, and a device may take a faster path where all
// tensors have aligned addresses: both must give the same bits. Fresh memory is aligned, a Fenced
// view hardly ever; values are checked by the other tests.
#include "tensor/ops.h"
#include "tests/elementwise_operations.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using Tensors = std::vector<Tensor>;

struct Operation {
  const char* name;
  std::function<Tensor(const Tensors&)> call;  // of two matrices of the same shape
};

// The result begins where x begins: both are fresh, or both are views.
Tensor in_place(const Tensor& x, const std::function<void(Tensor&)>& change) {
  Tensor y = x;
  change(y);
  return y;
}

std::vector<Operation> operations() {
  std::vector<Operation> list = {
      {"mse", [](const Tensors& x) { return ops::mse(x[0], x[1]); }},
      {"mse_grad", [](const Tensors& x) { return ops::mse_grad(to_tensor(one(3)), x[0], x[1]); }},
      {"sum", [](const Tensors& x) { return ops::sum(x[0]); }},
      {"sum_axis0", [](const Tensors& x) { return ops::sum_axis0(x[0]); }},
      {"sum_axis1", [](const Tensors& x) { return ops::sum_axis1(x[0]); }},
      {"scale_rows", [](const Tensors& x) { return ops::scale_rows(x[0], ops::sum_axis1(x[1])); }},
      {"softmax", [](const Tensors& x) { return ops::softmax(x[0]); }},
      {"softmax_grad", [](const Tensors& x) { return ops::softmax_grad(x[0], x[1]); }},
      {"cross_entropy",
       [](const Tensors& x) {
         const Tensor label = index_tensor(ref::Indices(x[0].dim(0), 0));
         return ops::cross_entropy_grad(ops::cross_entropy(x[0], label), x[1], label);
       }},
      {"argmax", [](const Tensors& x) { return ops::argmax(x[0]); }},
      {"permute",
       [](const Tensors& x) {
         return ops::permute(x[0], {1, 0});
       }},
      {"slice", [](const Tensors& x) { return ops::slice(x[0], 0, (x[0].dim(1) + 1) / 2); }},
      {"concat", [](const Tensors& x) { return ops::concat(x); }},
      {"gather_rows",
       [](const Tensors& x) {
         return ops::gather_rows(x[0], index_tensor({2, 0}));
       }},
      {"segment_sum",
       [](const Tensors& x) {
         return ops::segment_sum(x[0], index_tensor(ref::Indices(x[0].dim(0), 1)), 3);
       }},
      {"uniform",
       [](const Tensors& x) {
         return in_place(x[0], [](Tensor& y) { y.backend().uniform(y, Rng(4), -1, 1); });
       }},
      {"normal",
       [](const Tensors& x) {
         return in_place(x[0], [](Tensor& y) { y.backend().normal(y, Rng(4)); });
       }},
      {"fill", [](const Tensors& x) { return in_place(x[0], [](Tensor& y) { ops::fill(y, 7); }); }},
      {"broadcast",
       [](const Tensors& x) {
         return in_place(x[0], [](Tensor& y) { y.backend().broadcast(y, to_tensor(one(3)), 2); });
       }},
      {"copy",
       [](const Tensors& x) { return in_place(x[0], [&](Tensor& y) { ops::copy(y, x[1]); }); }},
  };
  for (const Unary& u : kUnary) {
    const UnaryOp op = u.op;
    list.push_back({name_of(op), [op](const Tensors& x) { return ops::unary(x[0], op); }});
    list.push_back(
        {name_of(op), [op](const Tensors& x) { return ops::unary_grad(x[0], x[1], op); }});
  }
  for (const Binary& b : kBinary) {
    const BinaryOp op = b.op;
    list.push_back({name_of(op), [op](const Tensors& x) { return ops::binary(x[0], x[1], op); }});
    list.push_back({name_of(op), [op](const Tensors& x) {
                      return ops::binary_rows(x[0], ops::sum_axis0(x[1]), op);
                    }});
  }
  for (DType to : {DType::f32, DType::bf16, DType::i32, DType::u8})
    list.push_back({"affine", [to](const Tensors& x) { return ops::affine(x[0], 99, 9, to); }});
  return list;
}

TEST_CASE("alignment: views that begin anywhere give the bits of aligned tensors") {
  ref::Random random(95);
  for (const Shape& shape : {Shape{3, 1}, Shape{37, 64}, Shape{37, 5}, Shape{3, 20000}}) {
    CAPTURE(shape);
    const ref::Array a = random_array(random, shape), b = random_array(random, shape);
    for (const Operation& operation : operations()) {
      CAPTURE(operation.name);
      const Fenced view_a(a), view_b(b);
      // Views of flat buffers, one element past an aligned address.
      const auto shifted = [](const ref::Array& x) {
        Tensor flat = empty({x.count() + 1});
        Tensor view = flat.rows(1, x.count() + 1).reshape(to_shape(x.shape));
        view.copy_from_host(bits_of(to_tensor(x)).data());
        return view;
      };
      const std::string expected = bits_of(operation.call({to_tensor(a), to_tensor(b)}));
      CHECK((bits_of(operation.call({shifted(a), shifted(b)})) == expected));
      CHECK((bits_of(operation.call({shifted(a), to_tensor(b)})) == expected));
      CHECK((bits_of(operation.call({view_a.view, view_b.view})) == expected));
      CHECK((view_a.intact() && view_b.intact()));
    }
  }
}

TEST_CASE("alignment: images, indices and gradients that begin anywhere") {
  ref::Random random(96);
  std::vector<uint8_t> bytes(static_cast<size_t>(6 * 8 * 8 * 3));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.index(256));
  const Shape shape{6, 8, 8, 3};
  const Tensor images = on_device(bytes, shape), order = index_tensor({5, 0, 3});
  const std::string expected = bits_of(ops::gather_images(images, order, {}, 3, 3, 0.1f, -1));
  for (int64_t shift : {1, 2, 4, 8}) {
    CAPTURE(shift);
    Tensor view =
        empty({shape.numel() + shift}, DType::u8).rows(shift, shape.numel() + shift).reshape(shape);
    view.copy_from_host(bytes.data());
    CHECK((bits_of(ops::gather_images(view, order, {}, 3, 3, 0.1f, -1)) == expected));
  }

  const ref::Array g = random_array(random, {1000});
  const Tensor one = index_tensor({1});
  const auto moved = [&](bool adam, int64_t offset, int64_t shift, int64_t value_shift) {
    const Shape flat{1010};
    Tensor m = ops::zeros(flat, test_device()), v = ops::zeros(flat, test_device());
    const Tensor value = ops::zeros(flat, test_device()).rows(value_shift, 1000 + value_shift);
    Tensor gradient = empty({1000 + shift}).rows(shift, 1000 + shift);
    gradient.copy_from_host(bits_of(to_tensor(g)).data());
    const std::vector<ParameterPart> parts = {{value, gradient, offset, 0}};
    if (adam) {
      ops::adam(m, v, parts, one, one, {}, {.lr = 0.1f});
    } else {
      ops::sgd(m, parts, one, {}, {.lr = 0.1f, .momentum = 0.5f});
    }
    ops::gather_gradients(v, parts);
    return bits_of(value) + bits_of(m.rows(offset, offset + 1000)) +
           bits_of(v.rows(offset, offset + 1000));
  };
  for (bool adam : {true, false}) {
    const std::string aligned = moved(adam, 0, 0, 0);
    for (int64_t offset : {0, 1, 3, 4})
      for (int64_t shift : {0, 1, 4})
        for (int64_t value_shift : {0, 1}) {
          CHECK((moved(adam, offset, shift, value_shift) == aligned));
        }
  }
}

}  // namespace
}  // namespace versor::testing
