// The errata page: what in the paper's text and tables cannot be right, and what we did instead.
#pragma once

#include "experiments/report/section.h"

namespace versor {

Section errata();

}  // namespace versor
