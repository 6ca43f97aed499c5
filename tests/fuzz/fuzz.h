// What the fuzz targets share. A target is a function of the bytes of one input: it reads them as
// some part of the project would, and checks what must hold then. `make fuzz` builds each target
// with clang's libFuzzer, which generates inputs; the tests feed it the files of its corpus.
//   void read(std::string_view input) { ... }
//   FUZZ_TARGET(name, read)
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "experiments/cli/options.h"
#include "tensor/error.h"

#ifndef VERSOR_FUZZ
#include <doctest/doctest.h>

#include <filesystem>

#include "tensor/file.h"
#endif

namespace versor::fuzzing {

// A file in memory whose content is an input: some microseconds instead of a write to a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content = "") : fd_(memfd_create("input", MFD_CLOEXEC)) {
    set(content);
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void set(std::string_view content) {
    const auto size = static_cast<ssize_t>(content.size());
    if (ftruncate(fd_, size) != 0 || pwrite(fd_, content.data(), content.size(), 0) != size)
      throw std::runtime_error("no file in memory");
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// Ends the fuzzer, or fails the test.
inline void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

// Whether the action accepts its input. Wrong input is answered with an Error that names `path`, or
// with a UsageError; anything else that is thrown is a finding.
template <class Action>
bool accepts(const std::string& path, const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& e) {
    require(std::string_view(e.what()).find(path) != std::string_view::npos,
            "the error names its file");
  } catch (const UsageError&) {
  }
  return false;
}

#ifndef VERSOR_FUZZ
inline void replay(const std::string& target, void (*read)(std::string_view)) {
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/corpus/" + target)) {
    CAPTURE(entry.path());
    CHECK_NOTHROW(read(read_file(entry.path().string())));
    ++inputs;
  }
  CHECK(inputs > 0);
}
#endif

}  // namespace versor::fuzzing

#ifdef VERSOR_FUZZ
#define FUZZ_TARGET(name, read)                                             \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    read({reinterpret_cast<const char*>(data), size});                      \
    return 0;                                                               \
  }
#else
#define FUZZ_TARGET(name, read)             \
  TEST_CASE("fuzz: the corpus of " #name) { \
    versor::fuzzing::replay(#name, read);   \
  }
#endif
