// Parameters in one flat buffer: see flat_parameters.h.
#include "nn/flat_parameters.h"

#include <map>

#include "tensor/ops.h"

namespace versor {
namespace {

constexpr const char* kName = "parameters";
constexpr int64_t kAlignment = 64;  // elements: every parameter starts at 256 bytes, for wide loads

}  // namespace

ParameterList::ParameterList(std::vector<Variable> parameters) : variables_(std::move(parameters)) {
  check(!variables_.empty(), kName, "there are no parameters");
  std::map<const void*, size_t> known;
  for (size_t i = 0; i < size(); ++i) {
    const Tensor& value = variables_[i].value();
    check(value.device() == device(), kName, "they are on ", device(), " and ", value.device());
    if (value.numel() > 0) {
      const auto [other, is_new] = known.emplace(value.address(), i);
      check(is_new, kName, "parameters ", other->second, " and ", i, " (", value.shape(),
            ") share their memory; give each once");
    }
    offsets_.push_back(flat_size_);
    flat_size_ += (value.numel() + kAlignment - 1) / kAlignment * kAlignment;
  }
}

Tensor ParameterList::new_flat() const {
  return ops::zeros({flat_size_}, device());
}

Tensor ParameterList::view(const Tensor& flat, size_t i) const {
  const Shape& shape = variables_[i].shape();
  return flat.rows(offsets_[i], offsets_[i] + shape.numel()).reshape(shape);
}

std::vector<Tensor> ParameterList::views(const Tensor& flat) const {
  std::vector<Tensor> all;
  for (size_t i = 0; i < size(); ++i) all.push_back(view(flat, i));
  return all;
}

std::vector<ParameterPart> ParameterList::with_gradient(size_t begin, size_t end) const {
  std::vector<ParameterPart> parts;
  for (size_t i = begin; i < end; ++i) {
    const Variable& p = variables_[i];
    if (p.grad().defined())
      parts.push_back({p.value(), p.grad(), offsets_[i], static_cast<int32_t>(i)});
  }
  return parts;
}

Tensor ParameterList::gather_gradients() {
  Tensor flat = new_flat();
  const auto parts = with_gradient();
  ops::gather_gradients(flat, parts);
  for (const ParameterPart& part : parts)
    variables_[static_cast<size_t>(part.index)].set_grad(
        view(flat, static_cast<size_t>(part.index)));
  return flat;
}

void ParameterList::zero_grad() {
  for (Variable& p : variables_) p.zero_grad();
}

FlatParameters::FlatParameters(std::vector<Variable> parameters)
    : ParameterList(std::move(parameters)), values_(new_flat()) {
  for (size_t i = 0; i < size(); ++i) {
    Variable p = variables()[i];
    Tensor value = view(values_, i);
    ops::copy(value, p.value());
    p.mutable_value() = value;
  }
}

Tensor FlatParameters::values() const {
  for (size_t i = 0; i < size(); ++i)
    check(variables()[i].value().address() == view(values_, i).address(), kName, "parameter ", i,
          " (", variables()[i].shape(), ") no longer lies in the flat buffer");
  return values_;
}

ParameterCopies::ParameterCopies(const FlatParameters& parameters, DType dtype) {
  const Tensor values = parameters.values();
  if (dtype == values.dtype()) return;
  variables_ = parameters.variables();
  const Tensor copies = ops::cast(values, dtype);
  for (size_t i = 0; i < variables_.size(); ++i) variables_[i].set_copy(parameters.view(copies, i));
}

ParameterCopies::~ParameterCopies() {
  for (Variable& p : variables_) p.set_copy({});
}

}  // namespace versor
