// Residual quantization: see residual.h.
#include "vq/residual.h"

#include <algorithm>

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/names.h"

namespace versor {

ResidualQuantizer::ResidualQuantizer(const ResidualOptions& options, const MakeQuantizer& make,
                                     Rng rng, Device device)
    : ComposedQuantizer("layers", options.layers, options.shared, make),
      options_(options),
      rng_(rng),
      steps_(ops::zeros({1}, device, DType::i32)) {
  const Estimator estimator = options.estimator.estimator;
  check(!trains_codes(estimator), "residual", name_of(estimator),
        " reaches a code through the value, but here the value is a sum of codes from several "
        "books; ste, rotation and reflection go with residual quantization");
  check(!options.estimator.origin.mean, "residual",
        "the origin `mean` is known for what each layer quantizes, but here the estimator turns "
        "the sum of all layers: give a number");
  check(options.fewest >= 1 && options.fewest <= options.layers, "residual",
        "dropout must leave 1 to ", options.layers, " layers, got ", options.fewest);
}

int64_t ResidualQuantizer::layers_in(ForwardPass pass) const {
  if (!pass.training || !options_.dropout) return options_.layers;
  const auto step = static_cast<uint64_t>(draw_number(steps_, pass).to_vector<int32_t>()[0]);
  const auto choices = static_cast<float>(options_.layers - options_.fewest + 1);
  return options_.fewest + static_cast<int64_t>(rng_.split(step).uniform(0) * choices);
}

Quantized ResidualQuantizer::operator()(const Variable& e, ForwardPass pass) const {
  const int64_t layers = layers_in(pass);
  std::vector<Quantized> parts;
  Variable residual = e;
  Tensor sum;
  for (int64_t l = 0; l < layers; ++l) {
    parts.push_back(pass_of(l, residual, pass));
    const Tensor& q = parts.back().codes;
    check(q.shape() == e.shape(), "residual", "a layer's codes ", q.shape(),
          " are not as long as its vectors ", e.shape(),
          "; a projection belongs around all layers");
    sum = l == 0 ? q : ops::add(sum, q);
    if (l + 1 < layers) residual = sub(residual, Variable(q));
  }
  Quantized out = gathered(std::move(parts), pass, e.value());
  out.origin = origin_point(options_.estimator.origin, e.shape()[1], sum.device());
  out.value = pass_through(e, sum, options_.estimator.estimator, out.origin);
  out.input = e.value();
  out.codes = sum;
  out.error = ops::mse(out.input, out.codes);
  return out;
}

Tensor ResidualQuantizer::decode(const Tensor& index) const {
  Tensor sum;
  for (int64_t l = 0; l < options_.layers; ++l) {
    const Tensor symbols = symbols_of(index, l);
    auto values = symbols.to_vector<int32_t>();
    std::vector<float> is_there;
    for (int32_t& value : values) {
      is_there.push_back(value >= 0 ? 1.f : 0.f);
      value = std::max(value, 0);
    }
    const Device device = index.device();
    const Tensor q = part(l).decode(Tensor::from(values, symbols.shape(), device));
    const bool all = std::all_of(is_there.begin(), is_there.end(), [](float x) { return x > 0; });
    const Tensor there =
        all ? q : ops::scale_rows(q, Tensor::from(is_there, {symbols.dim(1)}, device));
    sum = l == 0 ? there : ops::add(sum, there);
  }
  return sum;
}

void ResidualQuantizer::start_from(const Tensor& latents) {
  const NoGradGuard no_grad;
  std::vector<Tensor> residuals{latents};  // r_0, r_1, ...: what each layer quantizes
  part(0).start_from(latents);
  for (int64_t l = 1; l < options_.layers; ++l) {
    const Tensor codes = part(l - 1)(Variable(residuals.back()), /*training=*/false).codes;
    residuals.push_back(ops::sub(residuals.back(), codes));
    if (!is_shared()) part(l).start_from(residuals.back());
  }
  if (is_shared()) part(0).start_from(ops::concat_rows(residuals));
}

Tensor ResidualQuantizer::update(const std::vector<Quantized>& passes, const Tensor& guard,
                                 Communicator& communicator) {
  if (options_.dropout) count_draws(steps_, passes);
  return ComposedQuantizer::update(passes, guard, communicator);
}

std::vector<std::pair<std::string, Tensor>> ResidualQuantizer::counters() const {
  auto all = ComposedQuantizer::counters();
  if (options_.dropout) all.emplace_back("steps", steps_);
  return all;
}

}  // namespace versor
