// The one exception type of the library, and the helpers that word it.
// Form of a message: "[operation] what is wrong (the shapes)", e.g.
//   [conv2d] input channels 3 do not match weight channels 4 (input [128,32,32,3], weight
//   [128,4,4,4])
// Programs catch Error in main(), print "error: ..." and exit 1.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace versor {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Concatenates anything that can be streamed.
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(const char* operation, const Parts&... parts) {
  throw Error(str("[", operation, "] ", parts...));
}

// Throws unless `ok`. The message is only put together when it is needed.
template <class... Parts>
void check(bool ok, const char* operation, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail(operation, parts...);
}

}  // namespace versor
