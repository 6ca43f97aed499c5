// Trace and profile of primitives: see trace.h.
#include "tensor/trace.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tensor/backend.h"

namespace versor {
namespace {

bool collecting = false;
std::map<std::string, ProfileEntry> collected;

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::strcmp(value, "0") != 0 && *value != '\0';
}

bool printing() {
  static const bool on = is_set("VERSOR_TRACE");
  return on;
}

bool naming() {
  static const bool on = is_set("VERSOR_NVTX");
  return on;
}

}  // namespace

Profile::Profile() {
  check(!collecting, "profile", "is on already");
  collected.clear();
  collecting = true;
}
Profile::~Profile() {
  collecting = false;
}
const std::map<std::string, ProfileEntry>& Profile::entries() const {
  return collected;
}
void Profile::clear() {
  collected.clear();
}

TraceScope::TraceScope(const char* name, Backend& backend, double flops,
                       std::initializer_list<const Tensor*> tensors) {
  if (naming()) {
    backend.begin_range(name);
    named_ = &backend;
  }
  if (!active()) return;
  name_ = name;
  backend_ = &backend;
  flops_ = flops;
  for (const Tensor* t : tensors) {
    if (!t->defined()) continue;
    bytes_ += static_cast<double>(t->bytes());
    shapes_ += str(" ", t->shape());
  }
  backend_->synchronize();
  start_ = std::chrono::steady_clock::now();
}

bool TraceScope::active() {
  return collecting || printing();
}

TraceScope::~TraceScope() {
  if (named_ != nullptr) named_->end_range();
  if (backend_ == nullptr) return;
  backend_->synchronize();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  const double seconds = elapsed.count();
  if (collecting) {
    ProfileEntry& entry = collected[name_];
    entry.calls += 1;
    entry.seconds += seconds;
    entry.flops += flops_;
    entry.bytes += bytes_;
  }
  if (printing()) {
    std::fprintf(stderr, "%-20s %9.3f ms %8.1f GFLOP/s %7.1f GB/s %s\n", name_, 1e3 * seconds,
                 1e-9 * flops_ / seconds, 1e-9 * bytes_ / seconds, shapes_.c_str());
  }
}

}  // namespace versor
