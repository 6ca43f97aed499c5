// Event files: see event_file.h.
#include "experiments/run/event_file.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <chrono>
#include <filesystem>

#include "tensor/error.h"

namespace versor {
namespace {

namespace fs = std::filesystem;

template <class T>
std::string little_endian(T number) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(number >> 8 * i & 0xff);
  return bytes;
}

// The encoding of protocol buffers: a field is its number and wire type, then its value.
enum Wire : uint64_t { kVarint = 0, k64 = 1, kBytes = 2, k32 = 5 };

std::string varint(uint64_t number) {
  std::string bytes;
  for (; number >= 0x80; number >>= 7) bytes += static_cast<char>(number | 0x80);
  return bytes + static_cast<char>(number);
}
std::string head(uint64_t field, Wire wire) {
  return varint(field << 3 | wire);
}
std::string number(uint64_t field, int64_t value) {
  return head(field, kVarint) + varint(static_cast<uint64_t>(value));
}
std::string text(uint64_t field, std::string_view bytes) {
  return head(field, kBytes) + varint(bytes.size()) + std::string(bytes);
}
std::string real(uint64_t field, float value) {
  return head(field, k32) + little_endian(std::bit_cast<uint32_t>(value));
}

// The fields of Event, SessionLog, Summary, Summary.Value and Summary.Image that are written.
enum Event { kTime = 1, kStep = 2, kVersion = 3, kSummary = 5, kSessionLog = 7 };
enum Session { kStatus = 1, kStart = 1 };
enum Summary { kValue = 1 };
enum Value { kTag = 1, kSimpleValue = 2, kImage = 4 };
enum Image { kHeight = 1, kWidth = 2, kColours = 3, kEncoded = 4, kRgb = 3 };

bool is_event_file(const fs::path& path) {
  return path.filename().string().starts_with("events.out.tfevents.");
}

int64_t event_files(const std::string& folder) {
  int64_t files = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) files += is_event_file(entry);
  return files;
}

// TensorBoard reads a folder's files in the order of their names, which begin with the time.
std::string next_path(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check(!error, "file", "cannot make the folder ", folder, ": ", error.message());
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("{}/events.out.tfevents.{}.{:04}", folder,
                     std::chrono::duration_cast<std::chrono::seconds>(now).count(),
                     event_files(folder) + 1);
}

// A number of the header of a PNG file: big endian, from byte 16 on width and height.
int64_t number_in_png(const std::string& png, size_t offset) {
  int64_t n = 0;
  for (size_t i = 0; i < 4; ++i) n = n << 8 | static_cast<unsigned char>(png.at(offset + i));
  return n;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = t[i] >> 1 ^ (t[i] & 1 ? 0x82f63b78u : 0);
    }
    return t;
  }();
  uint32_t crc = ~0u;
  for (char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

EventFile::EventFile(const std::string& folder, int64_t next_step) : file_(next_path(folder)) {
  add(0, text(kVersion, "brain.Event:2"));
  add(next_step, text(kSessionLog, number(kStatus, kStart)));
}

void EventFile::add(int64_t step, const std::string& content) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  const std::string event = head(kTime, k64) + little_endian(std::bit_cast<uint64_t>(now.count())) +
                            number(kStep, step) + content;
  const std::string length = little_endian(static_cast<uint64_t>(event.size()));
  file_.append(length + little_endian(masked_crc32c(length)) + event +
               little_endian(masked_crc32c(event)));
}

void EventFile::add_scalars(int64_t step,
                            const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [tag, value] : values)
    summary += text(kValue, text(kTag, tag) + real(kSimpleValue, static_cast<float>(value)));
  add(step, text(kSummary, summary));
}

void EventFile::add_picture(int64_t step, const std::string& tag, const std::string& png) {
  const std::string image = number(kHeight, number_in_png(png, 20)) +
                            number(kWidth, number_in_png(png, 16)) + number(kColours, kRgb) +
                            text(kEncoded, png);
  add(step, text(kSummary, text(kValue, text(kTag, tag) + text(kImage, image))));
}

bool has_events(const std::string& folder) {
  return event_files(folder) > 0;
}

}  // namespace versor
