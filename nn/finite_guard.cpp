// FiniteGuard: see finite_guard.h.
#include "nn/finite_guard.h"

#include <algorithm>

#include "tensor/ops.h"

namespace versor {

FiniteGuard::FiniteGuard(Tensor step)
    : step_(std::move(step)), own_(ops::new_guard(step_.device())), state_(own_) {}

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
  ops::find_nonfinite(own_, values, first, step_);
}

std::optional<FiniteGuard::Found> FiniteGuard::found() const {
  const auto state = state_.to_vector<int32_t>();
  if (state[1] == kNothingFound) return std::nullopt;
  return Found{state[1], names_[static_cast<size_t>(state[0])]};
}

void FiniteGuard::all_reduce(Communicator& communicator) {
  if (communicator.is_alone()) return;
  if (state_.shares_storage_with(own_)) state_ = ops::new_guard(own_.device());
  ops::copy(state_, own_);
  communicator.all_reduce_guard(state_);
}

int FiniteGuard::finder(Communicator& communicator) const {
  const auto text = [](const std::vector<int32_t>& guard) { return str(guard[1], " ", guard[0]); };
  const auto all = communicator.all_gather(text(own_.to_vector<int32_t>()));
  return static_cast<int>(std::find(all.begin(), all.end(), text(state_.to_vector<int32_t>())) -
                          all.begin());
}

}  // namespace versor
