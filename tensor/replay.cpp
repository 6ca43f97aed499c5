// Replay: see replay.h.
#include "tensor/replay.h"

#include "tensor/trace.h"

namespace versor {

// A trace times every primitive, so none may disappear in a captured step.
Replay::Replay(Backend& backend, std::shared_ptr<MemoryPool::Arena> arena, bool capture)
    : backend_(backend),
      arena_(std::move(arena)),
      capture_(capture && backend.info().can_capture && !TraceScope::active()) {}

void Replay::run(const std::function<void()>& work) {
  if (!capture_) return work();
  if (captured_) return captured_->replay();
  const MemoryPool::ArenaScope scope(*arena_);
  if (!warm_) {
    warm_ = true;
    return work();
  }
  captured_ = backend_.capture(work);
  captured_->replay();
}

}  // namespace versor
