// The vector quantizer: see quantizer.h.
#include "vq/quantizer.h"

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {

VectorQuantizer::VectorQuantizer(const CodebookOptions& options, Estimator estimator, Rng rng,
                                 Device device)
    : codebook_(options, rng, device), estimator_(estimator) {
  register_module("", codebook_);
}

Quantized VectorQuantizer::operator()(const Variable& e, bool training, FiniteGuard* guard) {
  if (guard) guard->watch({{"encoder output", e.value()}});
  Quantized out;
  out.index = vq::nearest_code(e.value(), codebook_.weight().value());
  out.counts = ops::bincount(out.index, codebook_.options().codes);
  // With the gradient as owner q leads back to the codebook; with EMA it is a constant.
  const Variable q = gather_rows(codebook_.weight(), out.index);
  out.codes = q.value();
  out.value = pass_through(e, out.codes, estimator_);
  out.codebook_loss = mse(stop_gradient(e), q);
  out.commitment_loss = mse(e, stop_gradient(q));
  if (training || codebook_.options().ema_in_eval)
    out.replaced =
        codebook_.update(e.value(), out.index, out.counts, guard ? guard->state() : Tensor());
  return out;
}

}  // namespace versor
