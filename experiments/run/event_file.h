// TensorBoard's event files: numbers and pictures by step. A file is a sequence of records: length
// (u64, little endian), masked CRC of it, an Event in the encoding of protocol buffers, masked CRC
// of that (tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto,
// tensorflow/core/framework/summary.proto).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "experiments/run/appended_file.h"

namespace versor {

// CRC32C (RFC 3720, appendix B.4), and as records have it: rotated, plus a constant.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

class EventFile {
 public:
  // Begins a new file in the folder, after those that are there. TensorBoard then forgets what they
  // have of `next_step` and later: a resumed run repeats it.
  EventFile(const std::string& folder, int64_t next_step);

  // TensorBoard keeps these as f32.
  void add_scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  // `png`: the bytes of a PNG file.
  void add_picture(int64_t step, const std::string& tag, const std::string& png);

 private:
  void add(int64_t step, const std::string& content);

  AppendedFile file_;
};

// Whether the folder has event files.
bool has_events(const std::string& folder);

}  // namespace versor
