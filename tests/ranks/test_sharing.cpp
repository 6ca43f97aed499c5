// Every quantizer trained by the ranks gives what one process gives, with the same bits on all
// ranks after every step, and with two micro-batches in each rank too.
#include "tensor/hash.h"
#include "tests/experiments/sharing.h"
#include "tests/ranks/ranks.h"

namespace versor::testing {
namespace {

TEST_CASE("sharing: ranks give what the undivided batch gives") {
  for (const SharedCase& c : shared_cases()) {
    CAPTURE(c.name);
    const Trained whole = train_shared(c, Sharing());
    for (int64_t accumulate : {1, 2}) {
      if (accumulate == 2 && !c.two_levels) continue;
      CAPTURE(accumulate);
      const Trained shared = train_shared(c, Sharing(world(), accumulate));
      check_equal(shared, whole);
      std::string hashes;
      for (const std::string& bits : shared.bits) hashes += str(hash_text(bits), " ");
      for (const std::string& others : world().all_gather(hashes)) CHECK((others == hashes));
    }
  }
}

}  // namespace
}  // namespace versor::testing
