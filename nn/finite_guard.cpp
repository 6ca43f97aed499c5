// FiniteGuard: see finite_guard.h.
#include "nn/finite_guard.h"

#include <algorithm>

#include "tensor/ops.h"

namespace versor {

FiniteGuard::FiniteGuard(Tensor step)
    : step_(std::move(step)), state_(ops::new_guard(step_.device())) {}

void FiniteGuard::watch(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  if (tensors.empty()) return;
  const auto known = std::find(names_.begin(), names_.end(), tensors[0].first);
  const bool is_new = known == names_.end();
  const auto first = static_cast<int>(known - names_.begin());
  std::vector<Tensor> values;
  for (const auto& [name, tensor] : tensors) {
    if (is_new) names_.push_back(name);
    values.push_back(tensor);
  }
  ops::find_nonfinite(state_, values, first, step_);
}

std::optional<FiniteGuard::Found> FiniteGuard::found() const {
  const auto state = state_.to_vector<int32_t>();
  if (state[1] == kNothingFound) return std::nullopt;
  return Found{state[1], names_[static_cast<size_t>(state[0])]};
}

}  // namespace versor
