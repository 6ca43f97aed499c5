// The result of a training does not depend on the earlier content of its memory: with all new
// memory filled with NaN (VERSOR_POISON=1) it ends with the same bytes as without.
#include "tests/experiments/programs.h"

namespace versor::testing {

TEST_CASE("poison: a training with memory full of NaN is the same training" *
          doctest::skip(without_programs())) {
  for (const std::string onednn : {"VERSOR_ONEDNN=1", "VERSOR_ONEDNN=0"}) {
    for (const std::string options :
         {"--preset versor --precision fp32", "--preset published --precision fp32",
          "--preset versor --precision bf16"}) {
      CAPTURE(onednn);
      CAPTURE(options);
      const TemporaryFolder temporary;
      const std::string plain = temporary / "plain", poisoned = temporary / "poisoned";
      const std::string more = "--epochs 2 " + options;
      REQUIRE(run(tiny(plain, more), {onednn, "VERSOR_POISON=0"}).code == 0);
      REQUIRE(run(tiny(poisoned, more), {onednn, "VERSOR_POISON=1"}).code == 0);
      for (const char* name :
           {"metrics.csv", "gradients.csv", "model.safetensors", "reconstructions.png"}) {
        CAPTURE(name);
        CHECK((read_file(poisoned + "/" + name) == read_file(plain + "/" + name)));
      }
    }
  }
}

}  // namespace versor::testing
