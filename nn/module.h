// Module: a part of a network, with named parameters (trained by gradients) and buffers (other
// state). Names of children are joined with dots as in PyTorch: "encoder.4.conv1.weight".
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/flat_parameters.h"

namespace versor {

using NamedVariables = std::vector<std::pair<std::string, Variable>>;

class Module {
 public:
  virtual ~Module() = default;
  Module() = default;
  Module(const Module&) = delete;  // a child's address is held by its parent
  Module& operator=(const Module&) = delete;

  // All parameters / buffers of this module and its children, in the order of registration.
  NamedVariables named_parameters() const;
  NamedVariables named_buffers() const;
  std::vector<Variable> parameters() const;
  int64_t parameter_count() const;

  // Whether this module and its children are being trained, as they are at first, or used: it
  // matters to Dropout, BatchNorm2d and the quantizers.
  void set_training(bool training);
  bool training() const { return training_; }

  // All parameters in one buffer that this module owns. The first call moves their values into it;
  // so it comes before a step is recorded (replay.h), and from the root of the network: throws
  // Error where a part of it has a buffer of its own, or if parameters were registered since.
  FlatParameters& flat_parameters();

 protected:
  // Returned Variables share state with the registered ones.
  Variable register_parameter(std::string name, Tensor value);
  Variable register_buffer(std::string name, Tensor value);
  // With an empty name the child's names get no prefix.
  void register_module(std::string name, Module& child);

 private:
  void collect(const std::string& prefix, bool parameters, NamedVariables& into) const;
  std::vector<Module*> with_descendants();

  NamedVariables parameters_, buffers_;
  std::vector<std::pair<std::string, Module*>> children_;
  bool training_ = true;
  std::unique_ptr<FlatParameters> flat_;
  bool is_in_flat_ = false;  // the parameters lie in this module's buffer or in one of its parents'
};

}  // namespace versor
