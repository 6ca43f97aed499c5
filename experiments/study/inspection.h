// What a model costs, in operations and memory, how its codes are used, and what a training step
// records: the parts of bin/inspect.
#pragma once

#include <string>
#include <vector>

#include "autograd/tape.h"
#include "vq/model.h"
#include "vq/usage.h"

namespace versor {

// Floating-point operations for one image, as tensor/trace.h counts them: two for each
// multiplication and addition of a convolution or a product, whatever algorithm computes it, and
// one for each operation on an element elsewhere. Most of what moves data counts as none.
struct WorkPerImage {
  double encoder = 0, quantizer = 0, decoder = 0;  // of a forward pass
  double training = 0;                             // forward, loss and backward, without updates

  double forward() const { return encoder + quantizer + decoder; }
};
// image: [H,W,C]. Changes nothing in the model, as all of these.
WorkPerImage work_per_image(VqModel& model, const Shape& image);

// The tape of one training step on images [N,H,W,C]: forward pass and loss.
std::vector<TapeEntry> training_tape(VqModel& model, const Tensor& images, float beta);

// Bytes of one training step.
struct BytesOfStep {
  size_t parameters = 0, buffers = 0, gradients = 0, moments = 0;  // moments: of Adam
  // What the forward pass keeps for the backward pass: for the batch as a whole, and per image.
  size_t saved = 0, saved_per_image = 0;

  size_t saved_for(int64_t batch) const {
    return saved + static_cast<size_t>(batch) * saved_per_image;
  }
};
BytesOfStep bytes_of_step(VqModel& model, const Shape& image, float beta);

// The tape as text, one line an entry, and as a graph for Graphviz' dot. Leaves have the names of
// the model's parameters.
std::string tape_text(const std::vector<TapeEntry>& tape, const Module& model);
std::string tape_dot(const std::vector<TapeEntry>& tape, const Module& model);

// How often each of K codes was used, as bars of at most 80 columns: the codes in the order of
// their use, in up to 16 lines.
std::string usage_bars(const std::vector<int64_t>& counts);

}  // namespace versor
