// A classifier that bends: three arms of a spiral, which no straight lines separate.
//   bin/examples/spirals FOLDER   writes spirals.svg
#include <cmath>
#include <numbers>

#include "autograd/functions.h"
#include "experiments/examples/drawing.h"
#include "nn/adam.h"
#include "nn/layers.h"
#include "tensor/ops.h"

using namespace versor;

constexpr int kArms = 3, kPoints = 300;

int main(int argc, char** argv) {
  const Rng rng(1);
  std::vector<float> points;
  std::vector<int32_t> labels;
  for (int i = 0; i < kPoints; ++i) {
    const float along = static_cast<float>(i) / kPoints;
    const float angle =
        2 * std::numbers::pi_v<float> * (static_cast<float>(i % kArms) / kArms + along);
    points.push_back(along * std::cos(angle) + 0.02f * rng.split(0).normal(i));
    points.push_back(along * std::sin(angle) + 0.02f * rng.split(1).normal(i));
    labels.push_back(i % kArms);
  }
  const Tensor x = Tensor::from(points, {kPoints, 2}), label = Tensor::from(labels, {kPoints});

  Sequential network;  // two hidden layers of 32 numbers: [R,2] -> logits [R,3]
  network.add<Linear>("0", 2, 32, rng.split(2), Device{});
  network.add<Relu>("1");
  network.add<Linear>("2", 32, 32, rng.split(3), Device{});
  network.add<Relu>("3");
  network.add<Linear>("4", 32, kArms, rng.split(4), Device{});
  Adam adam(network.parameters(), {.lr = 1e-2f});
  for (int step = 0; step <= 400; ++step) {
    const Variable logits = network(Variable(x));
    const Variable loss = cross_entropy(logits, label);
    if (step % 100 == 0)
      fmt::print("step {:3}  loss {:.4f}  accuracy {:.3f}\n", step, loss.item(),
                 accuracy(logits.value(), label).item());
    adam.zero_grad();
    backward(loss);
    adam.step();
  }

  constexpr int kSide = 50;  // the class of every square of the plane
  std::vector<float> squares;
  for (int i = 0; i < kSide * kSide; ++i)
    for (int at : {i % kSide, i / kSide})
      squares.push_back(2.4f * (static_cast<float>(at) + 0.5f) / kSide - 1.2f);
  const Tensor logits = network(Variable(Tensor::from(squares, {kSide * kSide, 2}))).value();
  const auto found = ops::argmax(logits).to_vector<int32_t>();
  examples::Drawing drawing(-1.2, 1.2);
  drawing.panel("the network's classes");
  for (size_t i = 0; i < found.size(); ++i)
    drawing.square(squares[2 * i], squares[2 * i + 1], 2.4 / kSide, examples::kColours[found[i]]);
  for (size_t i = 0; i < labels.size(); ++i)
    drawing.point(points[2 * i], points[2 * i + 1], 2, examples::kColours[labels[i]]);
  drawing.save(std::string(argc > 1 ? argv[1] : ".") + "/spirals.svg");
}
