// Reading and writing .npy: see npy.h.
#include "data/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "tensor/file.h"

namespace versor {
namespace {

constexpr const char* kName = "npy";
constexpr std::string_view kMagic = "\x93NUMPY";

// An element type, as the header spells it.
struct Integers {
  std::string_view name;
  size_t size;
  bool is_signed;
};
constexpr Integers kTypes[] = {{"|i1", 1, true}, {"<i2", 2, true},  {"<i4", 4, true},
                               {"<i8", 8, true}, {"|u1", 1, false}, {"<u2", 2, false},
                               {"<u4", 4, false}};

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads the header's dictionary, {'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }, whose
// keys come in any order.
class Dictionary {
 public:
  Dictionary(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Header read() {
    Header header;
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !has_descr) {
        header.descr = quoted();
        has_descr = true;
      } else if (key == "fortran_order" && !has_order) {
        header.fortran_order = truth();
        has_order = true;
      } else if (key == "shape" && !has_shape) {
        header.shape = tuple();
        has_shape = true;
      } else {
        malformed();
      }
      if (take(',')) continue;
      expect('}');
      break;
    }
    skip_blanks();
    if (!text_.empty() || !has_descr || !has_order || !has_shape) malformed();
    return header;
  }

 private:
  [[noreturn]] void malformed() const { fail(kName, path_, ": the header is malformed"); }

  void skip_blanks() {
    const size_t blanks = text_.find_first_not_of(" \t\r\n");
    text_.remove_prefix(std::min(blanks, text_.size()));
  }
  bool take(std::string_view word) {
    skip_blanks();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  bool take(char c) { return take(std::string_view(&c, 1)); }
  void expect(char c) {
    if (!take(c)) malformed();
  }

  std::string quoted() {
    const char quote = take('\'') ? '\'' : '"';
    if (quote == '"' && !take('"')) fail(kName, path_, ": structured arrays are not read");
    const size_t end = text_.find(quote);
    if (end == std::string_view::npos) malformed();
    const std::string word(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return word;
  }
  bool truth() {
    if (take("True")) return true;
    if (!take("False")) malformed();
    return false;
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> extents;
    expect('(');
    while (!take(')')) {
      skip_blanks();
      int64_t extent = 0;
      const auto [stop, error] = std::from_chars(text_.data(), text_.data() + text_.size(), extent);
      if (error != std::errc() || extent < 0) malformed();
      text_.remove_prefix(static_cast<size_t>(stop - text_.data()));
      extents.push_back(extent);
      if (take(',')) continue;
      expect(')');
      break;
    }
    return extents;
  }

  std::string_view text_;
  const std::string& path_;
};

// The number of elements; nothing if the data of the file cannot be so many.
std::optional<uint64_t> elements_of(const std::vector<int64_t>& shape, uint64_t most) {
  uint64_t elements = 1;
  for (int64_t extent : shape) {
    const auto e = static_cast<uint64_t>(extent);
    if (e != 0 && elements > most / e) return {};
    elements *= e;
  }
  return elements;
}

int64_t integer_at(const char* bytes, const Integers& type) {
  uint64_t bits = 0;
  std::memcpy(&bits, bytes, type.size);  // little-endian, as are all machines that we run on
  const auto unused = static_cast<int>(8 * (8 - type.size));
  return type.is_signed ? static_cast<int64_t>(bits << unused) >> unused
                        : static_cast<int64_t>(bits);
}

const Integers& type_of(const Header& header, const std::string& path) {
  check(!header.fortran_order, kName, path,
        " is in Fortran order; save numpy.ascontiguousarray() of it");
  check(header.shape.size() <= Shape::kMaxRank, kName, path, " has ", header.shape.size(),
        " axes, at most ", Shape::kMaxRank, " are read");
  for (const Integers& type : kTypes)
    if (type.name == header.descr) return type;
  fail(kName, path, " has elements of the type '", header.descr,
       "', not little-endian integers such as '<i4'");
}

// The header's text, and where the data begin.
std::pair<std::string, uint64_t> header_text(const InputFile& file) {
  const std::string& path = file.path();
  char start[12] = {};
  file.read(start, std::min<uint64_t>(file.size(), sizeof start), 0);
  check(std::string_view(start, kMagic.size()) == kMagic, kName, path, " is not a .npy file");
  const auto version = static_cast<unsigned char>(start[6]);
  check(version >= 1 && version <= 3, kName, path, " has version ", static_cast<int>(version),
        " of the format, 1 to 3 are read");
  const size_t width = version == 1 ? 2 : 4;  // bytes that hold the header's length
  uint32_t length = 0;
  std::memcpy(&length, start + 8, width);
  const uint64_t begin = 8 + width;
  check(file.size() >= begin && length <= file.size() - begin, kName, path,
        " is truncated: its header would have ", length, " bytes, the file has ", file.size());
  std::string text(length, '\0');
  file.read(text.data(), length, begin);
  return {text, begin + length};
}

}  // namespace

Tensor read_npy(const std::string& path) {
  const InputFile file(path);
  const auto [text, begin] = header_text(file);
  const Header header = Dictionary(text, path).read();
  const Integers& type = type_of(header, path);
  const uint64_t bytes = file.size() - begin;
  const auto elements = elements_of(header.shape, bytes / type.size);
  check(elements && *elements * type.size == bytes, kName, path, " has ", bytes,
        " bytes of data, which is not what its shape needs: it is truncated or damaged");
  std::string data(bytes, '\0');
  file.read(data.data(), bytes, begin);
  std::vector<int32_t> values(*elements);
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = integer_at(data.data() + i * type.size, type);
    check(value >= std::numeric_limits<int32_t>::min() &&
              value <= std::numeric_limits<int32_t>::max(),
          kName, path, " holds ", value, ", which is no 32-bit integer");
    values[i] = static_cast<int32_t>(value);
  }
  return Tensor::from(values, Shape(header.shape));
}

void write_npy(const std::string& path, const Tensor& tensor) {
  const std::vector<int32_t> values = tensor.to_vector<int32_t>();
  const Shape& extents = tensor.shape();
  std::string shape;
  for (int i = 0; i < extents.rank(); ++i) shape += str(i > 0 ? ", " : "", extents[i]);
  if (extents.rank() == 1) shape += ",";  // else Python would take (3) for a number
  std::string header = str("{'descr': '<i4', 'fortran_order': False, 'shape': (", shape, "), }");
  // The data begin at a multiple of 64 bytes; the header ends with a line break.
  const size_t start = kMagic.size() + 4, end = (start + header.size() + 1 + 63) / 64 * 64;
  header.resize(end - start - 1, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  OutputFile out(path);
  out.write(kMagic);
  out.write(std::string_view("\x01\0", 2));
  out.write(&length, 2);
  out.write(header);
  out.write(values.data(), values.size() * sizeof(int32_t));
  out.commit();
}

}  // namespace versor
