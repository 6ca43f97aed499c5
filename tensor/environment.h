// The environment variables that change how the library and its programs work. All are read here.
// A value that means nothing is an Error that names the variable, e.g.
//   [environment] VERSOR_TRACE is "maybe"; expected 0 or 1
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

namespace versor {

// The value of a variable; nothing where it is not set or empty.
std::optional<std::string> environment(const char* name);

// A switch, "0" or "1"; `otherwise` where it is not set or empty.
bool environment_switch(const char* name, bool otherwise);

// One of several words: its place in `choices`; 0, the default, where it is not set or empty.
int environment_choice(const char* name, std::initializer_list<const char*> choices);

}  // namespace versor
