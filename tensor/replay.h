// Work that is done again and again on the same tensors, such as a training step: a device that can
// capture (a CUDA graph) replays all its primitives at one call of the host, which otherwise makes
// hundreds.
//   first call   runs the work as it is: libraries choose their algorithms, the pool fills
//   second call  captures the work, then replays it
//   later calls  replay it; the work itself is not called any more
// So the work must do the same on every call. What changes (position, counters, order of the
// images) it reads from tensors that stay where they are, and its results leave through such
// tensors. On other devices, or with `capture` false, every call runs the work; the results are the
// same bits.
#pragma once

#include <functional>
#include <memory>

#include "tensor/backend.h"

namespace versor {

class Replay {
 public:
  // Several replays of one program may share an arena: none keeps values in it between calls.
  Replay(Backend& backend, std::shared_ptr<MemoryPool::Arena> arena, bool capture);

  void run(const std::function<void()>& work);
  bool captured() const { return captured_ != nullptr; }

 private:
  Backend& backend_;
  std::shared_ptr<MemoryPool::Arena> arena_;
  bool capture_;
  bool warm_ = false;
  std::unique_ptr<CapturedWork> captured_;
};

}  // namespace versor
