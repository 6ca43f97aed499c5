// The symbols of images in as few bytes as a prior can make of them: an arithmetic code
// (range_coder.h) with the frequencies of the prior in integers (coding_network.h). The extension
// is .vqc. Whoever decodes needs the same first stage and prior. All numbers are little-endian:
//   offset  bytes
//        0      8  "VERSORVQ"
//        8      4  version of the format: 1
//       12      4  number of levels, V
//       16      8  fingerprint of the first stage's weights (run/model_file.h)
//       24      8  CodingNetwork::fingerprint() of the prior
//       32      8  number of images, N
//       40      8  number of bytes of the code, B
//       48      8  hash_words() of the code
//       56      8  hash_words() of the symbols, i32 [N,T] (symbol_sequence.h)
//       64   16 V  of each level, 4 bytes each: codes, layers, height, width
//  64+16 V      8  hash_bytes() of all bytes before
//  72+16 V      B  the code
// The code is one stream. Its symbols come in chunks of clamp(8192 / T, 1, 128) images, the last
// one of those that are left; in a chunk place by place, and at each place image by image.
#pragma once

#include <string>

#include "experiments/generate/coding_network.h"

namespace versor {

struct PackedSize {
  uint64_t file = 0;  // bytes
  uint64_t code = 0;  // bytes of that, without the header
  double bits = 0;    // the cross-entropy of the frequencies: what the code would have at best
};

// Codes sequences, i32 [N,T] on the host with N > 0. Throws Error naming `path` if they are not
// sequences of the network. `first_stage`: 16 hex digits, from fingerprint_of_weights().
PackedSize write_packed(const std::string& path, const CodingNetwork& network,
                        const std::string& first_stage, const Tensor& sequences);

bool is_packed(const std::string& path);  // by its first bytes

// The sequences again, i32 [N,T]. Throws Error naming `path` if it is truncated, damaged or
// something else, or belongs to another first stage or prior. Takes memory in proportion to the
// file and the symbols that are in it, of which a byte holds at most 8 / CodingNetwork::kLeastBits.
Tensor read_packed(const std::string& path, const CodingNetwork& network,
                   const std::string& first_stage);

}  // namespace versor
