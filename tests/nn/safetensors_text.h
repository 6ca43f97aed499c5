// Hand-made safetensors files, right and wrong ones: header and data are given as text.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace versor::testing {

// The bytes of the values, in this machine's order (the format's is little-endian).
template <class T>
std::string raw(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::string file_of(const std::string& header, const std::string& data) {
  return raw(std::vector<uint64_t>{header.size()}) + header + data;
}

// The header of a file with one tensor "w".
inline std::string entry(const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
  return str(R"({"w":{"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets,
             "}}");
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace versor::testing
