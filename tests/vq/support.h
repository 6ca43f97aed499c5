// What the tests of nn/ and vq/ share beyond tests/support.h: indices, the backward of one output,
// and the state of a module by name.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "autograd/functions.h"
#include "nn/module.h"
#include "tensor/ops.h"
#include "tests/support.h"
#include "vq/codebook.h"
#include "vq/quantizer.h"

namespace versor::testing {

// The nearest array whose values are f32 numbers, so that tensor and reference start from the same
// ones.
inline ref::Array rounded(ref::Array x) {
  for (double& value : x.data) value = static_cast<double>(static_cast<float>(value));
  return x;
}

inline ref::Indices indices_of(const Tensor& index) {
  const std::vector<int32_t> values = index.to_vector<int32_t>();
  return {values.begin(), values.end()};
}

inline bool all_finite(const Tensor& t) {
  for (float value : t.to_vector<float>())
    if (!std::isfinite(value)) return false;
  return true;
}

// d <g, y> / d leaves: runs backward with gradient g at y.
inline void backward_with(const Variable& y, const Tensor& g) {
  backward(sum(mul(y, Variable(g))));
}

// A forward pass in training and the update from it.
struct TrainedPass : Quantized {
  Tensor replaced;  // what update() returned
};
inline TrainedPass train(Quantizer& quantizer, const Variable& e, const Tensor& guard = {}) {
  TrainedPass out{quantizer(e, /*training=*/true), {}};
  out.replaced = quantizer.update({out}, guard);
  return out;
}

inline Tensor update_book(Codebook& book, const Tensor& e, const Tensor& index,
                          const Tensor& counts, const Tensor& guard = {}) {
  return book.update(book.statistics(e, index, counts), guard);
}

inline std::vector<std::string> names_of(const NamedVariables& variables) {
  std::vector<std::string> names;
  for (const auto& [name, variable] : variables) names.push_back(name);
  return names;
}

// Parameters, then buffers.
inline NamedVariables state_of(const Module& module) {
  NamedVariables all = module.named_parameters();
  for (const auto& buffer : module.named_buffers()) all.push_back(buffer);
  return all;
}

// The parameter or buffer of that name; it shares its state with the module's.
inline Variable state_of(const Module& module, const std::string& name) {
  for (const auto& [own, variable] : state_of(module))
    if (own == name) return variable;
  FAIL("the module has no " << name);
  return {};
}

// The bits of every parameter and buffer by name. (Tests compare bits in double parentheses,
// CHECK((a == b)), so that a failure does not print them.)
inline std::map<std::string, std::string> state_bits(const Module& module) {
  std::map<std::string, std::string> bits;
  for (const auto& [name, variable] : state_of(module)) bits[name] = bits_of(variable.value());
  return bits;
}

}  // namespace versor::testing
