// An arithmetic coder with integer frequencies, a range coder (G. N. N. Martin, "Range encoding: an
// algorithm for removing redundancy from a digitised message", 1979) with 64 bits: a symbol costs
// log2(total / frequency) bits, and less than 2^-23 of a bit more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace versor {

class RangeEncoder {
 public:
  // A symbol that has the numbers [low, low + frequency) of `total`; frequency > 0.
  void encode(uint32_t low, uint32_t frequency, uint32_t total);
  // All bytes: one more than the symbols need. Afterwards the encoder is as new.
  std::string finish();

 private:
  void add(uint64_t amount);
  void put_byte();

  uint64_t low_ = 0, range_ = ~uint64_t{0};  // what comes must lie in [low, low + range)
  std::string bytes_;
};

// Reads no byte outside of what it was given, whatever that is and whatever is asked of it.
class RangeDecoder {
 public:
  explicit RangeDecoder(std::string_view bytes);  // which must outlive it
  // A number below `total`: the next symbol is the one whose numbers it is among.
  uint32_t number(uint32_t total);
  // Goes on behind that symbol. As encode() was called.
  void decoded(uint32_t low, uint32_t frequency, uint32_t total);
  // How many bytes it has taken beyond the last one, as zeros. After the last symbol of what an
  // encoder made these are kMissing; more mean that bytes are lacking.
  uint64_t missing() const { return missing_; }
  bool at_end() const { return next_ == bytes_.size() && missing_ == kMissing; }
  static constexpr uint64_t kMissing = 7;

 private:
  void take_byte();

  std::string_view bytes_;
  size_t next_ = 0;
  uint64_t missing_ = 0;
  uint64_t code_ = 0, range_ = ~uint64_t{0};  // the code lies in [0, range)
};

}  // namespace versor
