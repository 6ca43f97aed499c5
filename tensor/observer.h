// Watching what is called: an Observer is told of every primitive, with the memory that it reads
// and writes, and of branches (branch.h). For tests; when nobody watches, it costs one comparison.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "tensor/backend.h"

namespace versor {

// Bytes that a primitive reads, or writes (and perhaps reads too).
struct Access {
  const char* begin;
  size_t bytes;
  bool writes;
};

class Observer {
 public:
  Observer();  // watches from now on; one at a time, one thread
  virtual ~Observer();
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  // Called just before.
  virtual void primitive(const std::string& name, const std::vector<Access>& accesses) = 0;
  virtual void forked() {}  // what follows is on the branch,
  virtual void left() {}    // and from here on beside it,
  virtual void joined() {}  // and after it

  static Observer* current();  // null: nobody watches
};

// What an argument lets a primitive touch follows from its type: it writes a Tensor& and reads a
// const Tensor&. Types that are not named here must not contain a tensor.
inline void add_access(std::vector<Access>& all, const Tensor& t, bool writes) {
  if (t.defined()) all.push_back({static_cast<const char*>(t.address()), t.bytes(), writes});
}
inline void add_accesses(std::vector<Access>& all, Tensor& t) {
  add_access(all, t, true);
}
inline void add_accesses(std::vector<Access>& all, const Tensor& t) {
  add_access(all, t, false);
}
inline void add_accesses(std::vector<Access>& all, const Epilogue& epilogue) {
  add_access(all, epilogue.bias, false);
  add_access(all, epilogue.residual, false);
}
inline void add_accesses(std::vector<Access>& all, const ParameterPart& part) {
  add_access(all, part.value, true);
  add_access(all, part.grad, false);
}
template <class T>
void add_accesses(std::vector<Access>& all, std::span<const T> list) {
  for (const T& one : list) add_accesses(all, one);
}
template <class T>
requires std::is_trivially_copyable_v<T>
void add_accesses(std::vector<Access>&, const T&) {}

}  // namespace versor
