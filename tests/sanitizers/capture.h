// doctest's CAPTURE for clang++ before 16, which cannot capture names of structured bindings in
// lambdas: a reference to the value is captured instead. The Makefile includes this first.
#pragma once

#include <doctest/doctest.h>

#undef CAPTURE
#define CAPTURE(x) VERSOR_CAPTURE(DOCTEST_ANONYMOUS(captured_), x)
#define VERSOR_CAPTURE(name, x) \
  const auto& name = x;         \
  INFO(#x " := ", name)
