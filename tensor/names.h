// Names of enumerators. An enumeration that users choose from has one list of names, from which
// printing, parsing and the choices on a command line come:
//   template <> struct EnumNames<CodebookLearning> {
//     static constexpr Named<CodebookLearning> all[] = {{CodebookLearning::ema, "ema"},
//     {CodebookLearning::gradient, "gradient"}};
//   };
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace versor {

template <class E>
struct Named {
  E value;
  const char* name;
};

template <class E>
struct EnumNames;

template <class E>
requires requires {
  EnumNames<E>::all;
}
const char* name_of(E value) {
  for (const Named<E>& entry : EnumNames<E>::all)
    if (entry.value == value) return entry.name;
  fail("name", "enumerator ", static_cast<int>(value), " has none");
}

// In the order of the list.
template <class E>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  for (const Named<E>& entry : EnumNames<E>::all) names.emplace_back(entry.name);
  return names;
}

// Throws Error, which lists the names, for anything else.
template <class E>
E parse_name(const std::string& text) {
  std::string names;
  for (const Named<E>& entry : EnumNames<E>::all) {
    if (text == entry.name) return entry.value;
    names += str(names.empty() ? "" : ", ", entry.name);
  }
  fail("name", "unknown \"", text, "\"; expected one of ", names);
}

}  // namespace versor
