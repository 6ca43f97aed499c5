// Arithmetic coding: see range_coder.h.
#include "experiments/generate/range_coder.h"

#include <algorithm>

namespace versor {
namespace {

// The range never has fewer than 57 bits, so that of 2^32 numbers each has at least 2^24 of it.
constexpr uint64_t kLeastRange = uint64_t{1} << 56;

}  // namespace

void RangeEncoder::add(uint64_t amount) {
  low_ += amount;
  if (low_ >= amount) return;
  for (size_t i = bytes_.size(); i-- > 0 && ++bytes_[i] == 0;) {  // the carry
  }
}

void RangeEncoder::put_byte() {
  bytes_ += static_cast<char>(low_ >> 56);
  low_ <<= 8;
}

void RangeEncoder::encode(uint32_t low, uint32_t frequency, uint32_t total) {
  const uint64_t each = range_ / total;
  add(each * low);
  for (range_ = each * frequency; range_ < kLeastRange; range_ <<= 8) put_byte();
}

// The range holds a number whose bytes behind the first are all zero: only that first byte is
// written, and the decoder takes zeros for the rest.
std::string RangeEncoder::finish() {
  add(kLeastRange - 1);
  put_byte();
  std::string all = std::move(bytes_);
  *this = {};
  return all;
}

RangeDecoder::RangeDecoder(std::string_view bytes) : bytes_(bytes) {
  for (int i = 0; i < 8; ++i) take_byte();
}

void RangeDecoder::take_byte() {
  const bool there = next_ < bytes_.size();
  code_ = code_ << 8 | (there ? static_cast<unsigned char>(bytes_[next_++]) : 0);
  if (!there) ++missing_;
}

uint32_t RangeDecoder::number(uint32_t total) {
  return static_cast<uint32_t>(std::min<uint64_t>(code_ / (range_ / total), total - 1));
}

void RangeDecoder::decoded(uint32_t low, uint32_t frequency, uint32_t total) {
  const uint64_t each = range_ / total;
  code_ -= each * low;
  for (range_ = each * frequency; range_ < kLeastRange; range_ <<= 8) take_byte();
}

}  // namespace versor
