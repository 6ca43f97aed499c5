// Where the time goes: every primitive passes through a TraceScope (opened in ops.cpp and in vq's
// kernel dispatch). VERSOR_TRACE=1 prints each one with shapes, ms, GFLOP/s and GB/s; bin/bench
// collects them by name through Profile. VERSOR_NVTX=1 names them in the time line of a GPU's
// profiler instead. When nothing is on, a scope costs a test of three flags.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "tensor/observer.h"
#include "tensor/tensor.h"

namespace versor {

// Totals of one primitive.
struct ProfileEntry {
  int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

// Switches the collection on while it lives; not nestable, one thread.
class Profile {
 public:
  Profile();
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;
  const std::map<std::string, ProfileEntry>& entries() const;
  void clear();
};

// What is traced: a primitive and, if it has several operations, which one ("unary relu").
struct TraceName {
  TraceName(const char* primitive, const char* operation = "")
      : primitive(primitive), operation(operation) {}
  std::string text() const;

  const char *primitive, *operation;
};

class TraceScope {
 public:
  // `flops` counts multiplications and additions; the bytes are those of the tensors named.
  TraceScope(const TraceName& name, Backend& backend, double flops,
             std::initializer_list<const Tensor*> tensors);
  ~TraceScope();
  // Calls the primitive, and tells the observer first, if there is one.
  template <class B, class... P>
  void run(B& backend, void (B::*primitive)(P...), std::type_identity_t<P>... arguments) {
    if (Observer* observer = Observer::current()) {
      std::vector<Access> accesses;
      (add_accesses(accesses, static_cast<P&>(arguments)), ...);
      observer->primitive(traced_.text(), accesses);
    }
    (backend.*primitive)(static_cast<P&&>(arguments)...);
  }
  // Whether primitives are being timed now.
  static bool active();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  TraceName traced_;
  std::string name_;
  Backend* backend_ = nullptr;  // null while nobody times
  Backend* named_ = nullptr;    // null while no profiler wants names
  double flops_ = 0, bytes_ = 0;
  std::string shapes_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace versor
