// Trace and profile of primitives: see trace.h.
#include "tensor/trace.h"

#include <cstdio>

#include "tensor/backend.h"
#include "tensor/environment.h"

namespace versor {
namespace {

bool collecting = false;
std::map<std::string, ProfileEntry> collected;

bool printing() {
  static const bool on = environment_switch("VERSOR_TRACE", false);
  return on;
}

bool naming() {
  static const bool on = environment_switch("VERSOR_NVTX", false);
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

std::string TraceName::text() const {
  return *operation == '\0' ? primitive : str(primitive, " ", operation);
}

TraceScope::TraceScope(const TraceName& name, Backend& backend, double flops,
                       std::initializer_list<const Tensor*> tensors)
    : traced_(name) {
  if (naming()) {
    backend.begin_range(name.text().c_str());
    named_ = &backend;
  }
  if (!active()) return;
  name_ = name.text();
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
    std::fprintf(stderr, "%-20s %9.3f ms %8.1f GFLOP/s %7.1f GB/s %s\n", name_.c_str(),
                 1e3 * seconds, 1e-9 * flops_ / seconds, 1e-9 * bytes_ / seconds, shapes_.c_str());
  }
}

}  // namespace versor
