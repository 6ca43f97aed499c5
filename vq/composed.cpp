// Quantizers made of quantizers: see composed.h.
#include "vq/composed.h"

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/losses.h"
#include "vq/ops.h"

namespace versor {

void add_part(Quantized& whole, const Quantized& part) {
  whole.codebook_loss = add_terms(whole.codebook_loss, part.codebook_loss);
  whole.commitment_loss = add_terms(whole.commitment_loss, part.commitment_loss);
  whole.auxiliary_loss = add_terms(whole.auxiliary_loss, part.auxiliary_loss);
  if (whole.replaced.defined() && part.replaced.defined())
    whole.replaced = vq::sum_of_counts(whole.replaced, part.replaced);
  else if (part.replaced.defined())
    whole.replaced = part.replaced;
}

ComposedQuantizer::ComposedQuantizer(const char* name, int64_t uses, bool shared,
                                     const MakeQuantizer& make)
    : uses_(uses) {
  check(uses >= 1, name, "the number of parts must be at least 1, got ", uses);
  for (int64_t i = 0; i < (shared ? 1 : uses); ++i) {
    parts_.push_back(make(i));
    register_module(shared ? std::string(name) : str(name, ".", i), *parts_.back());
  }
  symbols_per_part_ = parts_[0]->alphabet().symbols;
  codes_ = parts_[0]->alphabet().codes;
  for (const auto& part : parts_)
    check(part->alphabet().codes == codes_ && part->alphabet().symbols == symbols_per_part_, name,
          "all parts must have the same alphabet");
}

void ComposedQuantizer::freeze(bool frozen) {
  for (const auto& part : parts_) part->freeze(frozen);
}

std::vector<std::pair<std::string, Tensor>> ComposedQuantizer::counters() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < parts_.size(); ++i)
    for (auto& [name, counter] : parts_[i]->counters())
      all.emplace_back(str(i, ".", name), counter);
  return all;
}

bool ComposedQuantizer::capturable() const {
  for (const auto& part : parts_)
    if (!part->capturable()) return false;
  return true;
}

Quantized ComposedQuantizer::pass(int64_t use, bool last, const Variable& e, bool training,
                                  const Tensor& guard) {
  part(use).accumulate(accumulating_ || (is_shared() && !last));
  return part(use)(e, training, guard);
}

Quantized ComposedQuantizer::gathered(const std::vector<Quantized>& of_parts, int64_t rows,
                                      Device device) const {
  Quantized out;
  const int64_t L = symbols_per_part_;
  out.index = ops::full({L * uses_, rows}, -1.f, device, DType::i32);
  out.counts = ops::zeros({L * uses_, codes_}, device, DType::i32);
  int64_t at = 0;
  for (const Quantized& part : of_parts) {
    Tensor index = out.index.rows(at, at + L), counts = out.counts.rows(at, at + L);
    ops::copy(index, part.index);
    ops::copy(counts, part.counts);
    at += L;
    add_part(out, part);
  }
  const float share = 1.f / static_cast<float>(of_parts.size());
  for (Variable* loss : {&out.codebook_loss, &out.commitment_loss, &out.auxiliary_loss})
    if (loss->defined()) *loss = scale(*loss, share);
  return out;
}

Tensor ComposedQuantizer::symbols_of(const Tensor& index, int64_t use) const {
  check(index.shape().rank() == 2 && index.dim(0) == symbols_per_part_ * uses_, "quantizer",
        "decodes ", symbols_per_part_ * uses_, " symbols per row, got ", index.shape());
  return index.rows(use * symbols_per_part_, (use + 1) * symbols_per_part_);
}

}  // namespace versor
