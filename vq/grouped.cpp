// Grouped quantization: see grouped.h.
#include "vq/grouped.h"

#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

namespace {

// The number of groups, checked before any group is made.
int64_t checked(int64_t latent, int64_t groups) {
  check(groups < 1 || latent % groups == 0, "grouped", "the latent size ", latent,
        " is not a multiple of ", groups, " groups");
  return groups;
}

}  // namespace

GroupedQuantizer::GroupedQuantizer(int64_t latent, int64_t groups, bool shared,
                                   const MakeQuantizer& make)
    : ComposedQuantizer("groups", checked(latent, groups), shared, make), width_(latent / groups) {}

Quantized GroupedQuantizer::operator()(const Variable& e, ForwardPass pass) const {
  std::vector<Quantized> parts;
  std::vector<Variable> values;
  std::vector<Tensor> inputs, codes, origins;
  for (int64_t g = 0; g < uses(); ++g) {
    const Variable columns = slice(e, g * width_, (g + 1) * width_);
    parts.push_back(pass_of(g, columns, pass));
    values.push_back(parts.back().value);
    inputs.push_back(parts.back().input);
    codes.push_back(parts.back().codes);
    if (const Tensor& origin = parts.back().origin; origin.defined())
      origins.push_back(origin.reshape({1, origin.numel()}));
  }
  Quantized out = gathered(std::move(parts), pass, e.value());
  out.value = concat(values);
  out.input = ops::concat(inputs);
  out.codes = ops::concat(codes);
  if (!origins.empty()) out.origin = ops::concat(origins).reshape({out.codes.dim(1)});
  out.error = ops::mse(out.input, out.codes);
  return out;
}

Tensor GroupedQuantizer::decode(const Tensor& index) const {
  std::vector<Tensor> columns;
  for (int64_t g = 0; g < uses(); ++g) columns.push_back(part(g).decode(symbols_of(index, g)));
  return ops::concat(columns);
}

int64_t GroupedQuantizer::start_rows() const {
  return part(0).start_rows();
}

void GroupedQuantizer::start_from(const Tensor& latents) {
  const auto columns = [&](int64_t g) { return ops::slice(latents, g * width_, (g + 1) * width_); };
  std::vector<Tensor> all;
  for (int64_t g = 0; g < uses(); ++g) all.push_back(columns(g));
  if (is_shared()) all = {ops::concat_rows(all)};
  for (size_t g = 0; g < all.size(); ++g) part(static_cast<int64_t>(g)).start_from(all[g]);
}

}  // namespace versor
