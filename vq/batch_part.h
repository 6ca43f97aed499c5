// The part of a batch that one process, or one of its micro-batches, works on. Everything that a
// training step computes is that of the whole batch: losses and gradients are sums over the parts,
// weighted by their images; counts and sums of the codebook are added up; random numbers are those
// of the row's place in the batch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "autograd/variable.h"
#include "tensor/communicator.h"

namespace versor {

// Images first..first+count-1 of a batch of `images`, one of `parts`. A part without any has weight
// 0 and works on one image all the same, so that all processes make the same calls.
struct BatchPart {
  int64_t images = 0, first = 0, count = 0, parts = 1;

  // Part `index` of `parts`, whose sizes differ by at most 1.
  static BatchPart of(int64_t images, int64_t index, int64_t parts) {
    const int64_t first = images * index / parts;
    return {images, first, images * (index + 1) / parts - first, parts};
  }

  // Not whether it has all images: the only part with images makes the same calls as the others.
  bool is_whole() const { return parts == 1; }
  bool is_empty() const { return count == 0; }
  float weight() const {
    return is_whole() ? 1.f : static_cast<float>(count) / static_cast<float>(images);
  }
  // The images that it works on.
  int64_t worked_first() const { return is_empty() ? 0 : first; }
  int64_t worked_count() const { return std::max<int64_t>(count, 1); }
};

// The same of rows, of which each image has equally many. The default stands for a whole batch.
struct RowPart {
  int64_t total = 0, first = 0;
  bool is_whole = true, is_empty = false;

  RowPart() = default;
  RowPart(const BatchPart& part, int64_t rows_per_image)
      : total(part.images * rows_per_image),
        first(part.worked_first() * rows_per_image),
        is_whole(part.is_whole()),
        is_empty(part.is_empty()) {}
};

// Means over the rows of a whole batch, where each forward pass sees a part of them. Terms of the
// loss that are not means themselves need them, such as the entropy of the mean probabilities.
//   BatchMeans means(communicator, parts);  // parts: the micro-batches of each process
//   if (means.needs_sweep()) { for all parts: means.begin(part, true); forward without gradients }
//   for all parts: means.begin(part, false); forward, backward
// With one part in each process a mean is summed over the processes where it is needed. With
// several, a first sweep over all of them adds up what the second uses.
class BatchMeans {
 public:
  BatchMeans(Communicator& communicator, int64_t parts)
      : communicator_(communicator), parts_(parts) {}

  bool needs_sweep() const { return parts_ > 1; }
  void begin(const BatchPart& part, bool is_sweep);
  // The mean over the batch, [1,K], given that over the part. Its gradient is passed on as it is:
  // the loss of each part is weighted, and so the gradients of all parts add up to that of the
  // batch.
  Variable operator()(const Variable& of_part);

 private:
  Communicator& communicator_;
  int64_t parts_;
  float weight_ = 1;
  bool is_sweep_ = false, is_summed_ = false;
  size_t next_ = 0;            // of the means of this pass
  std::vector<Tensor> means_;  // over all parts
};

}  // namespace versor
