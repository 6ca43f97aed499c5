// A file of packed symbols, for a tiny prior. Bits of the first byte say what of the file is made
// right, so that generated inputs come further:
//   1 the fingerprints
//   2 the magic number, the version, and the levels
//   4 length and checksum of the code, and a number of images below 2^16 becomes a small one
// and with any of them the checksum of the header. The memory is in proportion to the file, and
// what is accepted has the checksum of its symbols.
#include "experiments/generate/packed_symbols.h"

#include <array>
#include <cstring>

#include "tensor/hash.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

const SymbolSequence kSequence({{3, 1, 1, 1}, {2, 1, 1, 1}});
constexpr size_t kHeader = 64 + 2 * 16 + 8, kMost = kHeader + 16;
const std::string kFirstStage = "0123456789abcdef";

template <class T>
void put(std::string& file, size_t at, const T& value) {
  std::memcpy(file.data() + at, &value, sizeof value);
}

void make_right(std::string& file, int what, uint64_t prior) {
  if (what == 0 || file.size() < kHeader) return;
  if (what & 1) {
    put(file, 16, uint64_t{0x0123456789abcdef});
    put(file, 24, prior);
  }
  if (what & 2) {
    file.replace(0, 8, "VERSORVQ");
    put(file, 8, std::array<uint32_t, 2>{1, 2});
    put(file, 64, std::array<uint32_t, 8>{3, 1, 1, 1, 2, 1, 1, 1});
  }
  if (what & 4) {
    const size_t bytes = file.size() - kHeader;
    put(file, 40, uint64_t{bytes});
    put(file, 48, hash_words(file.data() + kHeader, bytes));
    uint64_t images = 0;
    std::memcpy(&images, file.data() + 32, sizeof images);
    if (images < 1 << 16) put(file, 32, images % 5);
  }
  put(file, kHeader - 8, hash_bytes(file.data(), kHeader - 8));
}

void read(std::string_view input) {
  static const TransformerPrior prior(kSequence, {.layers = 1, .width = 2, .heads = 1}, Rng(1), {});
  static const CodingNetwork network(prior, "the prior");
  static MemoryFile target;
  if (input.empty()) return;
  const int what = input[0] & 7;
  std::string file(input.substr(1, what & 4 ? kMost : input.size()));
  make_right(file, what, network.fingerprint());
  target.set(file);
  Tensor found;
  if (!accepts(target.path(), [&] { found = read_packed(target.path(), network, kFirstStage); }))
    return;
  uint64_t hash = 0;
  std::memcpy(&hash, file.data() + 56, sizeof hash);
  require(found.dim(0) > 0 && found.dim(1) == kSequence.length() &&
              hash_words(found.address(), found.bytes()) == hash,
          "the symbols that were packed");
}

}  // namespace

FUZZ_TARGET(packed_symbols, read)

}  // namespace versor::fuzzing
