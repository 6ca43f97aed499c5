// Parameters in one flat buffer [P], so that what concerns all of them (clipping, a sum over
// machines, an average, a copy in another type) is one call and not one for each. A module owns the
// buffer of its parameters: Module::flat_parameters().
//
// Values live in the buffer: each parameter's value() is a view of it. Gradients are gathered when
// asked for: backward() hands over each in the tensor that it was computed in, at no cost. A buffer
// that always held them would take one more pass over all gradients in every step, and its memory
// during the forward pass, where the peak is.
#pragma once

#include <vector>

#include "autograd/variable.h"
#include "tensor/backend.h"

namespace versor {

// Parameters in order, and where each lies in a flat buffer: from a multiple of 256 bytes on. What
// lies between two of them is 0.
class ParameterList {
 public:
  // Throws Error if there are none, if two of them share memory, or if they are on different
  // devices.
  explicit ParameterList(std::vector<Variable> parameters);

  size_t size() const { return variables_.size(); }
  const std::vector<Variable>& variables() const { return variables_; }
  Device device() const { return variables_[0].value().device(); }

  Tensor new_flat() const;                              // zeros, f32 [P]
  Tensor view(const Tensor& flat, size_t i) const;      // of parameter i in it, with its shape
  std::vector<Tensor> views(const Tensor& flat) const;  // of all

  int64_t offset(size_t i) const { return offsets_[i]; }  // of parameter i in a flat buffer

  // Those that have a gradient; of parameters begin..end-1.
  std::vector<ParameterPart> with_gradient() const { return with_gradient(0, size()); }
  std::vector<ParameterPart> with_gradient(size_t begin, size_t end) const;
  // All gradients in one new buffer [P], 0 for a parameter that has none. Those that there are
  // become views of it: what changes the buffer changes grad().
  Tensor gather_gradients();
  void zero_grad();

 private:
  std::vector<Variable> variables_;
  std::vector<int64_t> offsets_;
  int64_t flat_size_ = 0;
};

// Parameters whose values lie in one buffer.
class FlatParameters : public ParameterList {
 public:
  // Moves the values into a new buffer: they stay what they are, at another address.
  explicit FlatParameters(std::vector<Variable> parameters);

  // f32 [P]. Throws Error if a value has been moved elsewhere since.
  Tensor values() const;

 private:
  Tensor values_;
};

// Copies of all values in another type, made in one pass and not parameter by parameter. While it
// lives, value_as() of each parameter is a view of them, so it must die before a value changes.
class ParameterCopies {
 public:
  ParameterCopies(const FlatParameters& parameters, DType dtype);
  ~ParameterCopies();
  ParameterCopies(const ParameterCopies&) = delete;
  ParameterCopies& operator=(const ParameterCopies&) = delete;

 private:
  std::vector<Variable> variables_;
};

}  // namespace versor
