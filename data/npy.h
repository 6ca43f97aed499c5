// Arrays of integers as .npy files, the format of numpy's save() and load(): a magic string, a
// version, a header that is a Python dictionary with element type, order and shape, the raw data.
// Format description: numpy.lib.format in numpy's documentation, and NEP 1.
// Reading trusts nothing: every size is checked against the size of the file first, and the memory
// taken is in proportion to the file's size, whatever its header promises.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace versor {

// The array as i32, on the CPU. Takes versions 1 to 3, C order, up to four axes, and the integer
// types i1, i2, i4, i8, u1, u2 and u4, little-endian. Throws Error naming the file if it is
// missing, truncated, malformed, of another kind, or has a number that i32 cannot hold.
Tensor read_npy(const std::string& path);

// Writes i32 of any shape, on any device, in version 1.0. The file appears whole or not at all.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace versor
