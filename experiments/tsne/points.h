// Points for t-SNE, from a CSV file.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace versor {

struct Points {
  Tensor values;                 // f32 [n,D]
  bool guessed_heading = false;  // the first line is read as one, but it could have been a point
};

// Reads one point per line, as spreadsheets, pandas, R and NumPy write them:
//   separators  ';', ',', tabs or blanks, the same in all lines; extra blanks do not matter
//   numbers     with or without sign and exponent; with a decimal comma where ';' separates
//   heading     a first line without any number, or 0,1,...,D-1 above numbers with decimals, the
//               names that pandas gives to columns
//   index       where the heading's first name is empty (or "Unnamed: 0"), the first column is one
//   left out    empty lines, lines that begin with '#', a UTF-8 byte order mark, quotation marks
// Throws Error naming the file, the line and what is not understood there.
Points read_points(const std::string& path);

}  // namespace versor
