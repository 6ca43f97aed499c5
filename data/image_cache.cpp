// Decoded images in a mapped file: see image_cache.h.
#include "data/image_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iomanip>
#include <optional>

#include "data/formed_pictures.h"
#include "tensor/environment.h"
#include "tensor/file.h"
#include "tensor/hash.h"

namespace versor {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kInMemory = int64_t{1} << 29;  // bytes of images that are read as they are
constexpr int64_t kChunk = int64_t{1} << 26;     // bytes that are decoded before they are written
constexpr uint64_t kMagic = 0x3173'6567'616d'6976;  // "vimages1"

struct Trailer {
  uint64_t magic = kMagic, key = 0;
  int64_t count = 0, height = 0, width = 0, channels = 0;
  uint64_t checksum = 0;  // of the pixels, image by image, and of what stands before it here
};

uint64_t checksum_of(const uint8_t* pixels, int64_t count, int64_t bytes, uint64_t hash) {
  for (int64_t i = 0; i < count; ++i)
    hash = hash_words(pixels + i * bytes, static_cast<size_t>(bytes), hash);
  return hash;
}
uint64_t with_trailer(const Trailer& trailer, uint64_t hash) {
  return hash_bytes(&trailer, offsetof(Trailer, checksum), hash);
}

uint64_t key_of(const PictureSet& set, const ImageForm& form) {
  uint64_t key = hash_text(str(form.size, " ", form.channels));
  for (const std::string& file : set.files) {
    struct stat info {};
    if (stat(file.c_str(), &info) != 0) continue;  // reading it will say so
    key = hash_text(str(fs::absolute(file).string(), " ", info.st_size, " ", info.st_mtim.tv_sec,
                        ".", info.st_mtim.tv_nsec, "\n"),
                    key);
  }
  for (const auto* part : {&set.train, &set.test, &set.validation})
    key = hash_words(part->data(), part->size() * sizeof(int64_t), ~key);
  return key;
}

// A file's bytes, mapped for reading; nothing if it cannot be opened or mapped.
std::shared_ptr<void> mapped(const std::string& path, size_t& bytes) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (file.get() < 0 || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  bytes = static_cast<size_t>(info.st_size);
  if (bytes < sizeof(Trailer)) return {};
  void* address = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) return {};
  return {address, [bytes](void* at) { munmap(at, bytes); }};
}

// The images in a file of the cache; undefined if it is not there, of another set, or damaged.
Tensor read_cache(const std::string& path, uint64_t key, int64_t count) {
  size_t bytes = 0;
  std::shared_ptr<void> memory = mapped(path, bytes);
  if (!memory) return {};
  const auto* pixels = static_cast<const uint8_t*>(memory.get());
  const size_t data = bytes - sizeof(Trailer);
  Trailer t;
  std::memcpy(&t, pixels + data, sizeof t);
  constexpr int64_t kLargest = 1 << 15;  // so that the product of the four fits in 64 bits
  if (t.magic != kMagic || t.key != key || t.count != count || t.height < 1 ||
      t.height > kLargest || t.width < 1 || t.width > kLargest || t.channels < 1 || t.channels > 3)
    return {};
  const int64_t image = t.height * t.width * t.channels;
  if (data % static_cast<size_t>(image) != 0 ||
      data / static_cast<size_t>(image) != static_cast<size_t>(count) ||
      with_trailer(t, checksum_of(pixels, count, image, kHashStart)) != t.checksum)
    return {};
  void* const address = memory.get();
  return Tensor::wrap(address, {t.count, t.height, t.width, t.channels}, DType::u8, {},
                      std::move(memory));
}

// Waits until no other process decodes into the file, and then keeps others waiting while it lives.
// Where that is not possible, two may decode at a time, each for itself.
class CacheLock {
 public:
  explicit CacheLock(const std::string& path)
      : file_(open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    while (file_.get() >= 0 && flock(file_.get(), LOCK_EX) != 0 && errno == EINTR) continue;
  }

 private:
  Descriptor file_;
};

// An Error of the cache itself, not of a picture.
template <class Action>
bool succeeds(const Action& action) {
  try {
    action();
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Decodes all images into the file; false if that cannot be written.
bool write_cache(const std::string& path, uint64_t key, const FormedPictures& pictures) {
  std::optional<OutputFile> file;
  if (!succeeds([&] { file.emplace(path, Survives::kill); })) return false;
  const int64_t image = pictures.shape().bytes(), step = std::max<int64_t>(1, kChunk / image);
  std::vector<uint8_t> chunk;
  uint64_t hash = kHashStart;
  for (int64_t begin = 0; begin < pictures.size(); begin += step) {
    const int64_t end = std::min(begin + step, pictures.size());
    chunk.resize(static_cast<size_t>((end - begin) * image));
    pictures.read(begin, end, chunk.data());
    hash = checksum_of(chunk.data(), end - begin, image, hash);
    if (!succeeds([&] { file->write(chunk.data(), chunk.size()); })) return false;
  }
  Trailer trailer{.key = key,
                  .count = pictures.size(),
                  .height = pictures.shape().height,
                  .width = pictures.shape().width,
                  .channels = pictures.shape().channels};
  trailer.checksum = with_trailer(trailer, hash);
  return succeeds([&] {
    file->write(&trailer, sizeof trailer);
    file->commit();
  });
}

Tensor in_memory(const FormedPictures& pictures) {
  const auto [height, width, channels] = pictures.shape();
  Tensor pixels({pictures.size(), height, width, channels}, DType::u8);
  pictures.read(0, pictures.size(), pixels.data<uint8_t>());
  return pixels;
}

}  // namespace

std::string cache_file(const PictureSet& set, const ImageForm& form) {
  const auto given = environment("XDG_CACHE_HOME"), home = environment("HOME");
  if (set.files.empty() || (!given && !home)) return "";
  const fs::path folder = given ? fs::path(*given) : fs::path(*home) / ".cache";
  const std::string first = fs::absolute(set.files[0]).parent_path().string();
  const std::string what =
      str(first, " ", set.folder, " ", form.size, " ", form.channels, " ", form.test_fraction);
  std::ostringstream name;
  name << std::hex << std::setfill('0') << std::setw(16) << hash_text(what) << ".images";
  return (folder / "versor" / name.str()).string();
}

Tensor pixels_of(const PictureSet& set, const ImageForm& form) {
  const auto count = static_cast<int64_t>(set.labels.size());
  const bool as_it_is = !set.encoded && form.size == 0;
  if (as_it_is && count * set.pictures->shape(0).bytes() <= kInMemory)
    return in_memory(FormedPictures(set, form));
  const std::string path = cache_file(set, form);
  if (path.empty()) return in_memory(FormedPictures(set, form));
  const uint64_t key = key_of(set, form);
  if (Tensor pixels = read_cache(path, key, count); pixels.defined()) return pixels;
  std::error_code ignored;
  fs::create_directories(fs::path(path).parent_path(), ignored);
  const CacheLock lock(path);
  if (Tensor pixels = read_cache(path, key, count); pixels.defined()) return pixels;
  const FormedPictures pictures(set, form);
  if (write_cache(path, key, pictures))
    if (Tensor pixels = read_cache(path, key, count); pixels.defined()) return pixels;
  return in_memory(pictures);
}

}  // namespace versor
