// Quantizers made of quantizers: see composed.h.
#include "vq/composed.h"

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/losses.h"
#include "vq/ops.h"

namespace versor {

Tensor sum_of_replaced(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() ? a : b;
  return vq::sum_of_counts(a, b);
}

ComposedQuantizer::ComposedQuantizer(const char* name, int64_t uses, bool shared,
                                     const MakeQuantizer& make)
    : uses_(uses) {
  check(uses >= 1, name, "the number of parts must be at least 1, got ", uses);
  for (int64_t i = 0; i < (shared ? 1 : uses); ++i) {
    parts_.push_back(make(i));
    register_module(shared ? std::string(name) : str(name, ".", i), *parts_.back());
  }
  symbols_per_part_ = parts_[0]->vocabulary().symbols;
  codes_ = parts_[0]->vocabulary().codes;
  for (const auto& part : parts_)
    check(part->vocabulary().codes == codes_ && part->vocabulary().symbols == symbols_per_part_,
          name, "all parts must have the same vocabulary");
}

Tensor ComposedQuantizer::update(const std::vector<Quantized>& passes, const Tensor& guard,
                                 Communicator& communicator) {
  Tensor replaced;
  for (size_t p = 0; p < parts_.size(); ++p) {
    std::vector<Quantized> of_part;
    for (const Quantized& pass : passes)
      for (size_t use = 0; use < pass.parts.size(); ++use)
        if (is_shared() || use == p) of_part.push_back(pass.parts[use]);
    if (of_part.empty()) continue;  // dropped by layer dropout
    replaced = sum_of_replaced(replaced, parts_[p]->update(of_part, guard, communicator));
  }
  return replaced;
}

std::vector<std::pair<std::string, Tensor>> ComposedQuantizer::counters() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < parts_.size(); ++i)
    for (auto& [name, counter] : parts_[i]->counters())
      all.emplace_back(str(i, ".", name), counter);
  return all;
}

bool ComposedQuantizer::needs_batch_means() const {
  return parts_[0]->needs_batch_means();
}

bool ComposedQuantizer::capturable() const {
  for (const auto& part : parts_)
    if (!part->capturable()) return false;
  return true;
}

Quantized ComposedQuantizer::pass_of(int64_t use, const Variable& e, ForwardPass pass) const {
  if (is_shared()) pass.number = pass.number * uses_ + use;
  return part(use)(e, pass);
}

Quantized ComposedQuantizer::gathered(std::vector<Quantized> parts, ForwardPass pass,
                                      const Tensor& e) const {
  Quantized out;
  out.pass = pass;
  const int64_t L = symbols_per_part_;
  out.index = ops::full({L * uses_, e.dim(0)}, -1.f, e.device(), DType::i32);
  out.counts = ops::zeros({L * uses_, codes_}, e.device(), DType::i32);
  int64_t at = 0;
  for (const Quantized& part : parts) {
    Tensor index = out.index.rows(at, at + L), counts = out.counts.rows(at, at + L);
    ops::copy(index, part.index);
    ops::copy(counts, part.counts);
    at += L;
  }
  const float share = 1.f / static_cast<float>(parts.size());
  for (Variable Quantized::*loss :
       {&Quantized::codebook_loss, &Quantized::commitment_loss, &Quantized::auxiliary_loss}) {
    for (const Quantized& part : parts) out.*loss = add_terms(out.*loss, part.*loss);
    if ((out.*loss).defined()) out.*loss = scale(out.*loss, share);
  }
  out.parts = std::move(parts);
  return out;
}

Tensor ComposedQuantizer::symbols_of(const Tensor& index, int64_t use) const {
  check(index.shape().rank() == 2 && index.dim(0) == symbols_per_part_ * uses_, "quantizer",
        "decodes ", symbols_per_part_ * uses_, " symbols per row, got ", index.shape());
  return index.rows(use * symbols_per_part_, (use + 1) * symbols_per_part_);
}

}  // namespace versor
