// One training step: the unit that the trainer repeats, bin/bench times and bin/one_step writes out
// (one_step.h). A batch may be shared: by the ranks of a Communicator, and by the micro-batches
// that each of them works on one after the other. Whatever the step changes and reports is that of
// the whole batch, the same on all ranks.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "nn/adam.h"
#include "nn/finite_guard.h"
#include "nn/gradient_sums.h"
#include "vq/model.h"

namespace versor {

// How batches are shared.
class Sharing {
 public:
  explicit Sharing(Communicator& communicator = alone(), int64_t accumulate = 1)
      : communicator_(communicator), accumulate_(accumulate) {}

  Communicator& communicator() const { return communicator_; }
  int64_t accumulate() const { return accumulate_; }
  // This rank's parts of a batch of so many images, one for each micro-batch. In the order of the
  // ranks the parts of all are the batch.
  std::vector<BatchPart> parts(int64_t images) const;

 private:
  Communicator& communicator_;
  int64_t accumulate_;
};

// What a rank computes of one part of a batch.
struct StepPart {
  BatchPart part;
  VqVaeOutput output;
  VqVaeLoss loss;
};

struct StepResult {
  std::vector<StepPart> parts;  // this rank's
  Tensor replaced;              // i32 [1] dead codes replaced; undefined if none could be

  // Of the whole batch, if it is not shared.
  const VqVaeOutput& output() const { return parts.back().output; }
  const VqVaeLoss& loss() const { return parts.back().loss; }
};

// The images of a part, [n,H,W,C] with n = part.worked_count().
using ImagesOfPart = std::function<Tensor(const BatchPart&)>;

class TrainingStep {
 public:
  TrainingStep(VqModel& model, Adam& adam, const Sharing& sharing = Sharing());

  // Forward passes, backward passes, update of the codebooks, Adam, for a batch of so many images.
  // Gradients are kept until the next step. The guard (may be null) checks the latents, the loss
  // and every gradient; if one is not finite, nothing is updated.
  StepResult operator()(int64_t images, const ImagesOfPart& images_of, float beta,
                        FiniteGuard* guard = nullptr);
  // Forward passes alone. With `updates` they update the codebooks.
  StepResult evaluate(int64_t images, const ImagesOfPart& images_of, float beta, bool updates);

 private:
  StepPart forward(const BatchPart& part, const ImagesOfPart& images_of, float beta,
                   BatchMeans& means) const;
  void sweep(const std::vector<BatchPart>& parts, const ImagesOfPart& images_of,
             BatchMeans& means) const;

  VqModel& model_;
  Adam& adam_;
  Sharing sharing_;
  std::unique_ptr<GradientSums> sums_;  // null if the rank is alone
};

// A step on a batch that is not shared, images [N,H,W,C].
StepResult training_step(VqModel& model, Adam& adam, const Tensor& images, float beta,
                         FiniteGuard* guard = nullptr);

}  // namespace versor
