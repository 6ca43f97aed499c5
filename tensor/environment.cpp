// Environment variables: see environment.h.
#include "tensor/environment.h"

#include <cstdlib>

#include "tensor/error.h"

namespace versor {

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

int environment_choice(const char* name, std::initializer_list<const char*> choices) {
  const std::optional<std::string> value = environment(name);
  if (!value) return 0;
  std::string expected;
  int place = 0;
  for (const char* choice : choices) {
    if (*value == choice) return place;
    expected += (place++ == 0 ? "" : " or ") + std::string(choice);
  }
  fail("environment", name, " is \"", *value, "\"; expected ", expected);
}

bool environment_switch(const char* name, bool otherwise) {
  return environment(name) ? environment_choice(name, {"0", "1"}) == 1 : otherwise;
}

}  // namespace versor
