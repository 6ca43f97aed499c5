// The memory of one device. Freed blocks are kept by size and handed out again, so that a steady
// training step allocates nothing; current and peak bytes are counted for everyone to read.
// Reuse follows program order, which is stream order on a device with one stream; while a branch
// runs on another one, nothing that was freed is reused.
// An arena pins addresses: what is allocated while it is open is only ever reused by it, so work
// captured there (a CUDA graph) can be replayed without overwriting anything else.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace versor {

// "1.5 GiB", "640 bytes".
std::string readable_bytes(size_t bytes);

class MemoryPool {
 public:
  using RawAllocate = std::function<void*(size_t)>;  // returns nullptr when there is no memory
  using RawFree = std::function<void(void*)>;
  // What a device does, if anything, when a block is handed out or taken back. Captured work keeps
  // using the blocks of its arena, so an arena's block is handed out whole, and taken back only
  // when the arena ends.
  struct Hooks {
    // The first `bytes` of the block's `size` bytes are for the caller.
    std::function<void(void* block, size_t bytes, size_t size)> handed_out;
    std::function<void(void* block, size_t size)> taken_back;
  };

  MemoryPool(RawAllocate allocate, RawFree free, Hooks hooks = {});
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // A block of at least `bytes` bytes; nullptr if there is no memory left, or none within the
  // limit. state() then describes the pool.
  void* allocate(size_t bytes);
  void free(void* block, size_t bytes);

  // Between these, what is freed is kept apart: a branch (branch.h) may still be using it, or may
  // have freed what the caller's own work gets next.
  void hold_freed();
  void release_held();

  size_t current_bytes() const;    // handed out now
  size_t peak_bytes() const;       // the most that was handed out since reset_peak()
  size_t room() const;             // what may still be handed out within the limit
  size_t reserved_bytes() const;   // taken from the device: handed out or kept for reuse
  size_t raw_allocations() const;  // how often the device itself was asked
  void reset_peak();
  void set_limit(size_t bytes);  // of what is taken from the device; none at first
  std::string state() const;     // "1.5 GiB of 2 GiB in use" for an error
  void release_cached();         // returns cached blocks to the device, except those of arenas

  // A separate set of blocks. A block that it handed out returns to it, even after it was closed.
  // When it ends, its blocks go to the pool. It must not outlive the pool.
  class Arena {
   public:
    explicit Arena(MemoryPool& pool) : pool_(pool) {}
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

   private:
    friend class MemoryPool;
    MemoryPool& pool_;
    std::map<size_t, std::vector<void*>> kept_;
  };
  // Every allocation of the pool comes from the arena while this lives. One thread; not nestable.
  class ArenaScope {
   public:
    explicit ArenaScope(Arena& arena);
    ~ArenaScope();
    ArenaScope(const ArenaScope&) = delete;
    ArenaScope& operator=(const ArenaScope&) = delete;

   private:
    MemoryPool& pool_;
  };

 private:
  static size_t rounded(size_t bytes);
  // These with the mutex held.
  void* take_from_device(size_t size);
  void give_back_kept();
  void keep(void* block, size_t size);

  RawAllocate raw_allocate_;
  RawFree raw_free_;
  Hooks hooks_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> kept_;
  Arena* open_ = nullptr;
  bool holding_ = false;
  std::vector<std::pair<void*, size_t>> held_;  // freed blocks and their sizes
  std::unordered_map<void*, Arena*> owners_;    // of the blocks that belong to an arena
  size_t current_ = 0, peak_ = 0, reserved_ = 0, raw_allocations_ = 0;
  size_t limit_ = std::numeric_limits<size_t>::max();
};

}  // namespace versor
