// Points from a CSV file: see points.h.
#include "experiments/tsne/points.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <string_view>
#include <vector>

#include "tensor/file.h"

namespace versor {
namespace {

// The fields of a line, without the blanks around them.
std::vector<std::string_view> fields(std::string_view line) {
  std::vector<std::string_view> all;
  for (size_t at = 0; at < line.size();) {
    const std::string_view field = line.substr(at, line.find(',', at) - at);
    at += field.size() + 1;
    const size_t begin = std::min(field.find_first_not_of(" \t\r"), field.size());
    all.push_back(field.substr(begin, field.find_last_not_of(" \t\r") + 1 - begin));
  }
  return all;
}

// False where the text is no number, or one that f32 does not reach. NaN and infinity are numbers
// here: tsne() refuses them.
bool parse(std::string_view text, float& value) {
  double number = 0;  // so that one too small for f32 becomes 0
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  value = static_cast<float>(number);
  return stop == end && error == std::errc() && std::isinf(value) == std::isinf(number);
}

}  // namespace

Tensor read_points(const std::string& path) {
  std::istringstream in(read_file(path));
  std::vector<float> values;
  int64_t n = 0, d = 0, number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const std::vector<std::string_view> row = fields(line);
    if (row.empty() || (row.size() == 1 && row[0].empty())) continue;
    const size_t before = values.size();
    std::string_view wrong;
    for (const std::string_view field : row) {
      float value = 0;
      if (parse(field, value))
        values.push_back(value);
      else
        wrong = field;
    }
    const auto numbers = static_cast<int64_t>(values.size() - before);
    if (number == 1 && numbers == 0) continue;
    check(numbers == static_cast<int64_t>(row.size()), "csv", path, ", line ", number, ": \"",
          wrong, "\" is not a number of f32");
    check(n == 0 || numbers == d, "csv", path, ", line ", number, ": ", numbers,
          " numbers where the lines before have ", d);
    d = numbers;
    ++n;
  }
  check(n > 0, "csv", path, " has no points; one on a line, numbers separated by commas");
  return Tensor::from(values, {n, d});
}

}  // namespace versor
