// Work that is done again and again on the same tensors, such as a training step: on a device that
// can record its primitives (a CUDA graph) the host then says "again" instead of calling hundreds
// of them one by one.
//   first call   runs the work as it is: libraries choose their algorithms, the pool fills
//   second call  records the work, then launches the recording
//   later calls  launch the recording; the work itself is not called any more
// So the work must do the same on every call and read what changes (position, counters, order of
// the images) from tensors that stay where they are. What it computes must leave through such
// tensors too. On other devices, or with `record` false, every call runs the work; the results are
// the same bits.
#pragma once

#include <functional>
#include <memory>

#include "tensor/backend.h"

namespace versor {

class Replay {
 public:
  // Several replays of one program may share an arena: none keeps values in it between calls.
  Replay(Backend& backend, std::shared_ptr<MemoryPool::Arena> arena, bool record);

  void run(const std::function<void()>& work);
  bool recorded() const { return captured_ != nullptr; }

 private:
  Backend& backend_;
  std::shared_ptr<MemoryPool::Arena> arena_;
  bool record_;
  bool warm_ = false;
  std::unique_ptr<CapturedWork> captured_;
};

}  // namespace versor
