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

std::vector<Module*> Module::with_descendants() {
  std::vector<Module*> all{this};
  for (size_t i = 0; i < all.size(); ++i)
    for (const auto& [name, child] : all[i]->children_) all.push_back(child);
  return all;
}

void Module::set_training(bool training) {
  for (Module* module : with_descendants()) module->training_ = training;
}

FlatParameters& Module::flat_parameters() {
  if (!flat_) {
    const std::vector<Module*> all = with_descendants();
    for (const Module* module : all)
      check(!module->is_in_flat_, "module",
            "parameters lie in another module's flat buffer already; only the root has one");
    flat_ = std::make_unique<FlatParameters>(parameters());
    for (Module* module : all) module->is_in_flat_ = true;
  }
  check(flat_->size() == parameters().size(), "module", "has ", parameters().size(),
        " parameters, but ", flat_->size(), " when its flat buffer was made");
  return *flat_;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Variable& p : parameters()) count += p.value().numel();
  return count;
}

}  // namespace versor
