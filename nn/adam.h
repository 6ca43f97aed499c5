// Adam (Kingma and Ba 2015), PyTorch's form; the arithmetic is adam_update in
// tensor/elementwise.h. All parameters lie in one flat buffer, the moments in two more, so that a
// step is one pass over them; the step counter lives on the device beside them.
#pragma once

#include <span>
#include <vector>

#include "autograd/variable.h"
#include "tensor/elementwise.h"

namespace versor {

class Adam {
 public:
  // Moves the values of the parameters into its flat buffer: they stay what they are, at another
  // address. All on one device.
  explicit Adam(std::vector<Variable> parameters, AdamParams params = {});

  // Moves every parameter that has a gradient. Nothing moves once the guard (FiniteGuard::state)
  // has found something.
  void step(const Tensor& guard = {});
  void zero_grad();  // forgets the gradients: they would add up over steps

  // State for a checkpoint: moments in the order of the parameters, and the number of steps.
  std::vector<Tensor>& first_moments() { return m_; }
  std::vector<Tensor>& second_moments() { return v_; }
  Tensor& step_counter() { return step_; }  // i32 [1]

 private:
  std::vector<Variable> parameters_;
  AdamParams params_;
  Tensor weights_, moments1_, moments2_;  // [P], each parameter from its offset on
  std::vector<int64_t> offsets_;
  std::vector<Tensor> m_, v_;  // views of the moments with the parameters' shapes
  Tensor step_;
};

}  // namespace versor
