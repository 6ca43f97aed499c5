// Reading and writing safetensors: see safetensors.h.
#include "nn/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/file.h"
#include "tensor/hash.h"
#include "tensor/ops.h"

namespace versor {
namespace {

using nlohmann::json;

constexpr const char* kName = "safetensors";
// Enough for some 100,000 tensors. The reference implementation allows six times as much, but a
// parsed header takes many times its size in memory, which a hostile file should not get.
constexpr uint64_t kLongestHeader = uint64_t{16} << 20;
constexpr const char* kChecksum = "versor_fnv1a64";  // in the metadata of a file that we wrote

// How an element type of the file becomes one of ours.
struct FileType {
  const char* name;
  size_t size;
  DType dtype;
  bool converted = false;
};
constexpr FileType kTypes[] = {{"F32", 4, DType::f32},       {"BF16", 2, DType::bf16},
                               {"I32", 4, DType::i32},       {"U8", 1, DType::u8},
                               {"F64", 8, DType::f32, true}, {"I64", 8, DType::i32, true},
                               {"F16", 2, DType::f32, true}};

float half_to_float(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const float sign = h >> 15 ? -1.f : 1.f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

// Converts elements of a type that we do not keep.
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

// A tensor as the header describes it: its elements, and where they lie in the data.
struct Described {
  std::string name;
  const FileType* type;
  Shape shape;
  uint64_t begin, end;
};

// `data_bytes`: how much data the file has.
Described describe(const std::string& name, const json& entry, uint64_t data_bytes,
                   const std::string& path) {
  const std::string where = str(path, ": ", name), type = entry.at("dtype").get<std::string>();
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
  return {name, known, Shape(std::span<const int64_t>(extents)), begin, end};
}

// As the format demands, the tensors fill the data without overlaps or gaps, so they take no more
// memory than the file has bytes. They need not be aligned: elements are copied, never read in
// place.
void check_ranges(std::vector<Described> all, uint64_t data_bytes, const std::string& path) {
  std::sort(all.begin(), all.end(), [](const Described& a, const Described& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const Described& t : all) {
    check(t.begin >= end, kName, path, ": ", t.name, " overlaps with the tensor before it");
    check(t.begin == end, kName, path, ": no tensor has the bytes ", end, "..", t.begin,
          " of the data");
    end = t.end;
  }
  check(end == data_bytes, kName, path, ": no tensor has the last ", data_bytes - end,
        " bytes of the data");
}

Tensor read_tensor(const InputFile& file, const Described& described, uint64_t data_begin) {
  const FileType& type = *described.type;
  const uint64_t bytes = described.end - described.begin;
  Tensor t(described.shape, type.dtype);
  if (type.converted) {
    std::vector<char> raw(bytes);
    file.read(raw.data(), bytes, data_begin + described.begin);
    convert(t, type.name, raw, str(file.path(), ": ", described.name));
  } else {
    file.read(t.address(), bytes, data_begin + described.begin);
  }
  return t;
}

// Names, types, shapes and bytes of all tensors, and the metadata.
std::string checksum_of(const SafetensorsFile& file) {
  uint64_t hash = kHashStart;
  for (const auto& [name, tensor] : file.tensors) {
    const Tensor host = tensor.to({DeviceType::cpu, 0});
    hash = hash_text(str(name, '\n', tensor.dtype(), tensor.shape(), '\n'), hash);
    hash = hash_bytes(host.address(), host.bytes(), hash);
  }
  for (const auto& [key, value] : file.metadata)
    hash = hash_text(str(key, '\n', value, '\n'), hash);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

const char* file_type(DType dtype) {
  for (const FileType& t : kTypes)
    if (t.dtype == dtype) return t.name;
  fail(kName, "element type ", dtype, " has no name in the format");
}

using Entry = std::pair<const std::string, Tensor>;

// The tensors in the order of their data: the widest elements first, so that all are aligned.
std::vector<const Entry*> in_order(const SafetensorsFile& file) {
  std::vector<const Entry*> all;
  for (const Entry& entry : file.tensors) all.push_back(&entry);
  std::stable_sort(all.begin(), all.end(), [](const Entry* a, const Entry* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });
  return all;
}

// The header; the tensors' offsets follow one after the other. `path` is for an error.
std::string header_of(const SafetensorsFile& file, const std::string& path) {
  json header = json::object();
  header["__metadata__"] = file.metadata;
  header["__metadata__"][kChecksum] = checksum_of(file);
  uint64_t offset = 0;
  for (const Entry* entry : in_order(file)) {
    const auto& [name, tensor] = *entry;
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
  const InputFile file(path);
  const uint64_t size = file.size();
  check(size >= 8, kName, path, " is truncated: ", size, " bytes");
  uint64_t header_bytes = 0;
  file.read(&header_bytes, 8, 0);
  check(header_bytes <= kLongestHeader && header_bytes <= size - 8, kName, path,
        " is truncated or not a safetensors file: its header would have ", header_bytes,
        " bytes, the file has ", size);
  std::string text(header_bytes, '\0');
  file.read(text.data(), header_bytes, 8);

  SafetensorsFile result;
  std::vector<Described> described;
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
      if (name == "__metadata__")
        result.metadata = entry.get<std::map<std::string, std::string>>();
      else
        described.push_back(describe(name, entry, size - 8 - header_bytes, path));
    }
  } catch (const json::exception& e) {
    fail(kName, path, ": the header is malformed (", e.what(), ")");
  }
  check_ranges(described, size - 8 - header_bytes, path);
  for (const Described& d : described) {
    result.tensors[d.name] = read_tensor(file, d, 8 + header_bytes);
    result.types[d.name] = d.type->name;
  }
  if (const auto checksum = result.metadata.extract(kChecksum))
    check(checksum.mapped() == checksum_of(result), kName, path,
          " is damaged: its content does not match its checksum");
  return result;
}

void write_safetensors(const std::string& path, const SafetensorsFile& file,
                       const std::string& previous) {
  const std::string header = header_of(file, path);
  const uint64_t header_bytes = header.size();
  OutputFile out(path);
  out.write(&header_bytes, 8);
  out.write(header);
  for (const Entry* entry : in_order(file)) {
    const Tensor host = entry->second.to({DeviceType::cpu, 0});
    out.write(host.address(), host.bytes());
  }
  if (!previous.empty()) out.keep_previous_as(previous);
  out.commit();
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

namespace {

// What is wrong with a file's tensor for a variable of the module; "" if nothing is.
std::string misfit(const std::string& name, const Variable& variable, const SafetensorsFile& file,
                   bool parameter) {
  const auto it = file.tensors.find(name);
  if (it == file.tensors.end()) return str("there is no tensor \"", name, "\"");
  const Tensor& tensor = it->second;
  const DType type = tensor.dtype();
  if (parameter && type != DType::f32 && type != DType::bf16)
    return str(name, " has the type ", type, ", a parameter needs floating-point numbers");
  const Tensor needed = to_torch_layout(variable.value());
  if (tensor.shape() == needed.shape()) return "";
  return str(name, " has the shape ", tensor.shape(), ", the model needs ", needed.shape());
}

// The first few of many, in one line.
std::string joined(const std::vector<std::string>& all) {
  constexpr size_t kMost = 4;
  std::string line;
  for (size_t i = 0; i < std::min(all.size(), kMost); ++i) line += (i > 0 ? "; " : "") + all[i];
  return all.size() > kMost ? str(line, "; and ", all.size() - kMost, " more") : line;
}

}  // namespace

void load_state_dict(Module& module, const SafetensorsFile& file, const std::string& path) {
  NamedVariables all = module.named_parameters();
  const size_t parameters = all.size();
  for (auto& buffer : module.named_buffers()) all.push_back(buffer);
  std::vector<std::string> misfits;  // all are checked before the first tensor is copied
  std::set<std::string> known;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto& [name, variable] = all[i];
    known.insert(name);
    if (const std::string what = misfit(name, variable, file, i < parameters); !what.empty())
      misfits.push_back(what);
  }
  for (const auto& [name, tensor] : file.tensors)
    if (!known.contains(name))
      misfits.push_back(str("the model does not know the tensor \"", name, "\""));
  check(misfits.empty(), kName, path, ": ", joined(misfits));
  for (auto& [name, variable] : all) {
    const DType dtype = variable.value().dtype();
    Tensor value = from_torch_layout(file.at(name, path));
    if (value.dtype() != dtype) value = ops::cast(value, dtype);
    ops::copy(variable.mutable_value(), value.to(variable.value().device()));
  }
}

}  // namespace versor
