// Variable: a Tensor that takes part in differentiation. It holds the value, the gradient once
// backward() has run, and the node that made it.
// A differentiable function computes its value and calls record() with its backward; functions.h
// has them all, engine.cpp runs them in reverse.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

class Variable;

// What a backward returns: the gradient for each input, in order. An undefined Tensor means that
// the input gets none. One Tensor converts to a list of one.
struct Gradients {
  Gradients(Tensor single) : list{std::move(single)} {}
  Gradients(std::initializer_list<Tensor> several) : list(several) {}
  Gradients(std::vector<Tensor> several) : list(std::move(several)) {}
  std::vector<Tensor> list;
};
// Which inputs need a gradient from a backward, in order. At least one does.
using Needed = std::vector<bool>;

// A function's backward, from dy to the gradients of its inputs: f(dy) or, with several inputs,
// f(dy, needed), which leaves gradients that are not needed undefined and does not compute them. dy
// is passed by value: if it is unshared(), the result may overwrite it.
// f(dy, skip, needed) gets dy as two terms to be added, where the result was used more than once:
// for a function that adds them in the pass that reads them. skip is undefined where there is one.
class Backward {
 public:
  Backward() = default;
  Backward(std::nullptr_t) {}
  template <class F>
  Backward(F f) {
    takes_skip_ = std::is_invocable_v<F&, Tensor, Tensor, const Needed&>;
    if constexpr (std::is_invocable_v<F&, Tensor, Tensor, const Needed&>)
      run_ = std::move(f);
    else if constexpr (std::is_invocable_v<F&, Tensor, const Needed&>)
      run_ = [f = std::move(f)](Tensor dy, Tensor, const Needed& needed) -> Gradients {
        return f(std::move(dy), needed);
      };
    else
      run_ = [f = std::move(f)](Tensor dy, Tensor, const Needed&) -> Gradients {
        return f(std::move(dy));
      };
  }

  explicit operator bool() const { return static_cast<bool>(run_); }
  bool takes_skip() const { return takes_skip_; }
  // Without takes_skip() skip is undefined.
  Gradients operator()(Tensor dy, Tensor skip, const Needed& needed) const {
    return run_(std::move(dy), std::move(skip), needed);
  }

 private:
  std::function<Gradients(Tensor dy, Tensor skip, const Needed& needed)> run_;
  bool takes_skip_ = false;
};

struct Node;

class Variable {
 public:
  Variable() = default;
  explicit Variable(Tensor value, bool requires_grad = false);

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const { return state()->value; }
  Tensor& mutable_value() { return state()->value; }  // for optimisers and codebook updates
  const Shape& shape() const { return value().shape(); }
  // The value as another type: the copy that set_copy() has left, or a new one.
  Tensor value_as(DType dtype) const;
  // Leaves a copy of the value in another type. Whoever does so takes it away again, with an
  // undefined one, before the value changes.
  void set_copy(Tensor copy) { state()->copy = std::move(copy); }
  // Accumulated by backward(), for leaves and where retain_grad() was called. Undefined before and
  // after zero_grad(). Two leaves may share one gradient's storage (a + b hands dy to both): clone
  // it before changing it.
  const Tensor& grad() const { return state()->grad; }
  // Keeps the gradient of a non-leaf result too; call it before backward().
  void retain_grad();
  void zero_grad() { state()->grad = {}; }
  // Replaces the gradient, for code that works on gradients after backward().
  void set_grad(Tensor grad) { state()->grad = std::move(grad); }
  bool requires_grad() const { return defined() && state_->requires_grad; }
  // false freezes a leaf for what is computed from now on. Throws Error for other results.
  void set_requires_grad(bool requires_grad);
  // The same value without a history: no gradient flows through it (sg[x] in the paper).
  Variable detach() const { return Variable(value()); }
  float item() const { return value().item(); }

 private:
  struct State;
  explicit Variable(std::shared_ptr<State> state) : state_(std::move(state)) {}
  struct State {
    Tensor value, grad, copy;
    bool requires_grad = false;
    std::shared_ptr<Node> node;  // what made it; null for leaves
  };
  State* state() const {
    check(defined(), "variable", "is undefined");
    return state_.get();
  }

  std::shared_ptr<State> state_;

  friend struct Edge;
  friend struct Node;
  friend Variable record(const char* name, Tensor value, const std::vector<Variable>& inputs,
                         Backward backward);
  friend class Engine;
};

// sg[x]: the value of x, without its gradient.
inline Variable stop_gradient(const Variable& x) {
  return x.detach();
}

// The result of a differentiable function. `backward` may keep tensors by capture. Nothing is
// recorded if no input needs a gradient or a NoGradGuard is alive. An undefined input, one that the
// function can do without, needs none.
Variable record(const char* name, Tensor value, const std::vector<Variable>& inputs,
                Backward backward);

// Runs the chain rule from a scalar: adds d loss / d leaf to every leaf that requires it. Frees
// what the nodes saved as it goes, so that a second call throws unless `retain_graph`.
void backward(const Variable& loss, bool retain_graph = false);
// The same; calls leaf_done(leaf) as soon as nothing more will be added to its gradient, for work
// that need not wait for the rest, such as the sum over several machines.
void backward(const Variable& loss, const std::function<void(const Variable& leaf)>& leaf_done);

// No history is recorded while one of these lives: for evaluation.
class NoGradGuard {
 public:
  NoGradGuard();
  ~NoGradGuard();
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool before_;
};

}  // namespace versor
