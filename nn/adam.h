// Adam (Kingma and Ba 2015), PyTorch's form; the arithmetic is adam_update in
// tensor/elementwise.h. The step counter lives on the device beside the moments.
#pragma once

#include <span>
#include <vector>

#include "autograd/variable.h"
#include "tensor/elementwise.h"

namespace versor {

class Adam {
 public:
  explicit Adam(std::vector<Variable> parameters, AdamParams params = {});

  // Moves every parameter that has a gradient.
  void step();
  void zero_grad();  // forgets the gradients: they would add up over steps

  // State for a checkpoint: moments in the order of the parameters, and the number of steps.
  std::vector<Tensor>& first_moments() { return m_; }
  std::vector<Tensor>& second_moments() { return v_; }
  Tensor& step_counter() { return step_; }  // i32 [1]

 private:
  std::vector<Variable> parameters_;
  AdamParams params_;
  std::vector<Tensor> m_, v_;
  Tensor step_;
};

}  // namespace versor
