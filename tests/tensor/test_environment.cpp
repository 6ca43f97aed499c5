// Environment variables: unset, set, and set to something meaningless.
#include <doctest/doctest.h>

#include "tests/data/temporary_folder.h"

namespace versor::testing {
namespace {

constexpr const char* kName = "VERSOR_TEST_VARIABLE";

TEST_CASE("environment: a variable that is not set, or empty, has no value") {
  CHECK_FALSE(environment(kName));
  const EnvironmentVariable empty(kName, "");
  CHECK_FALSE(environment(kName));
  CHECK(environment_switch(kName, true));
  CHECK_FALSE(environment_switch(kName, false));
  CHECK(environment_choice(kName, {"forward", "reverse"}) == 0);
}

TEST_CASE("environment: values are read as they are") {
  {
    const EnvironmentVariable path(kName, "/a folder/with blanks ");
    CHECK(environment(kName) == "/a folder/with blanks ");
  }
  {
    const EnvironmentVariable off(kName, "0");
    CHECK_FALSE(environment_switch(kName, true));
  }
  {
    const EnvironmentVariable on(kName, "1");
    CHECK(environment_switch(kName, false));
  }
  const EnvironmentVariable word(kName, "reverse");
  CHECK(environment_choice(kName, {"forward", "reverse"}) == 1);
}

TEST_CASE("environment: nonsense is an error that names the variable and what it may be") {
  for (const std::string wrong : {"2", "yes", "01", " 1", "-"}) {
    CAPTURE(wrong);
    const EnvironmentVariable variable(kName, wrong.c_str());
    CHECK(error_of([] { environment_switch(kName, false); }) ==
          "[environment] VERSOR_TEST_VARIABLE is \"" + wrong + "\"; expected 0 or 1");
    CHECK(error_of([] {
            environment_choice(kName, {"forward", "reverse"});
          }) ==
          "[environment] VERSOR_TEST_VARIABLE is \"" + wrong + "\"; expected forward or reverse");
  }
}

}  // namespace
}  // namespace versor::testing
