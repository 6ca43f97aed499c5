// Capturing work on the CPU in place of a CUDA graph: see cuda_on_cpu.h.
#include <algorithm>
#include <stdexcept>
#include <utility>

#include "tests/cuda_on_cpu.h"

namespace cuda_on_cpu {
namespace {

// Of each thread: it may be one of several ranks (cuda_on_cpu_nccl.cpp).
thread_local bool capturing = false, on_branch = false;
thread_local std::vector<Work> captured, captured_branch;
thread_local size_t forked_at = 0;  // how much had been captured before the branch

}  // namespace

void enqueue(Work work) {
  if (capturing) {
    (on_branch ? captured_branch : captured).push_back(std::move(work));
  } else {
    work();
  }
}

bool is_capturing() {
  return capturing;
}

void begin_capture() {
  if (capturing) throw std::runtime_error("a capture runs already");
  capturing = true;
}

std::vector<Work> end_capture() {
  capturing = on_branch = false;
  auto all = std::exchange(captured, {});
  if (!std::exchange(captured_branch, {}).empty())
    throw std::runtime_error("the capture ends before its branch has been joined");
  return all;
}

void begin_branch() {
  on_branch = capturing;
  forked_at = captured.size();
}

void end_branch() {
  on_branch = false;
}

void join_branch() {
  const bool late = order() == Order::forward;
  size_t at = late ? captured.size() : forked_at;
  for (Work& work : std::exchange(captured_branch, {})) {
    captured.insert(captured.begin() + static_cast<std::ptrdiff_t>(at), std::move(work));
    at = std::min(at + 2, captured.size());
  }
}

}  // namespace cuda_on_cpu
