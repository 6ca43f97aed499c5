// Finds the faults of branches (tensor/branch.h) without a GPU: memory that a primitive on a branch
// and one beside it both touch, at least one of them writing. While one lives, there are branches
// on every device; on the CPU they are called in order, and it makes no difference.
#pragma once

#include <map>
#include <set>

#include "tensor/observer.h"

namespace versor::testing {

class HazardChecker final : public Observer {
 public:
  // "conv2d_grad_weight reads what binary add writes", the work on the branch first.
  std::set<std::string> found;
  std::map<std::string, int64_t> calls;  // of each primitive
  int64_t branches = 0;

  void primitive(const std::string& name, const std::vector<Access>& accesses) override {
    ++calls[name];
    for (const Access& access : accesses) {
      if (on_branch_)
        branch_.push_back({name, access});
      else
        compare(name, access);
    }
  }
  // A fork waits for all that was called before it, so only what is called after it can collide.
  void forked() override {
    ++branches;
    on_branch_ = true;
  }
  void left() override { on_branch_ = false; }
  void joined() override { branch_.clear(); }

 private:
  struct Touched {
    std::string name;
    Access access;
  };

  void compare(const std::string& name, const Access& access) {
    const auto does = [](const Access& a) { return a.writes ? " writes" : " reads"; };
    for (const Touched& other : branch_) {
      const Access& beside = other.access;
      if ((access.writes || beside.writes) && access.begin < beside.begin + beside.bytes &&
          beside.begin < access.begin + access.bytes)
        found.insert(other.name + does(beside) + " what " + name + does(access));
    }
  }

  bool on_branch_ = false;
  std::vector<Touched> branch_;  // not yet joined
};

}  // namespace versor::testing
