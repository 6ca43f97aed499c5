// The errata page: errors in the paper's text and tables, and what we did instead.
#pragma once

#include "experiments/report/section.h"

namespace versor {

Section errata();

}  // namespace versor
