// Calls that must be refused, each with its full message, and tensors for them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {

inline Tensor f32(Shape shape) {
  return ops::zeros(shape, test_device());
}
inline Tensor typed(Shape shape, DType dtype) {
  return ops::zeros(shape, test_device(), dtype);
}

struct Wrong {
  std::function<void()> call;
  std::string message;
};

inline void check_all(const std::vector<Wrong>& calls) {
  for (const Wrong& wrong : calls) CHECK(error_of(wrong.call) == wrong.message);
}

}  // namespace versor::testing
