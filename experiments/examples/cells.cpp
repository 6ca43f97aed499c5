// How a codebook learns, in the plane where one can see it: 12 codes among points of five clouds.
// k-means moves each code to the mean of all points of its cell. The moving averages of a training
// see one batch at a time; they start from the same codes and end near the same place.
//   bin/examples/cells FOLDER   writes cells.svg
#include "autograd/functions.h"
#include "experiments/examples/drawing.h"
#include "tensor/ops.h"
#include "vq/codebook.h"
#include "vq/ops.h"

using namespace versor;

namespace {

constexpr int64_t kCodes = 12, kPoints = 2000, kBatch = 100;

Tensor points_of_clouds(Rng rng) {
  const float centres[5][2] = {{-1, -1}, {1, -0.8f}, {0, 0.2f}, {-1.1f, 1}, {1.2f, 1.1f}};
  std::vector<float> points;
  for (uint64_t i = 0; i < kPoints; ++i)
    for (uint64_t axis = 0; axis < 2; ++axis)
      points.push_back(centres[i % 5][axis] + 0.3f * rng.split(axis).normal(i));
  return Tensor::from(points, {kPoints, 2});
}

// Mean squared distance of the points to their codes.
double error_of(const Tensor& points, const Tensor& codes) {
  const Tensor nearest = ops::gather_rows(codes, vq::nearest_code(points, codes));
  return 2 * mse(Variable(points), Variable(nearest)).item();
}

void draw(examples::Drawing& drawing, const std::string& title, const Tensor& points,
          const Tensor& codes) {
  drawing.panel(title);
  constexpr int kSide = 40;  // the cells: the nearest code of every square of the plane
  std::vector<float> squares;
  for (int i = 0; i < kSide * kSide; ++i)
    for (int at : {i % kSide, i / kSide})
      squares.push_back(4.f * (static_cast<float>(at) + 0.5f) / kSide - 2);
  const auto cell = vq::nearest_code(Tensor::from(squares, {kSide * kSide, 2}), codes);
  const auto colour = cell.to_vector<int32_t>();
  for (size_t i = 0; i < colour.size(); ++i)
    drawing.square(squares[2 * i], squares[2 * i + 1], 4.0 / kSide, examples::kColours[colour[i]]);
  const auto p = points.to_vector<float>(), c = codes.to_vector<float>();
  for (size_t i = 0; i < p.size(); i += 8) drawing.point(p[i], p[i + 1], 1, "#555");
  for (size_t k = 0; k < c.size(); k += 2) drawing.point(c[k], c[k + 1], 4, "black");
  fmt::print("{:<28} error {:.4f}\n", title, error_of(points, codes));
}

}  // namespace

int main(int argc, char** argv) {
  const Rng rng(1);
  const Tensor points = points_of_clouds(rng.split(0));
  examples::Drawing drawing(-2, 2);

  Codebook codebook({.codes = kCodes, .latent = 2, .decay = 0.9}, rng.split(1), Device{});
  const Tensor first = ops::clone(points.rows(0, kCodes));
  codebook.start_from(first);  // the codes are these points
  draw(drawing, "the first codes", points, codebook.weight().value());
  draw(drawing, "k-means, 10 rounds", points, kmeans_from(first, points, 10, rng.split(2)));
  for (int64_t step = 1; step <= 200; ++step) {
    const int64_t begin = (step * kBatch) % kPoints;
    const Tensor batch = points.rows(begin, begin + kBatch);
    const Tensor index = vq::nearest_code(batch, codebook.weight().value());
    codebook.update(codebook.statistics(batch, index, ops::bincount(index, kCodes)));
  }
  draw(drawing, "moving averages, 200 batches", points, codebook.weight().value());
  drawing.save(std::string(argc > 1 ? argv[1] : ".") + "/cells.svg");
}
