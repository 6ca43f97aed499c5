// An operation of one's own: its value, its gradient, and the proof that they belong together.
// softplus(x) = log(1 + e^x), computed as max(x, 0) + log(1 + e^-|x|), which does not overflow.
// Its derivative is 1 / (1 + e^-x). The operation is a function on host values here; README's
// "Add an operation" shows how one becomes part of the library, on every device.
//   bin/examples/own_operation
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "autograd/functions.h"

using namespace versor;

namespace {

// f applied to every element.
template <class F>
Tensor map(const Tensor& x, F f) {
  std::vector<float> values = x.to_vector<float>();
  std::transform(values.begin(), values.end(), values.begin(), f);
  return Tensor::from(values, x.shape(), x.device());
}

Variable softplus(const Variable& x) {
  const Tensor y =
      map(x.value(), [](float v) { return std::max(v, 0.f) + std::log1p(std::exp(-std::abs(v))); });
  // What the backward needs is kept by capture; dy is dL/dy, the result dL/dx.
  return record("softplus", y, {x}, [input = x.value()](const Tensor& dy) -> Gradients {
    const Tensor slope = map(input, [](float v) { return 1 / (1 + std::exp(-v)); });
    return mul(Variable(dy), Variable(slope)).value();
  });
}

}  // namespace

int main() {
  const std::vector<float> at = {-100, -3, -0.5f, 0, 0.5f, 3, 100};
  const auto shape = Shape{static_cast<int64_t>(at.size())};
  const Variable x(Tensor::from(at, shape), /*requires_grad=*/true);
  backward(sum(square(softplus(x))));
  const auto gradient = x.grad().to_vector<float>();

  // Central differences: (L(x + h) - L(x - h)) / 2h.
  double worst = 0;
  for (size_t i = 0; i < at.size(); ++i) {
    const auto loss = [&](float v) {
      const float y = softplus(Variable(Tensor::from<float>({v}, {1}))).item();
      return static_cast<double>(y) * y;
    };
    const float h = 1e-2f;
    const double difference = (loss(at[i] + h) - loss(at[i] - h)) / (2 * h);
    std::printf("x %7.1f  gradient %9.4f  central difference %9.4f\n", at[i], gradient[i],
                difference);
    worst = std::max(worst, std::abs(gradient[i] - difference) / (1 + std::abs(difference)));
  }
  std::printf("largest relative difference %.1e\n", worst);
  return worst < 1e-3 ? 0 : 1;
}
