// The file names of published runs.
#include <cmath>

#include "experiments/study/published_runs.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  const std::string name(input.substr(0, input.find('\0')));  // a name ends there
  std::optional<PublishedName> found;
  if (!accepts(name, [&] { found = parse_published_name(name); }) || !found) return;
  require(std::isfinite(found->beta) && found->beta >= 0 && found->codes >= 0, "numbers of a run");
  const auto again =
      parse_published_name(str("beta_", std::fixed, found->beta, "_k", found->codes));
  require(again && again->codes == found->codes, "K comes back");
}

}  // namespace

FUZZ_TARGET(published, read)

}  // namespace versor::fuzzing
