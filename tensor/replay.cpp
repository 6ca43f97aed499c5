// Replay: see replay.h.
#include "tensor/replay.h"

#include "tensor/trace.h"

namespace versor {

// A trace times every primitive, so none may disappear in a recording.
Replay::Replay(Backend& backend, std::shared_ptr<MemoryPool::Arena> arena, bool record)
    : backend_(backend),
      arena_(std::move(arena)),
      record_(record && backend.info().can_record && !TraceScope::active()) {}

void Replay::run(const std::function<void()>& work) {
  if (!record_) return work();
  if (captured_) return captured_->launch();
  const MemoryPool::ArenaScope scope(*arena_);
  if (!warm_) {
    warm_ = true;
    return work();
  }
  captured_ = backend_.capture(work);
  captured_->launch();
}

}  // namespace versor
