// The straight path around the quantizer: what the decoder gets forward, and what the encoder gets
// back. The formulas are in row_math.h.
#pragma once

#include <string>

#include "autograd/variable.h"
#include "vq/row_math.h"

namespace versor {

// "ste", "rotation", "reflection", "published" or "rotation_unscaled". Throws Error for anything
// else.
Estimator parse_estimator(const std::string& name);
const char* estimator_name(Estimator estimator);

// Forward: q, bit for bit (`published`, `rotation_unscaled`: |e| qhat). Backward: the estimator's
// gradient to e; none reaches q.   e [R,D], q [R,D].
Variable pass_through(const Variable& e, const Tensor& q, Estimator estimator);

}  // namespace versor
