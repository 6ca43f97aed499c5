// A batch that is shared by ranks and micro-batches gives what the undivided batch gives:
// gradients, codebooks, dead codes, start, metrics. The ranks are threads here, and processes in
// tests/ranks.
#include <limits>
#include <set>

#include "tests/experiments/sharing.h"
#include "tests/thread_communicator.h"

namespace versor::testing {
namespace {

// What each rank ends with: all alike, bit for bit, after every step.
Trained train_on_ranks(const SharedCase& c, int ranks, int64_t accumulate) {
  std::vector<Trained> all(static_cast<size_t>(ranks));
  run_ranks(ranks, [&](ThreadCommunicator& communicator) {
    all[static_cast<size_t>(communicator.rank())] =
        train_shared(c, Sharing(communicator, accumulate));
  });
  for (const Trained& other : all) CHECK((other.bits == all[0].bits));
  return all[0];
}

}  // namespace

TEST_CASE("sharing: a batch is cut into parts that together are the batch" * cpu_only()) {
  for (int64_t parts : {1, 2, 3, 4, 7})
    for (int64_t images : {1, 2, 6, 80, 128}) {
      int64_t next = 0, least = images, most = 0;
      float weight = 0;
      for (int64_t i = 0; i < parts; ++i) {
        const BatchPart part = BatchPart::of(images, i, parts);
        CHECK(part.first == next);
        next += part.count;
        least = std::min(least, part.count);
        most = std::max(most, part.count);
        weight += part.weight();
        CHECK(part.worked_first() + part.worked_count() <= images);
      }
      CHECK(next == images);
      CHECK(most - least <= 1);
      CHECK(weight == doctest::Approx(1).epsilon(1e-6));
    }
}

TEST_CASE("sharing: ranks and micro-batches give what the undivided batch gives" * cpu_only()) {
  const std::set<std::string> with_all_numbers{"preset published", "preset versor", "two levels"};
  for (const SharedCase& c : shared_cases()) {
    CAPTURE(c.name);
    const Trained whole = train_shared(c, Sharing());
    {
      INFO("one rank, 4 micro-batches");
      check_equal(train_shared(c, Sharing(alone(), 4)), whole);
    }
    for (const auto& [ranks, accumulate] :
         {std::pair<int, int64_t>{3, 1}, {2, 1}, {4, 1}, {2, 2}}) {
      if (ranks != 3 && !with_all_numbers.contains(c.name)) continue;
      CAPTURE(ranks);
      CAPTURE(accumulate);
      check_equal(train_on_ranks(c, ranks, accumulate), whole);
    }
  }
}

TEST_CASE("sharing: with the same ranks the same bytes" * cpu_only()) {
  for (const SharedCase& c : shared_cases()) {
    if (c.name != "preset versor" && c.name != "vq gumbel" && c.name != "two levels") continue;
    CHECK((train_on_ranks(c, 3, 1).bits == train_on_ranks(c, 3, 1).bits));
  }
}

TEST_CASE("sharing: what one rank finds not finite stops all at the same step" * cpu_only()) {
  std::vector<std::map<std::string, std::string>> before(3), after(3);
  run_ranks(3, [&](ThreadCommunicator& communicator) {
    VqVae model(small(), Device(), Rng(3));
    Adam adam(model.flat_parameters(), {.lr = 1e-2f});
    TrainingStep step(model, adam, Sharing(communicator));
    FiniteGuard guard(adam.step_counter());
    const auto train_on = [&](float last) {
      Tensor batch = images_of(5, 7, 8, 8);
      // Image 3 is rank 1's.
      std::vector<float> values = batch.to_vector<float>();
      values[3 * 8 * 8 * 3] = last;
      batch.copy_from_host(values.data());
      const auto images = [&](const BatchPart& part) {
        return batch.rows(part.worked_first(), part.worked_first() + part.worked_count());
      };
      step(7, images, 0.25f, &guard);
    };
    const auto rank = static_cast<size_t>(communicator.rank());
    train_on(0.5f);
    check(!guard.found(), "test", "found too early");
    before[rank] = state_bits(model);
    train_on(std::numeric_limits<float>::quiet_NaN());
    train_on(0.5f);  // changes nothing any more
    after[rank] = state_bits(model);
    const auto found = guard.found();
    check(found && found->step == 1, "test", "not found");
    check(guard.finder(communicator) == 1, "test", "another rank");
  });
  for (size_t rank = 0; rank < 3; ++rank) {
    CHECK((after[rank] == before[rank]));
    CHECK((after[rank] == after[0]));
  }
}

}  // namespace versor::testing
