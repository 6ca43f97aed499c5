// Gradient flow: see gradient_probe.h.
#include "experiments/run/gradient_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "vq/ops.h"

namespace versor {
namespace {

// How an estimator changes the gradients of a batch: means over the rows whose gradients are not 0.
struct Change {
  double scale = 0, angle = 0;
};

// before, after [R,D].
Change change_of(const Tensor& before, const Tensor& after) {
  const auto g = before.to_vector<float>(), de = after.to_vector<float>();
  const int64_t D = before.dim(1);
  Change mean;
  int64_t rows = 0;
  for (int64_t r = 0; r < before.dim(0); ++r) {
    const float *before_row = g.data() + r * D, *after_row = de.data() + r * D;
    const double length = norm(before_row, D), new_length = norm(after_row, D);
    if (!(length > 0 && new_length > 0)) continue;
    double sum = 0, difference = 0;  // squared, of the two directions, as in row_geometry
    for (int64_t d = 0; d < D; ++d) {
      const double a = before_row[d] / length, b = after_row[d] / new_length;
      sum += (a + b) * (a + b);
      difference += (a - b) * (a - b);
    }
    mean.scale += new_length / length;
    mean.angle += 2 * std::atan2(std::sqrt(difference), std::sqrt(sum));
    ++rows;
  }
  const auto n = static_cast<double>(std::max<int64_t>(rows, 1));
  return {mean.scale / n, mean.angle / n};
}

struct Moments {
  double norm = 0, mean = 0, deviation = 0;
};

Moments moments_of(const Tensor& gradient) {
  double sum = 0, squares = 0;
  const auto values = gradient.to_vector<float>();
  for (float v : values) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const auto n = static_cast<double>(values.size());
  const double mean = sum / n;
  return {std::sqrt(squares), mean, std::sqrt(std::max(0.0, squares / n - mean * mean))};
}

}  // namespace

std::string gradients_header(const VqModel& model) {
  std::string line =
      "epoch,mean_lambda,max_lambda,mean_angle,max_angle,gradient_scale,gradient_angle";
  for (const auto& [name, parameter] : model.named_parameters())
    for (const char* moment : {"norm", "mean", "std"}) line += fmt::format(",{}.{}", name, moment);
  return line;
}

std::string gradients_row(int64_t epoch, VqModel& model, const Tensor& images, float beta) {
  const auto parameters = model.named_parameters();
  for (auto [name, parameter] : parameters) parameter.zero_grad();
  const VqVaeOutput output = model(images);
  Variable passed = output.quantized().value;
  passed.retain_grad();
  backward(vqvae_loss(output, images, beta).total);

  const Quantized& quantized = output.quantized();
  const Tensor e = about_origin(quantized.input, quantized.origin);
  const Tensor q = about_origin(quantized.codes, quantized.origin);
  const auto geometry = vq::geometry(e, q).to_vector<float>();
  const Tensor g = passed.grad();
  const Estimator estimator = model.options().quantizer.estimator.estimator;
  // Behind a projection g and e do not even have the same length.
  const bool straight = !bends_gradient(estimator) || g.shape() != e.shape();
  const Change change = change_of(g, straight ? g : vq::estimator_grad(g, e, q, estimator));
  std::string row = fmt::format("{},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g}", epoch, geometry[1],
                                geometry[0], geometry[2], geometry[3], change.scale, change.angle);
  for (auto [name, parameter] : parameters) {
    const Moments m = parameter.grad().defined() ? moments_of(parameter.grad()) : Moments();
    row += fmt::format(",{:.8g},{:.8g},{:.8g}", m.norm, m.mean, m.deviation);
    parameter.zero_grad();
  }
  return row;
}

}  // namespace versor
