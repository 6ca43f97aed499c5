// The floor of a training step: the convolutions that it cannot do without, as bare oneDNN
// primitives. No reorders, no bias, nothing around them; each in the faster of plain NHWC and the
// format that the library chooses for itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace versor {

// One convolution pass of the step, and how it ran.
struct FloorItem {
  std::string name;      // "3x3 256->256 on 8x8, forward"
  int64_t count;         // times per step
  double flops;          // multiplications and additions of one
  double plain_seconds;  // median, x and y plain NHWC
  double any_seconds;    // median, formats of the library's choice
};

class Floor {
 public:
  // The convolutions of the VQ-VAE with these sizes. Throws Error in a build without oneDNN.
  Floor(int64_t batch, int64_t image_size, int64_t latent);
  ~Floor();
  Floor(const Floor&) = delete;
  Floor& operator=(const Floor&) = delete;

  double measure_once();  // runs all of them once, seconds of the faster formats by medians so far
  std::vector<FloorItem> items() const;
  double seconds() const;  // sum over the items: count * faster median

 private:
  struct State;
  State* state_;
};

}  // namespace versor
