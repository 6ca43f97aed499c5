// Ranks that are threads of one process: a Communicator for tests, exact and strict. Sums are made
// in the order of the ranks; calls that differ between ranks, which would hang or corrupt memory
// elsewhere, are errors.
//   run_ranks(3, [&](Communicator& communicator) { ... });
#pragma once

#include <omp.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tensor/communicator.h"

namespace versor::testing {

// Where the ranks meet. A rank that fails wakes the others, whose calls then fail too.
class MeetingPoint {
 public:
  explicit MeetingPoint(int size) : brought_(static_cast<size_t>(size)) {}

  // What a rank brings to a call: its name with the shape, and an address.
  struct Brought {
    std::string call;
    void* data = nullptr;
  };

  // Waits for all ranks, and calls work(brought by all) in each of them; returns once all have
  // done.
  template <class Work>
  void meet(int rank, Brought brought, const Work& work) {
    brought_[static_cast<size_t>(rank)] = std::move(brought);
    wait();
    for (const Brought& other : brought_)
      check(other.call == brought_[0].call, "ranks", "calls differ: ", brought_[0].call, " and ",
            other.call);
    work(brought_);
    wait();
  }
  void give_up() {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    changed_.notify_all();
  }

 private:
  void wait() {
    std::unique_lock lock(mutex_);
    const int64_t round = round_;
    if (++arrived_ == brought_.size()) {
      arrived_ = 0;
      ++round_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return round_ != round || failed_; });
    check(round_ != round, "ranks", "another rank has failed");
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Brought> brought_;
  size_t arrived_ = 0;
  int64_t round_ = 0;
  bool failed_ = false;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(MeetingPoint& point, int rank, int size)
      : point_(point), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string name_of(int rank) const override { return str("rank ", rank); }
  // How often tensors were reduced, and the bytes.
  int64_t calls() const { return calls_; }
  int64_t bytes() const { return bytes_; }

  void finish() override {
    for (Tensor& x : started_) reduce(x, Reduction::sum);
    started_.clear();
  }
  std::vector<std::string> all_gather(const std::string& text) override {
    std::vector<std::string> all;
    std::string mine = text;
    point_.meet(rank_, {"all_gather", &mine}, [&](const auto& brought) {
      for (const auto& b : brought) all.push_back(*static_cast<std::string*>(b.data));
    });
    return all;
  }
  std::string broadcast(const std::string& text, int root) override {
    return all_gather(text)[static_cast<size_t>(root)];
  }
  using Communicator::broadcast;
  int64_t largest(int64_t value) override {
    int64_t most = std::numeric_limits<int64_t>::min();
    point_.meet(rank_, {"largest", &value}, [&](const auto& brought) {
      for (const auto& b : brought) most = std::max(most, *static_cast<int64_t*>(b.data));
    });
    return most;
  }

 protected:
  void reduce(Tensor& x, Reduction reduction) override {
    ++calls_;
    bytes_ += static_cast<int64_t>(x.bytes());
    if (x.dtype() == DType::i32)
      combine<int32_t>(x, [](int32_t a, int32_t b) { return a + b; });
    else if (reduction == Reduction::sum)
      combine<float>(x, [](float a, float b) { return a + b; });
    else
      combine<float>(x, [](float a, float b) { return b > a || b != b ? b : a; });
  }
  void start(const Tensor& x) override { started_.push_back(x); }
  void reduce_guard(Tensor& guard) override {
    int32_t least[2];
    point_.meet(rank_, {"guard", guard.data<int32_t>()}, [&](const auto& brought) {
      std::copy_n(static_cast<int32_t*>(brought[0].data), 2, least);
      for (const auto& b : brought) {
        const auto* g = static_cast<int32_t*>(b.data);
        if (g[1] < least[1] || (g[1] == least[1] && g[0] < least[0])) std::copy_n(g, 2, least);
      }
    });
    guard.copy_from_host(least);
  }
  void send_to_all(Tensor& x, int root) override {
    std::vector<char> content(x.bytes());
    point_.meet(rank_, brought("broadcast", x), [&](const auto& all) {
      std::memcpy(content.data(), all[static_cast<size_t>(root)].data, content.size());
    });
    x.copy_from_host(content.data());
  }
  void gather(Tensor& all, const Tensor& x, const std::vector<int64_t>& rows) override {
    const size_t row = all.bytes() / static_cast<size_t>(std::max<int64_t>(all.dim(0), 1));
    auto* out = static_cast<char*>(all.address());
    point_.meet(rank_, {"gather", x.address()}, [&](const auto& brought) {
      for (size_t r = 0; r < brought.size(); ++r) {
        const size_t bytes = static_cast<size_t>(rows[r]) * row;
        if (bytes > 0) std::memcpy(out, brought[r].data, bytes);
        out += bytes;
      }
    });
  }

 private:
  static MeetingPoint::Brought brought(const char* call, const Tensor& x) {
    return {str(call, " ", x.dtype(), x.shape()), x.address()};
  }
  template <class T, class Combine>
  void combine(Tensor& x, const Combine& of) {
    std::vector<T> result(static_cast<size_t>(x.numel()));
    point_.meet(rank_, brought("reduce", x), [&](const auto& all) {
      const T* first = static_cast<T*>(all[0].data);
      std::copy_n(first, result.size(), result.begin());
      for (size_t r = 1; r < all.size(); ++r) {
        const T* next = static_cast<T*>(all[r].data);
        for (size_t i = 0; i < result.size(); ++i) result[i] = of(result[i], next[i]);
      }
    });
    x.copy_from_host(result.data());
  }

  MeetingPoint& point_;
  int rank_, size_;
  std::vector<Tensor> started_;
  int64_t calls_ = 0, bytes_ = 0;
};

// Calls work(communicator) on each rank, in a thread of its own with one thread for its loops.
// Throws what the first rank that failed has thrown.
inline void run_ranks(int size, const std::function<void(ThreadCommunicator&)>& work) {
  MeetingPoint point(size);
  std::exception_ptr failure;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      omp_set_num_threads(1);
      try {
        ThreadCommunicator communicator(point, rank, size);
        work(communicator);
      } catch (...) {
        {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
        }
        point.give_up();
      }
    });
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace versor::testing
