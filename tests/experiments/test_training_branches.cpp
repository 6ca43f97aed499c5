// The training step has no hazards: nothing that runs beside a branch writes what the branch uses,
// or uses what it writes, for any quantizer and model.
#include "experiments/run/training_step.h"
#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/hazards.h"
#include "tests/vq/family.h"
#include "tests/vq/models.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor::testing {
namespace {

// Two steps of a model, watched.
template <class Model>
void check_steps(const VqVaeOptions& options) {
  const Tensor images = images_of(7);
  Model model(options, test_device(), Rng(5));
  start(model, images);
  Adam adam(model.flat_parameters(), {.lr = 1e-2f});
  const Tensor step = ops::zeros({1}, test_device(), DType::i32);
  FiniteGuard guard(step);
  HazardChecker checker;
  const Profile profile;
  for (int i = 0; i < 2; ++i) training_step(model, adam, images, 0.25f, &guard);
  CHECK(checker.found == std::set<std::string>{});
  CHECK(checker.branches > 2 * 8);
  CHECK_FALSE(guard.found());
  // The checker has seen every call that is traced.
  std::map<std::string, int64_t> traced;
  for (const auto& [name, entry] : profile.entries()) traced[name] = entry.calls;
  CHECK(checker.calls == traced);
}

TEST_CASE("training step: branches have no hazards, with any quantizer and model") {
  for (const FamilyCase& c : family())
    for (const DType activations : {DType::f32, DType::bf16}) {
      CAPTURE(c.name);
      CAPTURE(activations);
      VqVaeOptions options;
      options.quantizer = c.options;
      options.activations = activations;
      check_steps<VqVae>(options);
    }
  for (const DType activations : {DType::f32, DType::bf16}) {
    VqVaeOptions options = small();
    options.activations = activations;
    check_steps<VqVae2>(options);
  }
}

}  // namespace
}  // namespace versor::testing
