// What the rotation trick changes: the gradient that reaches the encoder from a quantized latent,
// as a field of arrows. Every latent e of the plane is replaced by its nearest code q; the
// decoder's loss |q - t|^2 pulls q towards a target t. The arrows show where e is moved, -dL/de:
//   ste         all latents of a cell move alike, as q is to move
//   rotation    the gradient turns with the rotation from e to q, and scales with |q| / |e|
//   reflection  the same with a reflection, which mirrors what is not along q and e
//   bin/examples/gradient_fields FOLDER   writes gradient_fields.svg
#include <algorithm>
#include <cmath>

#include "autograd/functions.h"
#include "experiments/examples/drawing.h"
#include "vq/estimators.h"
#include "vq/names.h"
#include "vq/ops.h"

using namespace versor;

int main(int argc, char** argv) {
  const std::vector<float> codes = {1, 0.4f, -0.6f, 1, -0.9f, -0.5f, 0.7f, -1};  // four, as x,y
  const float target[] = {1.5f, 1.5f};
  const Tensor codebook = Tensor::from(codes, {4, 2});

  constexpr int kSide = 17;  // latents on a grid
  std::vector<float> grid, targets;
  for (int i = 0; i < kSide * kSide; ++i) {
    grid.push_back(-1.6f + 0.2f * static_cast<float>(i % kSide));
    grid.push_back(-1.6f + 0.2f * static_cast<float>(i / kSide));
    targets.insert(targets.end(), target, target + 2);
  }
  const Shape shape{kSide * kSide, 2};
  const Tensor latents = Tensor::from(grid, shape);
  const Tensor index = vq::nearest_code(latents, codebook);
  const Variable q = gather_rows(Variable(codebook), index);
  const auto cell = index.to_vector<int32_t>();

  examples::Drawing drawing(-1.8, 1.8);
  for (Estimator estimator : {Estimator::ste, Estimator::rotation, Estimator::reflection}) {
    // The value is q; only the way back to e differs.
    const Variable e(latents, /*requires_grad=*/true);
    const Variable value = pass_through(e, q.value(), estimator);
    backward(sum(square(value - Variable(Tensor::from(targets, shape)))));
    const auto gradient = e.grad().to_vector<float>();

    drawing.panel(name_of(estimator));
    double longest = 0;
    for (size_t i = 0; i < cell.size(); ++i) {
      const double x = grid[2 * i], y = grid[2 * i + 1];
      const double dx = -0.03 * gradient[2 * i], dy = -0.03 * gradient[2 * i + 1];
      longest = std::max(longest, std::hypot(dx, dy) / 0.03);
      drawing.arrow(x, y, std::clamp(dx, -0.5, 0.5), std::clamp(dy, -0.5, 0.5),
                    examples::kColours[cell[i]]);
    }
    for (int k = 0; k < 4; ++k)
      drawing.point(codes[2 * k], codes[2 * k + 1], 6, examples::kColours[k]);
    drawing.point(target[0], target[1], 4, "black");
    fmt::print("{:<10}  longest gradient {:.2f}\n", name_of(estimator), longest);
  }
  drawing.save(std::string(argc > 1 ? argv[1] : ".") + "/gradient_fields.svg");
}
