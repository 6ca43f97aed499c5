// The packed file: see packed_symbols.h.
#include "experiments/generate/packed_symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "experiments/generate/range_coder.h"
#include "tensor/file.h"
#include "tensor/hash.h"

namespace versor {
namespace {

constexpr const char* kName = "packed";
constexpr char kMagic[] = "VERSORVQ";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kTotal = CodingNetwork::kTotal;

struct Header {  // as in the file
  char magic[8];
  uint32_t version, levels;
  uint64_t first_stage, prior, images, code_bytes, code_hash, symbols_hash;
};
static_assert(sizeof(Header) == 64);

uint64_t hash_of(std::string_view bytes) {
  return hash_words(bytes.data(), bytes.size());
}
uint64_t hash_of(const std::vector<int32_t>& symbols) {
  return hash_words(symbols.data(), symbols.size() * sizeof symbols[0]);
}

std::string text_of_levels(const SymbolSequence& sequence) {
  std::string text;
  for (const SymbolLevel& level : sequence.levels())
    for (int64_t extent : {level.codes, level.layers, level.height, level.width}) {
      const auto number = static_cast<uint32_t>(extent);
      text.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
  return text;
}

// Calls symbol(image, place, K, sums) for each symbol in the order of the format. It returns the
// symbol, whose numbers are sums[symbol] to sums[symbol + 1] - 1.
template <class Symbol>
void for_each_symbol(const CodingNetwork& network, int64_t images, const Symbol& symbol) {
  const SymbolSequence& sequence = network.sequence();
  const int64_t T = sequence.length(), chunk = std::clamp<int64_t>(8192 / T, 1, 128);
  std::vector<uint32_t> sums;
  for (int64_t first = 0; first < images; first += chunk) {
    CodingNetwork::State state = network.begin(std::min(chunk, images - first));
    std::vector<int32_t> previous(static_cast<size_t>(state.images));
    for (int64_t place = 0; place < T; ++place) {
      const int64_t codes = sequence.levels()[sequence.level_at(place)].codes;
      network.next(state, previous, sums);
      for (int64_t n = 0; n < state.images; ++n)
        previous[n] = symbol(first + n, place, codes, &sums[n * (codes + 1)]);
    }
  }
}

std::vector<int32_t> decode(const CodingNetwork& network, const std::string& code, int64_t images,
                            const std::string& path) {
  const int64_t T = network.sequence().length();
  RangeDecoder decoder(code);
  std::vector<int32_t> all;
  for_each_symbol(network, images,
                  [&](int64_t image, int64_t place, int64_t codes, const uint32_t* sums) {
                    const uint32_t number = decoder.number(kTotal);
                    check(number < sums[codes] && decoder.missing() <= RangeDecoder::kMissing,
                          kName, path, " is damaged: its code is not one of this prior");
                    const int64_t symbol = std::upper_bound(sums, sums + codes, number) - sums - 1;
                    decoder.decoded(sums[symbol], sums[symbol + 1] - sums[symbol], kTotal);
                    if (place == 0)
                      all.resize((image + 1) * T);  // step by step, as far as the code goes
                    return all[image * T + place] = static_cast<int32_t>(symbol);
                  });
  check(decoder.at_end(), kName, path, " is damaged: more code than symbols");
  return all;
}

}  // namespace

PackedSize write_packed(const std::string& path, const CodingNetwork& network,
                        const std::string& first_stage, const Tensor& sequences) {
  const int64_t T = network.sequence().length(), images = sequences.dim(0);
  check(sequences.shape() == Shape{images, T} && images > 0, kName, path,
        ": the prior codes sequences of ", T, " symbols, not ", sequences.shape());
  const std::vector<int32_t> symbols = sequences.to_vector<int32_t>();
  RangeEncoder encoder;
  PackedSize size;
  for_each_symbol(network, images,
                  [&](int64_t image, int64_t place, int64_t codes, const uint32_t* sums) {
                    const int32_t symbol = symbols[image * T + place];
                    check(0 <= symbol && symbol < codes, kName, path, ": the symbol ", symbol,
                          " is none of ", codes);
                    const uint32_t frequency = sums[symbol + 1] - sums[symbol];
                    encoder.encode(sums[symbol], frequency, kTotal);
                    size.bits += std::log2(static_cast<double>(kTotal) / frequency);
                    return symbol;
                  });
  const std::string code = encoder.finish(), levels = text_of_levels(network.sequence());
  Header header{{},
                kVersion,
                static_cast<uint32_t>(network.sequence().levels().size()),
                std::stoull(first_stage, nullptr, 16),
                network.fingerprint(),
                static_cast<uint64_t>(images),
                code.size(),
                hash_of(code),
                hash_of(symbols)};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  const std::string start =
      std::string(reinterpret_cast<const char*>(&header), sizeof header) + levels;
  const uint64_t hash = hash_text(start);
  OutputFile file(path);
  file.write(start);
  file.write(&hash, sizeof hash);
  file.write(code);
  file.commit();
  size.code = code.size();
  size.file = start.size() + sizeof hash + code.size();
  return size;
}

bool is_packed(const std::string& path) {
  const InputFile file(path);
  char magic[8] = {};
  file.read(magic, std::min<uint64_t>(file.size(), sizeof magic), 0);
  return std::memcmp(magic, kMagic, sizeof magic) == 0;
}

Tensor read_packed(const std::string& path, const CodingNetwork& network,
                   const std::string& first_stage) {
  check(is_packed(path), kName, path, " is not a file of packed symbols");
  const InputFile file(path);
  const std::string levels = text_of_levels(network.sequence());
  std::string start;
  const auto read_on = [&](uint64_t bytes) {
    check(bytes <= file.size(), kName, path, " is truncated: it has ", file.size(), " bytes");
    const uint64_t there = start.size();
    start.resize(bytes);
    file.read(start.data() + there, bytes - there, there);
  };
  Header header{};
  read_on(sizeof header);
  std::memcpy(&header, start.data(), sizeof header);
  check(header.version == kVersion, kName, path, " has version ", header.version,
        " of the format, only ", kVersion, " is read");
  read_on(sizeof header + 16 * uint64_t{header.levels});
  uint64_t hash = 0;
  const uint64_t end = start.size() + sizeof hash;
  check(end <= file.size(), kName, path, " is truncated: it has ", file.size(), " bytes");
  file.read(&hash, sizeof hash, start.size());
  check(hash == hash_text(start), kName, path, " is damaged: its header has another checksum");
  const auto same = [&](const char* what, uint64_t found, uint64_t here) {
    check(found == here, kName, path, " was packed with another ", what,
          fmt::format(": {:016x}, this one is {:016x}", found, here));
  };
  same("first stage", header.first_stage, std::stoull(first_stage, nullptr, 16));
  same("prior", header.prior, network.fingerprint());
  check(start.substr(sizeof header) == levels, kName, path, " has other levels than its prior");
  check(header.code_bytes == file.size() - end, kName, path, " is truncated or damaged: it has ",
        file.size() - end, " bytes of code instead of ", header.code_bytes);
  const double symbols = static_cast<double>(header.images) * network.sequence().length();
  check(header.images > 0 && symbols * CodingNetwork::kLeastBits <= 8. * header.code_bytes, kName,
        path, ": ", header.code_bytes, " bytes cannot hold ", header.images, " images");
  std::string code(header.code_bytes, '\0');
  file.read(code.data(), code.size(), end);
  check(hash_of(code) == header.code_hash, kName, path,
        " is damaged: its code has another checksum");
  const std::vector<int32_t> all = decode(network, code, static_cast<int64_t>(header.images), path);
  check(hash_of(all) == header.symbols_hash, kName, path,
        " does not decode to the symbols that it was made of");
  return Tensor::from(all, {static_cast<int64_t>(header.images), network.sequence().length()});
}

}  // namespace versor
