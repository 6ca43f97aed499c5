// Points for t-SNE, from a CSV file.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace versor {

// Points [n,D], one on a line; a first line without any number is a heading. Throws Error naming
// the file and the line.
Tensor read_points(const std::string& path);

}  // namespace versor
