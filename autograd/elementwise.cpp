// Element-wise functions and their derivatives.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {
namespace {

// y = op(x);  dx = dy op'(x), from x or y, whichever the derivative is written in.
Variable unary(const Variable& x, UnaryOp op) {
  Tensor y = ops::unary(x.value(), op);
  const Tensor saved = saved_by(op) == Saved::output ? y : x.value();
  return record(name_of(op), y, {x},
                [=](Tensor dy) { return ops::unary_grad(std::move(dy), saved, op); });
}

// f of two shapes that differ.
Variable repeated(Variable (*f)(const Variable&, const Variable&), const Variable& a,
                  const Variable& b) {
  const Shape shape = ops::broadcast_shape(a.shape(), b.shape());
  return f(expand(a, shape), expand(b, shape));
}

// y = op(a, b), one of the two;  da = dy where y is a and not b, db = dy elsewhere.
Variable chosen(const Variable& a, const Variable& b, BinaryOp op) {
  const Tensor va = a.value(), vb = b.value();
  return record(
      name_of(op), ops::binary(va, vb, op), {a, b}, [=](const Tensor& dy, const Needed& needed) {
        const Tensor da =
            ops::relu_grad(dy, op == BinaryOp::maximum ? ops::sub(va, vb) : ops::sub(vb, va));
        return Gradients{da, needed[1] ? ops::sub(dy, da) : Tensor()};
      });
}

}  // namespace

// y = max(x, 0);  dx = dy where y > 0, else 0.
Variable relu(const Variable& x) {
  return unary(x, UnaryOp::relu);
}
// y = tanh(x);  dx = dy (1 - y^2).
Variable tanh(const Variable& x) {
  return unary(x, UnaryOp::tanh);
}
// y = exp(x);  dx = dy y.
Variable exp(const Variable& x) {
  return unary(x, UnaryOp::exp);
}
// y = log(x);  dx = dy / x.
Variable log(const Variable& x) {
  return unary(x, UnaryOp::log);
}
// y = sqrt(x);  dx = dy / (2 y).
Variable sqrt(const Variable& x) {
  return unary(x, UnaryOp::sqrt);
}
// y = x^2;  dx = 2 x dy.
Variable square(const Variable& x) {
  return unary(x, UnaryOp::square);
}
// y = x s, s = 1 / (1 + exp(-x));  dx = dy s (1 + x (1 - s)).
Variable silu(const Variable& x) {
  return unary(x, UnaryOp::silu);
}
// y = 1 / (1 + exp(-x));  dx = dy y (1 - y).
Variable sigmoid(const Variable& x) {
  return unary(x, UnaryOp::sigmoid);
}
// y = x P(x), P(x) = (1 + erf(x / sqrt(2))) / 2;  dx = dy (P(x) + x exp(-x^2/2) / sqrt(2 pi)).
Variable gelu(const Variable& x) {
  return unary(x, UnaryOp::gelu);
}
// y = |x|;  dx = dy where x > 0, -dy where x < 0, else 0.
Variable abs(const Variable& x) {
  return unary(x, UnaryOp::abs);
}
// y = exp(p log x).
Variable pow(const Variable& x, float power) {
  return exp(scale(log(x), power));
}

// y = min(max(x, low), high);  dx = dy where low < x < high, else 0.
Variable clamp(const Variable& x, float low, float high) {
  check(low <= high, "clamp", "the range ", low, "..", high, " is empty");
  const Tensor vx = x.value();
  const auto bound = [&](float value) {
    return ops::full(vx.shape(), value, vx.device(), vx.dtype());
  };
  const Tensor above = ops::binary(vx, bound(low), BinaryOp::maximum);
  return record("clamp", ops::binary(above, bound(high), BinaryOp::minimum), {x},
                [=](const Tensor& dy) {
                  const Tensor d = ops::relu_grad(dy, ops::affine(vx, 1.f, -low));
                  return ops::relu_grad(d, ops::affine(vx, -1.f, high));
                });
}

// y = a + b;  da = db = dy.
Variable add(const Variable& a, const Variable& b) {
  if (a.shape() != b.shape()) return repeated(add, a, b);
  return record("add", ops::add(a.value(), b.value()), {a, b}, [](const Tensor& dy) {
    return Gradients{dy, dy};
  });
}

// y = a - b;  da = dy, db = -dy.
Variable sub(const Variable& a, const Variable& b) {
  if (a.shape() != b.shape()) return repeated(sub, a, b);
  return record("sub", ops::sub(a.value(), b.value()), {a, b},
                [](const Tensor& dy, const Needed& needed) {
                  return Gradients{dy, needed[1] ? ops::scaled(dy, -1.f) : Tensor()};
                });
}

// y = a b;  da = dy b, db = dy a.
Variable mul(const Variable& a, const Variable& b) {
  if (a.shape() != b.shape()) return repeated(mul, a, b);
  const Tensor va = a.value(), vb = b.value();
  return record("mul", ops::mul(va, vb), {a, b}, [=](const Tensor& dy, const Needed& needed) {
    return Gradients{needed[0] ? ops::mul(dy, vb) : Tensor(),
                     needed[1] ? ops::mul(dy, va) : Tensor()};
  });
}

// y = a / b;  da = dy / b, db = -dy y / b.
Variable div(const Variable& a, const Variable& b) {
  if (a.shape() != b.shape()) return repeated(div, a, b);
  const Tensor vb = b.value(), y = ops::binary(a.value(), vb, BinaryOp::div);
  return record("div", y, {a, b}, [=](const Tensor& dy, const Needed& needed) {
    const Tensor da = ops::binary(dy, vb, BinaryOp::div);
    return Gradients{da, needed[1] ? ops::scaled(ops::mul(da, y), -1.f) : Tensor()};
  });
}

Variable maximum(const Variable& a, const Variable& b) {
  if (a.shape() != b.shape()) return repeated(maximum, a, b);
  return chosen(a, b, BinaryOp::maximum);
}
Variable minimum(const Variable& a, const Variable& b) {
  if (a.shape() != b.shape()) return repeated(minimum, a, b);
  return chosen(a, b, BinaryOp::minimum);
}

// y = max(a + b, 0);  da = db = dy where y > 0, else 0.
Variable add_relu(const Variable& a, const Variable& b) {
  const Tensor y = ops::binary(a.value(), b.value(), BinaryOp::add_relu);
  return record("add_relu", y, {a, b}, [=](Tensor dy) {
    const Tensor d = ops::relu_grad(std::move(dy), y);
    return Gradients{d, d};
  });
}

// y = factor x;  dx = factor dy.
Variable scale(const Variable& x, float factor) {
  return record("scale", ops::scaled(x.value(), factor), {x},
                [=](const Tensor& dy) { return ops::scaled(dy, factor); });
}

// y = x / (1 - p) or 0;  dx = dy / (1 - p) or 0, drawn again.
Variable dropout(const Variable& x, const Tensor& draw, Rng rng, float p) {
  return record("dropout", ops::dropout(x.value(), draw, rng, p), {x},
                [=](const Tensor& dy) { return ops::dropout(dy, draw, rng, p); });
}

// y = x + c;  dx = dy.
Variable add_scalar(const Variable& x, float c) {
  return record("add_scalar", ops::affine(x.value(), 1.f, c), {x},
                [](const Tensor& dy) { return dy; });
}

// y = x in another type;  dx = dy in x's type.
Variable cast(const Variable& x, DType dtype) {
  const DType before = x.value().dtype();
  if (dtype == before) return x;
  return record("cast", ops::cast(x.value(), dtype), {x},
                [=](const Tensor& dy) { return ops::cast(dy, before); });
}

// y[...,c] = x[...,c] + bias[c];  dx = dy, dbias[c] = sum of dy[...,c].
Variable add_bias(const Variable& x, const Variable& bias) {
  return record("add_bias", ops::binary_rows(x.value(), bias.value(), BinaryOp::add), {x, bias},
                [](const Tensor& dy, const Needed& needed) {
                  return Gradients{dy, needed[1] ? ops::sum_axis0(dy.flat_rows()) : Tensor()};
                });
}

// y[r,c] = s[r] x[r,c];  dx[r,c] = s[r] dy[r,c], ds[r] = sum of dy[r,c] x[r,c] over c.
Variable scale_rows(const Variable& x, const Variable& s) {
  const Tensor vx = x.value(), vs = s.value();
  Tensor y = ops::scale_rows(vx, vs);
  return record("scale_rows", y, {x, s}, [=](const Tensor& dy, const Needed& needed) {
    return Gradients{needed[0] ? ops::scale_rows(dy, vs) : Tensor(),
                     needed[1] ? ops::sum_axis1(ops::mul(dy, vx)) : Tensor()};
  });
}

// y[...,c] = x[...,c] v[c];  dx[...,c] = dy[...,c] v[c], dv[c] = sum of dy[...,c] x[...,c].
Variable scale_columns(const Variable& x, const Variable& v) {
  const Tensor vx = x.value(), vv = v.value();
  Tensor y = ops::binary_rows(vx, vv, BinaryOp::mul);
  return record("scale_columns", y, {x, v}, [=](const Tensor& dy, const Needed& needed) {
    return Gradients{needed[0] ? ops::binary_rows(dy, vv, BinaryOp::mul) : Tensor(),
                     needed[1] ? ops::sum_axis0(ops::mul(dy, vx).flat_rows()) : Tensor()};
  });
}

}  // namespace versor
