// Gradient flow: see gradient_probe.h.
#include "experiments/run/gradient_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {
namespace {

// What the rows of a batch show, added up over its parts: the means weighted by their images, and
// how the estimator changes the gradients of those rows whose gradients are not 0.
struct Flow {
  double mean_lambda = 0, mean_angle = 0, max_lambda = 0, max_angle = 0;
  double scale = 0, turn = 0, rows = 0;  // sums over these rows, and their number

  void add(const Flow& other) {
    mean_lambda += other.mean_lambda;
    mean_angle += other.mean_angle;
    max_lambda = std::max(max_lambda, other.max_lambda);
    max_angle = std::max(max_angle, other.max_angle);
    scale += other.scale;
    turn += other.turn;
    rows += other.rows;
  }
};

// before, after [R,D].
void add_changes(const Tensor& before, const Tensor& after, Flow& flow) {
  const auto g = before.to_vector<float>(), de = after.to_vector<float>();
  const int64_t D = before.dim(1);
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
    flow.scale += new_length / length;
    flow.turn += 2 * std::atan2(std::sqrt(difference), std::sqrt(sum));
    ++flow.rows;
  }
}

// A part goes forward and backward; its share of the gradients is added to the parameters'.
Flow flow_of(const BatchPart& part, VqModel& model, const Tensor& images, float beta) {
  const VqVaeOutput output = model(images);
  Variable passed = output.quantized().value;
  passed.retain_grad();
  const Variable total = vqvae_loss(output, images, beta).total;
  backward(part.is_whole() ? total : scale(total, part.weight()));

  const Quantized& quantized = output.quantized();
  const Tensor e = about_origin(quantized.input, quantized.origin);
  const Tensor q = about_origin(quantized.codes, quantized.origin);
  const auto geometry = vq::geometry(e, q).to_vector<float>();
  const double weight = part.weight();
  Flow flow{.mean_lambda = weight * geometry[1],
            .mean_angle = weight * geometry[2],
            .max_lambda = geometry[0],
            .max_angle = geometry[3]};
  const Tensor g = passed.grad();
  const Estimator estimator = model.options().quantizer.estimator.estimator;
  // Behind a projection g and e do not even have the same length.
  const bool straight = !bends_gradient(estimator) || g.shape() != e.shape();
  add_changes(g, straight ? g : vq::estimator_grad(g, e, q, estimator), flow);
  return flow;
}

// Of all ranks.
Flow added_up(const Flow& own, Communicator& communicator) {
  if (communicator.is_alone()) return own;
  Flow all;
  for (const std::string& text : communicator.all_gather(
           fmt::format("{} {} {} {} {} {} {}", own.mean_lambda, own.mean_angle, own.max_lambda,
                       own.max_angle, own.scale, own.turn, own.rows))) {
    std::istringstream in(text);
    Flow flow;
    in >> flow.mean_lambda >> flow.mean_angle >> flow.max_lambda >> flow.max_angle >> flow.scale >>
        flow.turn >> flow.rows;
    all.add(flow);
  }
  return all;
}

// The gradient of the batch, of which this rank has some parts or none; undefined if there is none.
Tensor gradient_of(Variable& parameter, Communicator& communicator) {
  Tensor gradient = parameter.grad();
  if (communicator.is_alone()) return gradient;
  if (!gradient.defined()) gradient = ops::zeros(parameter.shape(), parameter.value().device());
  communicator.all_reduce(gradient);
  return gradient;
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

std::string gradients_row(int64_t epoch, VqModel& model, int64_t images,
                          const ImagesOfPart& images_of, float beta, const Sharing& sharing) {
  const auto parameters = model.named_parameters();
  for (auto [name, parameter] : parameters) parameter.zero_grad();
  Flow flow;
  for (const BatchPart& part : sharing.parts(images))
    if (!part.is_empty()) flow.add(flow_of(part, model, images_of(part), beta));
  flow = added_up(flow, sharing.communicator());
  const double rows = std::max(flow.rows, 1.0);
  std::string row = fmt::format("{},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g}", epoch,
                                flow.mean_lambda, flow.max_lambda, flow.mean_angle, flow.max_angle,
                                flow.scale / rows, flow.turn / rows);
  for (auto [name, parameter] : parameters) {
    const Tensor gradient = gradient_of(parameter, sharing.communicator());
    const Moments m = gradient.defined() ? moments_of(gradient) : Moments();
    row += fmt::format(",{:.8g},{:.8g},{:.8g}", m.norm, m.mean, m.deviation);
    parameter.zero_grad();
  }
  return row;
}

std::string gradients_row(int64_t epoch, VqModel& model, const Tensor& images, float beta) {
  return gradients_row(
      epoch, model, images.dim(0), [&](const BatchPart&) { return images; }, beta);
}

}  // namespace versor
