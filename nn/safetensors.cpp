// Reading and writing safetensors: see safetensors.h.
#include "nn/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/ops.h"

namespace versor {
namespace {

using nlohmann::json;

constexpr const char* kName = "safetensors";
constexpr uint64_t kLongestHeader = 100'000'000;  // the limit of the reference implementation

struct FileHandle {
  FileHandle(const std::string& path, int flags, mode_t mode)
      : fd(open(path.c_str(), flags, mode)) {
    check(fd >= 0, kName, "cannot open ", path, ": ", std::strerror(errno));
  }
  ~FileHandle() { close(fd); }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  int fd;
};

void read_exactly(int fd, void* target, size_t bytes, const std::string& path) {
  char* out = static_cast<char*>(target);
  while (bytes > 0) {
    const ssize_t n = read(fd, out, bytes);
    if (n < 0 && errno == EINTR) continue;
    check(n > 0, kName, path, " is truncated or cannot be read");
    out += n;
    bytes -= static_cast<size_t>(n);
  }
}

void write_exactly(int fd, const void* source, size_t bytes, const std::string& path) {
  const char* in = static_cast<const char*>(source);
  while (bytes > 0) {
    const ssize_t n = write(fd, in, bytes);
    if (n < 0 && errno == EINTR) continue;
    check(n > 0, kName, "cannot write ", path, ": ", std::strerror(errno));
    in += n;
    bytes -= static_cast<size_t>(n);
  }
}

// How an element type of the file becomes one of ours.
struct FileType {
  const char* name;
  size_t size;
  DType dtype;
};
constexpr FileType kTypes[] = {
    {"F32", 4, DType::f32}, {"BF16", 2, DType::bf16}, {"I32", 4, DType::i32}, {"U8", 1, DType::u8},
    {"F64", 8, DType::f32}, {"I64", 8, DType::i32},   {"F16", 2, DType::f32}};

float half_to_float(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const float sign = h >> 15 ? -1.f : 1.f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

// Converts elements whose type we do not keep.
void convert(Tensor& t, const std::string& type, const std::vector<char>& raw,
             const std::string& where) {
  const auto n = static_cast<size_t>(t.numel());
  for (size_t i = 0; i < n; ++i) {
    if (type == "F64") {
      double value;
      std::memcpy(&value, raw.data() + 8 * i, 8);
      t.data<float>()[i] = static_cast<float>(value);
    } else if (type == "F16") {
      uint16_t value;
      std::memcpy(&value, raw.data() + 2 * i, 2);
      t.data<float>()[i] = half_to_float(value);
    } else {
      int64_t value;
      std::memcpy(&value, raw.data() + 8 * i, 8);
      check(value >= INT32_MIN && value <= INT32_MAX, kName, where, ": ", value,
            " does not fit into 32 bits");
      t.data<int32_t>()[i] = static_cast<int32_t>(value);
    }
  }
}

// Reads one tensor as its header entry describes it. `data_begin`, `data_bytes`: where the file
// keeps the data, and how much there is.
Tensor read_tensor(int fd, const json& entry, uint64_t data_begin, uint64_t data_bytes,
                   const std::string& where) {
  const std::string type = entry.at("dtype").get<std::string>();
  const FileType* known = nullptr;
  for (const FileType& t : kTypes)
    if (type == t.name) known = &t;
  check(known != nullptr, kName, where, ": element type ", type, " is not supported");

  const json& shape_json = entry.at("shape");
  const json& offsets = entry.at("data_offsets");
  check(shape_json.is_array() && offsets.is_array() && offsets.size() == 2 &&
            shape_json.size() <= Shape::kMaxRank,
        kName, where, ": shape or data_offsets are malformed, or there are more than ",
        Shape::kMaxRank, " axes");
  std::vector<int64_t> extents;
  uint64_t elements = 1;
  for (const json& extent : shape_json) {
    check(extent.is_number_unsigned(), kName, where, ": an extent is not a count");
    const auto e = extent.get<uint64_t>();
    check(e <= data_bytes && (e == 0 || elements <= data_bytes / e), kName, where,
          ": the shape needs more data than the file has");
    elements *= e;
    extents.push_back(static_cast<int64_t>(e));
  }
  check(offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned(), kName, where,
        ": data_offsets are not counts");
  const auto begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  check(begin <= end && end <= data_bytes && end - begin == elements * known->size, kName, where,
        ": data_offsets ", begin, "..", end, " do not hold ", elements, " elements of ", type,
        ", or lie outside the file");

  Tensor t(Shape(std::span<const int64_t>(extents)), known->dtype);
  check(lseek(fd, static_cast<off_t>(data_begin + begin), SEEK_SET) >= 0, kName, where,
        ": cannot seek");
  if (size_of(known->dtype) == known->size && type != "F16") {
    read_exactly(fd, t.address(), end - begin, where);
  } else {
    std::vector<char> raw(end - begin);
    read_exactly(fd, raw.data(), raw.size(), where);
    convert(t, type, raw, where);
  }
  return t;
}

const char* file_type(DType dtype) {
  for (const FileType& t : kTypes)
    if (t.dtype == dtype) return t.name;
  fail(kName, "element type ", dtype, " has no name in the format");
}

// The header, with the offsets of the tensors laid one after the other. `path` is for an error.
std::string header_of(const SafetensorsFile& file, const std::string& path) {
  json header = json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const uint64_t end = offset + tensor.bytes();
    header[name] = {{"dtype", file_type(tensor.dtype())},
                    {"shape", std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end())},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  try {
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // data aligned to 8 bytes
    return text;
  } catch (const json::exception& e) {
    fail(kName, "cannot write ", path, ": a name or the metadata is not UTF-8 (", e.what(), ")");
  }
}

}  // namespace

const Tensor& SafetensorsFile::at(const std::string& name, const std::string& path) const {
  const auto it = tensors.find(name);
  check(it != tensors.end(), kName, path, " has no tensor \"", name, "\"");
  return it->second;
}

SafetensorsFile read_safetensors(const std::string& path) {
  const FileHandle file(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);  // a FIFO must not block
  struct stat info {};
  check(fstat(file.fd, &info) == 0 && S_ISREG(info.st_mode), kName, path, " is not a regular file");
  const auto size = static_cast<uint64_t>(info.st_size);
  check(size >= 8, kName, path, " is truncated: ", size, " bytes");
  uint64_t header_bytes = 0;
  read_exactly(file.fd, &header_bytes, 8, path);
  check(header_bytes <= kLongestHeader && header_bytes <= size - 8, kName, path,
        " is truncated or not a safetensors file: its header would have ", header_bytes,
        " bytes, the file has ", size);
  std::string text(header_bytes, '\0');
  read_exactly(file.fd, text.data(), header_bytes, path);

  SafetensorsFile result;
  try {
    std::set<std::string> seen;
    const auto no_duplicates = [&](int depth, json::parse_event_t event, json& value) {
      check(depth < 16, kName, path, ": the header is nested too deeply");
      if (depth == 1 && event == json::parse_event_t::key)
        check(seen.insert(value.get<std::string>()).second, kName, path, ": tensor ", value.dump(),
              " appears twice");
      return true;
    };
    const json header = json::parse(text, no_duplicates);
    check(header.is_object(), kName, path, ": the header is not an object");
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        result.metadata = entry.get<std::map<std::string, std::string>>();
      } else {
        result.tensors[name] = read_tensor(file.fd, entry, 8 + header_bytes,
                                           size - 8 - header_bytes, str(path, ": ", name));
      }
    }
  } catch (const json::exception& e) {
    fail(kName, path, ": the header is malformed (", e.what(), ")");
  }
  return result;
}

void write_safetensors(const std::string& path, const SafetensorsFile& file) {
  const std::string temporary = path + ".tmp";
  const std::string header = header_of(file, path);
  const FileHandle out(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  try {
    const uint64_t header_bytes = header.size();
    write_exactly(out.fd, &header_bytes, 8, temporary);
    write_exactly(out.fd, header.data(), header.size(), temporary);
    for (const auto& [name, tensor] : file.tensors) {
      const Tensor host = tensor.to({DeviceType::cpu, 0});
      write_exactly(out.fd, host.address(), host.bytes(), temporary);
    }
    check(fsync(out.fd) == 0, kName, "cannot write ", temporary, ": ", std::strerror(errno));
    check(std::rename(temporary.c_str(), path.c_str()) == 0, kName, "cannot rename ", temporary,
          " to ", path, ": ", std::strerror(errno));
  } catch (...) {
    unlink(temporary.c_str());  // a full disk should not stay full
    throw;
  }
}

Tensor to_torch_layout(const Tensor& tensor) {
  return tensor.shape().rank() == 4 ? ops::permute(tensor, {0, 3, 1, 2}) : tensor;
}

Tensor from_torch_layout(const Tensor& tensor) {
  return tensor.shape().rank() == 4 ? ops::permute(tensor, {0, 2, 3, 1}) : tensor;
}

std::map<std::string, Tensor> state_dict(const Module& module) {
  std::map<std::string, Tensor> state;
  for (const auto& [name, p] : module.named_parameters()) state[name] = to_torch_layout(p.value());
  for (const auto& [name, b] : module.named_buffers()) state[name] = to_torch_layout(b.value());
  return state;
}

void load_state_dict(Module& module, const SafetensorsFile& file, const std::string& path) {
  NamedVariables all = module.named_parameters();
  for (auto& buffer : module.named_buffers()) all.push_back(buffer);
  std::map<std::string, Tensor> values;  // all are checked before the first one is copied
  for (const auto& [name, variable] : all) {
    const Tensor value = from_torch_layout(file.at(name, path));
    check(value.shape() == variable.shape(), kName, path, ": ", name, " has the shape ",
          file.at(name, path).shape(), ", the model needs ",
          to_torch_layout(variable.value()).shape());
    values[name] = value;
  }
  for (const auto& [name, tensor] : file.tensors)
    check(values.contains(name), kName, path, " has a tensor \"", name,
          "\" that the model does not know");
  for (auto& [name, variable] : all) {
    const DType dtype = variable.value().dtype();
    Tensor value = values[name];
    if (value.dtype() != dtype) value = ops::cast(value, dtype);
    ops::copy(variable.mutable_value(), value.to(variable.value().device()));
  }
}

}  // namespace versor
