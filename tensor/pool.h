// The memory of one device. Freed blocks are kept by size and handed out again, so that a steady
// training step allocates nothing; current and peak bytes are counted for everyone to read.
// Reuse follows program order, which is stream order on a device with one stream.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

namespace versor {

class MemoryPool {
 public:
  using RawAllocate = std::function<void*(size_t)>;  // returns nullptr when there is no memory
  using RawFree = std::function<void(void*)>;

  MemoryPool(RawAllocate allocate, RawFree free);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // A block of at least `bytes` bytes. Throws Error saying how much was asked for and is in use.
  void* allocate(size_t bytes);
  void free(void* block, size_t bytes);

  size_t current_bytes() const;    // handed out now
  size_t peak_bytes() const;       // the most that was handed out since reset_peak()
  size_t reserved_bytes() const;   // taken from the device: handed out or kept for reuse
  size_t raw_allocations() const;  // how often the device itself was asked
  void reset_peak();
  void release_cached();  // gives kept blocks back to the device

 private:
  static size_t rounded(size_t bytes);
  void give_back_kept();  // with the mutex held

  RawAllocate raw_allocate_;
  RawFree raw_free_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> kept_;
  size_t current_ = 0, peak_ = 0, reserved_ = 0, raw_allocations_ = 0;
};

}  // namespace versor
