// Memory pool: see pool.h.
#include "tensor/pool.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace versor {

std::string readable_bytes(size_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return str(std::round(value * 10) / 10, " ", kUnits[unit]);
}

MemoryPool::MemoryPool(RawAllocate allocate, RawFree free, Hooks hooks)
    : raw_allocate_(std::move(allocate)), raw_free_(std::move(free)), hooks_(std::move(hooks)) {}

MemoryPool::~MemoryPool() {
  release_cached();
}

// Steps of 1/8 of the power of two below: at most 12.5 % are wasted, and sizes recur.
size_t MemoryPool::rounded(size_t bytes) {
  size_t step = 64;
  while (step <= bytes / 16) step *= 2;  // without overflow
  return std::max<size_t>((bytes + step - 1) / step * step, 64);
}

void* MemoryPool::take_from_device(size_t size) {
  return size <= limit_ && reserved_ <= limit_ - size ? raw_allocate_(size) : nullptr;
}

void* MemoryPool::allocate(size_t bytes) {
  const size_t size = rounded(bytes);
  std::lock_guard lock(mutex_);
  void* block = nullptr;
  auto& kept = open_ ? open_->kept_ : kept_;
  if (auto it = kept.find(size); it != kept.end() && !it->second.empty()) {
    block = it->second.back();
    it->second.pop_back();
  } else {
    block = take_from_device(size);
    if (block == nullptr) {  // blocks kept for other sizes may be in the way
      give_back_kept();
      block = take_from_device(size);
    }
    if (block == nullptr) return nullptr;
    reserved_ += size;
    ++raw_allocations_;
    if (open_) owners_[block] = open_;
  }
  current_ += size;
  peak_ = std::max(peak_, current_);
  if (hooks_.handed_out) hooks_.handed_out(block, open_ ? size : bytes, size);
  return block;
}

void MemoryPool::free(void* block, size_t bytes) {
  const size_t size = rounded(bytes);
  std::lock_guard lock(mutex_);
  current_ -= size;
  if (holding_) {
    held_.emplace_back(block, size);
  } else {
    keep(block, size);
  }
}

void MemoryPool::keep(void* block, size_t size) {
  const auto owner = owners_.find(block);
  const bool in_arena = owner != owners_.end();
  if (hooks_.taken_back && !in_arena) hooks_.taken_back(block, size);
  (in_arena ? owner->second->kept_ : kept_)[size].push_back(block);
}

void MemoryPool::hold_freed() {
  std::lock_guard lock(mutex_);
  holding_ = true;
}

void MemoryPool::release_held() {
  std::lock_guard lock(mutex_);
  holding_ = false;
  for (const auto& [block, size] : held_) keep(block, size);
  held_.clear();
}

MemoryPool::Arena::~Arena() {
  std::lock_guard lock(pool_.mutex_);
  for (auto& [size, blocks] : kept_) {
    if (pool_.hooks_.taken_back)
      for (void* block : blocks) pool_.hooks_.taken_back(block, size);
    auto& all = pool_.kept_[size];
    all.insert(all.end(), blocks.begin(), blocks.end());
  }
  std::erase_if(pool_.owners_, [this](const auto& entry) { return entry.second == this; });
}

MemoryPool::ArenaScope::ArenaScope(Arena& arena) : pool_(arena.pool_) {
  std::lock_guard lock(pool_.mutex_);
  check(pool_.open_ == nullptr, "memory", "an arena is open already");
  pool_.open_ = &arena;
}

MemoryPool::ArenaScope::~ArenaScope() {
  std::lock_guard lock(pool_.mutex_);
  pool_.open_ = nullptr;
}

size_t MemoryPool::current_bytes() const {
  std::lock_guard lock(mutex_);
  return current_;
}
size_t MemoryPool::peak_bytes() const {
  std::lock_guard lock(mutex_);
  return peak_;
}
size_t MemoryPool::room() const {
  std::lock_guard lock(mutex_);
  return limit_ - std::min(limit_, current_);
}
size_t MemoryPool::reserved_bytes() const {
  std::lock_guard lock(mutex_);
  return reserved_;
}
size_t MemoryPool::raw_allocations() const {
  std::lock_guard lock(mutex_);
  return raw_allocations_;
}
void MemoryPool::reset_peak() {
  std::lock_guard lock(mutex_);
  peak_ = current_;
}

void MemoryPool::set_limit(size_t bytes) {
  std::lock_guard lock(mutex_);
  limit_ = bytes;
}

std::string MemoryPool::state() const {
  std::lock_guard lock(mutex_);
  const bool limited = limit_ != std::numeric_limits<size_t>::max();
  return str(readable_bytes(current_), limited ? str(" of ", readable_bytes(limit_)) : "",
             " in use");
}

void MemoryPool::release_cached() {
  std::lock_guard lock(mutex_);
  give_back_kept();
}

void MemoryPool::give_back_kept() {
  for (auto& [size, blocks] : kept_) {
    for (void* block : blocks) raw_free_(block);
    reserved_ -= size * blocks.size();
  }
  kept_.clear();
}

}  // namespace versor
