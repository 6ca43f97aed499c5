// Points from a CSV file: see points.h.
#include "experiments/tsne/points.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <vector>

#include "tensor/file.h"

namespace versor {
namespace {

constexpr std::string_view kBlanks = " \t\r";
constexpr size_t kShown = 40;  // characters of a field in an error

// Without blanks around it, and without quotation marks.
std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  text = text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return text;
}

struct Line {
  int64_t number;  // from 1
  std::string_view text;
};

// The lines that say something.
std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> all;
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const std::string_view line = text.substr(at, text.find('\n', at) - at);
    at += line.size() + 1;
    ++number;
    const std::string_view content = trimmed(line);
    if (!content.empty() && content.front() != '#') all.push_back({number, line});
  }
  return all;
}

// Of a file that begins with these lines; the first may be a title without any.
char separator_of(std::string_view first, std::string_view second) {
  for (const std::string_view line : {trimmed(first), trimmed(second)})
    for (char separator : {';', ',', '\t'})
      if (line.find(separator) != std::string_view::npos) return separator;
  return ' ';
}

// A separator at the end of a line begins no further field; several blanks are one.
std::vector<std::string_view> fields(std::string_view line, char separator) {
  std::vector<std::string_view> all;
  for (size_t at = 0; at < line.size();) {
    const std::string_view field = line.substr(at, line.find(separator, at) - at);
    at += field.size() + 1;
    if (separator != ' ' || !trimmed(field).empty()) all.push_back(trimmed(field));
  }
  return all;
}

// False where the text is no number, or one that f32 does not reach. NaN and infinity are numbers
// here: tsne() refuses them.
bool parse(std::string_view text, char separator, float& value) {
  std::string digits(text);
  if (separator == ';' && digits.find('.') == std::string::npos)
    if (const size_t comma = digits.find(','); comma != std::string::npos) digits[comma] = '.';
  const bool plus = digits.size() > 1 && digits[0] == '+' && digits[1] != '-';
  const char* end = digits.data() + digits.size();
  double number = 0;  // so that one too small for f32 becomes 0
  const auto [stop, error] = std::from_chars(digits.data() + plus, end, number);
  value = static_cast<float>(number);
  return stop == end && error == std::errc() && std::isinf(value) == std::isinf(number);
}

bool is_plain_integer(std::string_view text) {
  return !text.empty() && text.find_first_not_of("+-0123456789") == std::string_view::npos;
}

bool has_letters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
  });
}

bool is_index_name(std::string_view name) {
  return name.empty() || name == "Unnamed: 0";
}

// Whether the names are pandas' own for columns without names: 0, 1, ...
bool counts_from_zero(const std::vector<std::string_view>& names) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] != std::to_string(i)) return false;
  return true;
}

struct Heading {
  bool there = false, guessed = false, names_index = false;
};

// What the first line is; `second` is the one after it, if any.
Heading heading_of(const std::vector<std::string_view>& first,
                   const std::vector<std::string_view>& second, char separator) {
  float value = 0;
  const auto is_number = [&](std::string_view field) { return parse(field, separator, value); };
  const bool names_index = first.size() > 1 && is_index_name(first[0]) && !first[1].empty();
  const bool named = std::none_of(first.begin(), first.end(), is_number) &&
                     std::any_of(first.begin(), first.end(), has_letters);
  if (named || (names_index && counts_from_zero({first.begin() + 1, first.end()})))
    return {.there = true, .names_index = names_index};
  const bool guessed = counts_from_zero(first) && first.size() == second.size() &&
                       std::none_of(second.begin(), second.end(), is_plain_integer);
  return {.there = guessed, .guessed = guessed};
}

void check_encoding(std::string_view text, const std::string& path) {
  check(!text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff"), "csv", path,
        " is UTF-16; save it as UTF-8");
}

}  // namespace

Points read_points(const std::string& path) {
  const std::string content = read_file(path);
  std::string_view text = content;
  check_encoding(text, path);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<Line> lines = lines_of(text);
  Points points;
  check(!lines.empty(), "csv", path, " has no points");
  const std::string_view first = lines[0].text, second = lines[lines.size() > 1].text;
  const char separator = separator_of(first, second);
  const Heading heading =
      heading_of(fields(first, separator), fields(second, separator), separator);
  if (heading.there) lines.erase(lines.begin());
  check(!lines.empty(), "csv", path, " has no points, only a heading");
  points.guessed_heading = heading.guessed;
  const size_t skipped = heading.names_index;  // columns in front

  std::vector<float> values;
  int64_t d = 0;
  for (const Line& line : lines) {
    const auto row = fields(line.text, separator);
    for (size_t i = skipped; i < row.size(); ++i) {
      values.emplace_back();
      check(parse(row[i], separator, values.back()), "csv", path, ", line ", line.number, ": \"",
            row[i].substr(0, kShown), "\" is not a number of f32");
    }
    const auto numbers = static_cast<int64_t>(row.size() - std::min(skipped, row.size()));
    if (&line == &lines.front()) d = numbers;
    check(numbers > 0, "csv", path, ", line ", line.number, ": there is no number");
    check(numbers == d, "csv", path, ", line ", line.number, ": ", numbers,
          " numbers where the lines before have ", d);
  }
  points.values = Tensor::from(values, {static_cast<int64_t>(lines.size()), d});
  return points;
}

}  // namespace versor
