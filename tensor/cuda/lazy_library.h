// A shared library that is opened when its first function is called: a program that does not need
// it starts without it, and sooner.
#pragma once

#include <dlfcn.h>

#include <string>

#include "tensor/error.h"

namespace versor::cuda {

// Opens libNAME.so of the version that we were compiled for, else of any version.
inline void* open_library(const char* name, int version) {
  const std::string file = std::string("lib") + name + ".so", numbered = str(file, ".", version);
  for (const std::string& candidate : {numbered, file})
    if (void* opened = dlopen(candidate.c_str(), RTLD_NOW | RTLD_GLOBAL)) return opened;
  fail("cuda", "cannot load ", name, ": ", dlerror());
}

// Forwards a call to the library's function of that name, which has `function`'s type.
template <auto function, class... Arguments>
auto forward(void* library, const char* name, Arguments... arguments) {
  static const auto found = reinterpret_cast<decltype(function)>(dlsym(library, name));
  check(found != nullptr, "cuda", "the installed library has no function ", name);
  return found(arguments...);
}

}  // namespace versor::cuda
