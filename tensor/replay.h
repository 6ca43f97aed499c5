// Work that is repeated on the same tensors, such as a training step. A device that can capture it
// (as a CUDA graph) replays all its primitives with one call from the host instead of hundreds.
//   first call   runs the work directly: libraries choose their algorithms, the pool fills
//   second call  captures the work, then replays it
//   later calls  replay it; the work itself is not called any more
// So the work must issue the same primitives on every call. It reads whatever changes (position,
// counters, order of the images) from tensors at fixed addresses, and writes its results to such
// tensors. On other devices, or with `capture` false, every call runs the work, with the same bits.
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
