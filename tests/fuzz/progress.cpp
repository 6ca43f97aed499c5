// The position of a run in a checkpoint, as text: accepted text gives a position that can be shown
// and that is the same after writing and reading it again.
#include "experiments/run/checkpoint.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  constexpr int64_t kCodes = 2;
  const std::string path = "trainer.safetensors", text(input);
  accepts(path, [&] {
    const Progress p = parse_progress(text, kCodes, path);
    require(p.epoch >= 0 && p.rows.size() == static_cast<size_t>(p.epoch), "a row for each epoch");
    for (const PassMetrics* pass : {&p.train, &p.test}) {
      require(pass->batches() >= 0, "no fewer than no batches");
      require(pass->histogram().counts().size() == kCodes, "a count for each code");
      for (int64_t count : pass->histogram().counts())
        require(count >= 0 && count <= int64_t{1} << 53, "counts can be added up");
    }
    require(!metrics_row(p.epoch, p.train, p.test).empty(), "it can be shown");
    const std::string again = to_text(p);
    require(to_text(parse_progress(again, kCodes, path)) == again, "it comes back");
  });
}

}  // namespace

FUZZ_TARGET(progress, read)

}  // namespace versor::fuzzing
