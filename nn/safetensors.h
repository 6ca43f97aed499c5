// The safetensors file format: 8 bytes with the length of a JSON header, the header, the raw data.
// Format description: the README of the safetensors project (huggingface/safetensors).
// Reading trusts nothing: every size and offset is checked against the size of the file first, and
// the memory taken is in proportion to the file's size, whatever its header promises.
#pragma once

#include <map>
#include <string>

#include "nn/module.h"

namespace versor {

struct SafetensorsFile {
  std::map<std::string, Tensor> tensors;        // on the CPU, shapes as in the file
  std::map<std::string, std::string> metadata;  // the header's "__metadata__"
  // The element types as the file spells them, "F16", by name; for reading only.
  std::map<std::string, std::string> types = {};

  // The tensor of that name. Throws Error naming `path` if it is not there.
  const Tensor& at(const std::string& name, const std::string& path) const;
};

// Throws Error naming the file if it is missing, truncated, malformed, damaged (where the file has
// our checksum), or has an element type other than F32, BF16, I32 and U8 (F64, F16 and I64 are
// converted).
SafetensorsFile read_safetensors(const std::string& path);

// At every moment the old file or the whole new one is there, as OutputFile promises. The new one
// carries a checksum in its metadata, which reading verifies. With `previous` the old file is kept
// under that name. Tensors may be on any device.
void write_safetensors(const std::string& path, const SafetensorsFile& file,
                       const std::string& previous = "");

// The state of a module as PyTorch would save its twin: parameters and buffers under their names,
// weights of convolutions as [O,I,kh,kw] (ours: [O,kh,kw,I]).
std::map<std::string, Tensor> state_dict(const Module& module);
// A parameter's (or gradient's) tensor in PyTorch's layout, and back.
Tensor to_torch_layout(const Tensor& tensor);
Tensor from_torch_layout(const Tensor& tensor);

// Copies a state into a module. Throws Error naming `path` and the tensors (the first few of many)
// that are missing, have another shape, are a parameter of integers, or are not known to the
// module; then the module is unchanged. Buffers may be integers: PyTorch counts in I64.
void load_state_dict(Module& module, const SafetensorsFile& file, const std::string& path);

}  // namespace versor
