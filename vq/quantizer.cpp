// The random draws of quantizers: see quantizer.h.
#include "vq/quantizer.h"

#include <algorithm>

#include "tensor/ops.h"

namespace versor {
namespace {

void advance(Tensor& counter, int64_t by) {
  ops::add_counts(counter, ops::full({1}, static_cast<float>(by), counter.device(), DType::i32));
}

}  // namespace

Tensor draw_number(const Tensor& counter, ForwardPass pass) {
  if (pass.number == 0) return counter;
  Tensor number = ops::clone(counter);
  advance(number, pass.number);
  return number;
}

void count_draws(Tensor& counter, const std::vector<Quantized>& passes) {
  int64_t drawn = 0;
  for (const Quantized& out : passes)
    if (out.pass.training) drawn = std::max(drawn, out.pass.number + 1);
  if (drawn > 0) advance(counter, drawn);
}

}  // namespace versor
