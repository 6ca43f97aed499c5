// The vector quantizer: nearest code, gradient estimator, losses, codebook update, in the order of
// the paper's section 2.2.
#pragma once

#include "autograd/variable.h"
#include "nn/finite_guard.h"
#include "vq/codebook.h"
#include "vq/estimators.h"

namespace versor {

// What one batch of R encoder vectors gave.
struct Quantized {
  Variable value;            // [R,D] what the decoder gets
  Variable codebook_loss;    // [1] mse(sg[e], q)
  Variable commitment_loss;  // [1] mse(e, sg[q])
  Tensor codes;              // [R,D] q, the nearest codes
  Tensor index;              // i32 [R]
  Tensor counts;             // i32 [K]
  Tensor replaced;           // i32 [1] dead codes replaced; undefined if none could be
};

class VectorQuantizer : public Module {
 public:
  VectorQuantizer(const CodebookOptions& options, Estimator estimator, Rng rng, Device device);

  // e [R,D]. In training the codebook is updated, after search and gather, unless the guard (may be
  // null), which looks at e first, has found something.
  Quantized operator()(const Variable& e, bool training, FiniteGuard* guard = nullptr);

  Codebook& codebook() { return codebook_; }

 private:
  Codebook codebook_;
  Estimator estimator_;
};

}  // namespace versor
