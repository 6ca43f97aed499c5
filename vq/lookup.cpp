// Search and value: see lookup.h.
#include "vq/lookup.h"

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {

LookupQuantizer::LookupQuantizer(const EstimatorOptions& options, Rng rng, Device device,
                                 bool keeps_mean)
    : options_(options), rng_(rng), draws_(ops::zeros({1}, device, DType::i32)) {
  check_estimator(options);
  check(!options.origin.mean || keeps_mean, "quantizer",
        "the origin `mean` is the mean of a codebook's moving averages, which are not kept for a "
        "grid, under a learned map, or with gradients alone and no replacement of dead codes: "
        "give a number");
}

std::vector<std::pair<std::string, Tensor>> LookupQuantizer::counters() const {
  if (!options_.draws()) return {};
  return {{"draws", draws_}};
}

Tensor LookupQuantizer::update(const std::vector<Quantized>& passes, const Tensor&, Communicator&) {
  if (options_.draws()) count_draws(draws_, passes);
  return {};
}

Tensor LookupQuantizer::nearest(const Tensor& z, const Tensor& codes) const {
  return vq::nearest_code(z, codes);
}

Quantized LookupQuantizer::look_up(const Variable& z, const Variable& codes,
                                   ForwardPass pass) const {
  const int64_t R = z.shape()[0], K = codes.shape()[0];
  const Estimator estimator = options_.estimator;
  const bool draw = pass.training && options_.draws();
  const Tensor number = draw_number(draws_, pass);
  // The noise of row r of the batch is the same wherever the row is.
  const auto noise = [&](int64_t columns) {
    return rng_.from(static_cast<uint64_t>(pass.rows.first * columns));
  };
  Quantized out;
  out.pass = pass;
  Variable mixed;  // gumbel's y
  Tensor index;
  if (draw && estimator == Estimator::gumbel) {
    const Variable noisy =
        with_gumbel_noise(code_logits(z, codes, options_.temperature), number, noise(K));
    index = ops::argmax(noisy.value());
    mixed = softmax(noisy);
  } else if (draw && options_.temperature > 0) {
    index = drawn_code(z.value(), codes.value(), options_.temperature, number, noise(K));
  } else {
    index = nearest(z.value(), codes.value());
  }
  const Variable q = gather_rows(codes, index);
  out.index = index.reshape({1, R});
  out.counts = pass.rows.is_empty ? ops::zeros({1, K}, z.value().device(), DType::i32)
                                  : ops::bincount(index, K).reshape({1, K});
  out.input = z.value();
  out.codes = q.value();
  if (draw && estimator == Estimator::gumbel) {
    out.value = gumbel_value(mixed, codes, out.codes);
  } else if (draw && estimator == Estimator::diveq) {
    Tensor noisy = ops::sub(out.codes, z.value());
    const auto deviation = static_cast<float>(options_.noise_deviation);
    vq::add_noise(noisy, Noise::normal, deviation, number, noise(z.shape()[1]));
    out.value = diveq_value(z, q, noisy);
  } else {
    const RotationOrigin& origin = options_.origin;
    out.origin = origin.mean ? mean() : origin_point(origin, z.shape()[1], out.codes.device());
    out.value = pass_through(z, out.codes, estimator, out.origin);
  }
  out.commitment_loss = mse(z, stop_gradient(q));
  out.error = out.commitment_loss.value();
  if (estimator == Estimator::diveq)
    out.commitment_loss = {};
  else
    out.codebook_loss = mse(stop_gradient(z), q, out.error);
  return out;
}

Tensor decode_symbol(const char* who, const Tensor& codes, const Tensor& index) {
  check(index.shape().rank() == 2 && index.dim(0) == 1, who,
        "decodes one symbol per row, i32 [1,R], got ", index.shape());
  const int64_t K = codes.dim(0);
  for (int32_t symbol : index.to_vector<int32_t>())
    check(symbol >= 0 && symbol < K, who, "there is no code ", symbol, " in 0..", K - 1);
  return ops::gather_rows(codes, index.reshape({index.dim(1)}));
}

}  // namespace versor
