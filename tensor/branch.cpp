// Branches and those who watch them: see branch.h and observer.h.
#include "tensor/branch.h"

#include <utility>

#include "tensor/observer.h"

namespace versor {
namespace {

Observer* observer = nullptr;
thread_local BranchScope* innermost = nullptr;
thread_local bool on_branch = false;

// While it lives, what is called belongs to a branch.
class OnBranch {
 public:
  explicit OnBranch(Backend& backend) : backend_(backend) {
    backend_.pool().hold_freed();
    backend_.fork();
    on_branch = true;
    if (observer) observer->forked();
  }
  ~OnBranch() {
    if (observer) observer->left();
    backend_.leave_branch();
    on_branch = false;
  }
  OnBranch(const OnBranch&) = delete;
  OnBranch& operator=(const OnBranch&) = delete;

 private:
  Backend& backend_;
};

}  // namespace

Observer::Observer() {
  check(observer == nullptr, "observer", "there is one already");
  observer = this;
}
Observer::~Observer() {
  observer = nullptr;
}
Observer* Observer::current() {
  return observer;
}

BranchScope::BranchScope(Backend& backend)
    : backend_(backend),
      outer_(std::exchange(innermost, this)),
      active_(backend.has_branches() || observer) {}

BranchScope::~BranchScope() {
  innermost = outer_;
  try {
    join();
  } catch (const Error&) {  // then the capture fails too, and says why
  }
}

void BranchScope::join() {
  if (!work_) return;
  work_ = nullptr;
  result_ = {};
  backend_.pool().release_held();
  backend_.join();
  if (observer) observer->joined();
}

bool BranchScope::is_pending(const Tensor& t) const {
  return result_.defined() && result_.shares_storage_with(t);
}

Tensor BranchScope::run(std::function<Tensor()> work) {
  if (!active_ || on_branch) return work();
  join();
  work_ = std::move(work);
  const OnBranch branch(backend_);
  return result_ = work_();
}

Tensor beside(std::function<Tensor()> work) {
  return innermost ? innermost->run(std::move(work)) : work();
}

}  // namespace versor
