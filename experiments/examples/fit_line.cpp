// The smallest training: a line y = w x + b through noisy points, by gradient descent.
//   bin/examples/fit_line
#include <cstdio>

#include "autograd/functions.h"
#include "nn/layers.h"
#include "nn/sgd.h"
#include "tensor/rng.h"

using namespace versor;

int main() {
  // 64 points on y = 2 x + 1, with noise. A counter-based generator: number i is a function of i.
  const Rng rng(1);
  std::vector<float> x, y;
  for (uint64_t i = 0; i < 64; ++i) {
    const float at = 2 * rng.split(0).uniform(i) - 1, noise = 2 * rng.split(1).uniform(i) - 1;
    x.push_back(at);
    y.push_back(2 * at + 1 + 0.1f * noise);
  }
  const Variable inputs(Tensor::from(x, {64, 1})), targets(Tensor::from(y, {64, 1}));

  Linear line(1, 1, rng.split(2), Device{});  // y = x weight^T + bias
  Sgd sgd(line.parameters(), {.lr = 0.1f});
  for (int step = 0; step <= 200; ++step) {
    const Variable loss = mse(line(inputs), targets);
    if (step % 50 == 0) std::printf("step %3d  loss %.5f\n", step, loss.item());
    sgd.zero_grad();
    backward(loss);  // d loss / d weight and d loss / d bias
    sgd.step();
  }
  const auto parameters = line.parameters();
  std::printf("y = %.3f x + %.3f; the points were made with y = 2 x + 1\n", parameters[0].item(),
              parameters[1].item());
}
