// Two spirals, told apart by two linear layers: a program of a user of the installed library.
#include <versor/versor.h>

#include <cmath>
#include <cstdio>

using namespace versor;

struct Mlp : Module {
  Linear hidden, output;
  Mlp(int64_t units, Rng rng)
      : hidden(2, units, rng.split(0), {}), output(units, 1, rng.split(1), {}) {
    register_module("hidden", hidden);
    register_module("output", output);
  }
  Variable operator()(const Variable& x) const { return tanh(output(relu(hidden(x)))); }
};

int main() {
  const int64_t n = 200;  // points, one after the other of one spiral and the other
  std::vector<float> points, sides;
  for (int i = 0; i < n; ++i) {
    const float side = i % 2 ? 1.f : -1.f, t = 0.5f + 3 * static_cast<float>(i) / n;
    points.insert(points.end(), {side * t * std::cos(2 * t), side * t * std::sin(2 * t)});
    sides.push_back(side);
  }
  const Variable x(Tensor::from(points, {n, 2})), y(Tensor::from(sides, {n, 1}));
  Mlp mlp(64, Rng(1));
  Adam adam(mlp.parameters(), {.lr = 0.01f});
  for (int step = 0; step < 1000; ++step) {
    adam.zero_grad();
    backward(mse(mlp(x), y));
    adam.step();
  }
  const float error = mse(mlp(x), y).item();
  std::printf("mean squared error %.4f\n", error);
  return error < 0.05f ? 0 : 1;
}
