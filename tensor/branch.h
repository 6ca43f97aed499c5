// Branches: work that may run beside what is called after it. In a captured step (replay.h) they
// fill a GPU that one small kernel at a time leaves half empty.
//   BranchScope branches(backend);
//   const Tensor a = beside([=] { return ops::f(x); });  // f may run at the same time as g
//   const Tensor b = ops::g(y);
//   branches.join();                                      // from here on a may be used
// Between beside() and join() nothing may use the result or write what the branch reads. Tensors
// that the work holds by value are held until the join, so that nothing that reuses unshared memory
// takes theirs, and memory that is freed meanwhile is handed out again only afterwards. Where the
// device has no branches, beside() just calls the work: the order is that of the program, and the
// bits are the same in either order.
#pragma once

#include <functional>

#include "tensor/backend.h"

namespace versor {

// Lets beside() start branches while it lives. Scopes nest; the innermost counts.
class BranchScope {
 public:
  explicit BranchScope(Backend& backend);
  ~BranchScope();  // joins
  BranchScope(const BranchScope&) = delete;
  BranchScope& operator=(const BranchScope&) = delete;

  void join();
  // Whether t is the result of a branch that has not been joined.
  bool is_pending(const Tensor& t) const;

 private:
  friend Tensor beside(std::function<Tensor()> work);
  Tensor run(std::function<Tensor()> work);

  Backend& backend_;
  BranchScope* outer_;
  bool active_;                   // whether there are branches, or an observer wants to see them
  std::function<Tensor()> work_;  // of the branch that has not been joined
  Tensor result_;
};

// Calls `work`, as a branch if there is a scope and its device has them. A branch first joins the
// one before it: there is one at a time, and no longer than that is memory held back. Inside a
// branch, work is just called.
Tensor beside(std::function<Tensor()> work);

}  // namespace versor
