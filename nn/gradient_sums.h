// Sums the gradients of all ranks while backward() is still running. Gradients are gathered in
// buckets of a flat buffer, in the order in which backward() completes them (the last layers
// first); a bucket that is complete starts on its way while the rest is being computed. The first
// step finds the order out. Li et al., "PyTorch Distributed: Experiences on Accelerating Data
// Parallel Training" (2020).
//   backward(loss, sums.leaf_done());  // of the last micro-batch, to which those before have added
//   sums.finish();                     // each grad() is the sum, a view of the buffer
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "nn/flat_parameters.h"
#include "tensor/communicator.h"

namespace versor {

class GradientSums {
 public:
  // A bucket is large enough that its time is bandwidth and not latency, and small enough that the
  // last one, which nothing hides, is short.
  static constexpr int64_t kBucketBytes = int64_t{4} << 20;

  GradientSums(std::vector<Variable> parameters, Communicator& communicator,
               int64_t bucket_bytes = kBucketBytes);

  std::function<void(const Variable&)> leaf_done();
  void finish();

  // The number of elements of each bucket; none before the order is known.
  std::vector<int64_t> bucket_sizes() const;

 private:
  struct Bucket {
    size_t begin, end;    // parameters in list_
    int64_t first, last;  // elements in flat_
    size_t open;          // parameters that are not complete
  };
  void make_buckets();
  void start_next();
  void restart();

  std::vector<Variable> parameters_;
  Communicator& communicator_;
  int64_t bucket_bytes_;
  std::map<const void*, size_t> places_;  // of parameters, by the address of their values
  std::vector<size_t> completed_;         // in the first step: places in parameters_
  std::optional<ParameterList> list_;     // in the order of completion, once it is known
  Tensor flat_;
  std::vector<Bucket> buckets_;
  size_t next_ = 0;  // the first bucket that has not been started
};

}  // namespace versor
