// Names and collection of parameters: see module.h.
#include "nn/module.h"

namespace versor {

Variable Module::register_parameter(std::string name, Tensor value) {
  return parameters_.emplace_back(std::move(name), Variable(std::move(value), true)).second;
}

Variable Module::register_buffer(std::string name, Tensor value) {
  return buffers_.emplace_back(std::move(name), Variable(std::move(value))).second;
}

void Module::register_module(std::string name, Module& child) {
  children_.emplace_back(std::move(name), &child);
}

void Module::collect(const std::string& prefix, bool parameters, NamedVariables& into) const {
  for (const auto& [name, variable] : parameters ? parameters_ : buffers_)
    into.emplace_back(prefix + name, variable);
  for (const auto& [name, child] : children_)
    child->collect(name.empty() ? prefix : prefix + name + ".", parameters, into);
}

NamedVariables Module::named_parameters() const {
  NamedVariables all;
  collect("", true, all);
  return all;
}

NamedVariables Module::named_buffers() const {
  NamedVariables all;
  collect("", false, all);
  return all;
}

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (auto& [name, variable] : named_parameters()) all.push_back(variable);
  return all;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Variable& p : parameters()) count += p.value().numel();
  return count;
}

}  // namespace versor
