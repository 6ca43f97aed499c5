// A copy of the checkout in which make builds nothing: the Makefile and the scripts in .make/ are
// the real ones, the programs in bin/ only record how they were called.
#pragma once

#include "tests/experiments/programs.h"

namespace versor::testing {

// A script that appends its name and arguments to the file $RECORD, one line per call; with --list,
// for the missing runs, it prints $MISSING.
constexpr const char* kRecorder =
    "#!/bin/sh\n"
    "{ printf '%s' \"${0##*/}\"; for word; do printf '|%s' \"$word\"; done; echo; } >>\"$RECORD\"\n"
    "case \" $* \" in *' --list '*) [ -z \"$MISSING\" ] || echo \"$MISSING\" ;; esac\n";

inline void write_script(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_file(path, text);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
}

class Checkout {
  TemporaryFolder files_;

 public:
  const std::string here = files_ / "the check  out's";
  const std::string data = files_ / "my  data's", results = files_ / "the  results'";

  Checkout() {
    std::filesystem::create_directories(here);
    std::filesystem::copy("Makefile", here);
    std::filesystem::copy(".make", here + "/.make", std::filesystem::copy_options::recursive);
    for (const char* name : {"setup", "cuda", "mpi"})  // there is nothing to look for
      write_script(here + "/.make/" + name + ".sh", "#!/bin/sh\n");
    std::filesystem::create_directories(here + "/build");
    write_file(here + "/build/setup-auto.mk", "CXX := g++\nCOMPILER := g++\nONEDNN_FOUND :=\n");
    write_file(here + "/build/setup-cuda-auto.mk", "CUDA_FOUND :=\n");
    write_file(here + "/build/setup-mpi-auto.mk", "MPI_FOUND := Open MPI\n");
    write_script(here + "/fakes/python3", kRecorder);
    for (const std::string& name : names())
      for (const std::string& folder : {here + "/bin/", built()})
        write_script(folder + name, kRecorder);
    for (const char* folder : {"tensor", "autograd", "nn", "vq", "data", "tests"})
      std::filesystem::create_directories(here + "/" + folder);
    std::filesystem::create_directories(data);
    for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                             "data_batch_5", "test_batch"}) {
      const std::string path = data + "/" + name + ".bin";
      write_file(path, "");
      std::filesystem::resize_file(path, 30'730'000);
    }
  }

  // The programs' folder of a build without oneDNN.
  std::string built() const { return here + "/build/cpu-reference/bin/"; }

  // Runs make with these shell words, in an environment that also has `more`; nothing is built.
  // Returns the recorded calls, one per line.
  std::vector<std::string> make(const std::string& shell_words, const std::string& missing = "",
                                const std::vector<std::string>& more = {}, int code = 0) {
    const std::string record = files_ / "record";
    write_file(record, "");
    write_file(
        files_ / "make.sh",
        "make -o all -o bin/bench -o bin/probe -o build/cpu-reference/bin/run_tests "
        "-o build/cpu-reference/bin/run_kernel_tests -o build/cpu-reference/bin/run_rank_tests "
        "-o build/cpu-reference/bin/link_emulator "
        "-o build/cpu-reference/libversor.so.0.1 -o python/versor " +
            shell_words);
    std::vector<std::string> variables = {"CIFAR10_DIR=" + data,
                                          "RESULTS=" + results,
                                          "RECORD=" + record,
                                          "MISSING=" + missing,
                                          "TORCH_PYTHON=python3",
                                          "ONEDNN=auto",
                                          "CUDA=auto",
                                          "MPI=auto",
                                          "PATH=" + here + "/fakes:" + getenv("PATH")};
    variables.insert(variables.end(), more.begin(), more.end());
    // A make that runs these tests exports its own variables.
    for (const char* other : {"MAKEFLAGS",  "MAKELEVEL",
                              "MFLAGS",     "DATA",
                              "DEBUG",      "SANITIZE",
                              "MARCH",      "ARGS",
                              "KERNELS",    "SEEDS",
                              "EPOCHS",     "TRAIN",
                              "TEST",       "PRESET",
                              "DEVICE",     "PRECISION",
                              "BETA",       "RATES",
                              "QUANTIZERS", "PREFIX",
                              "DESTDIR",    "CUDA_VISIBLE_DEVICES",
                              "RANKS"})
      if (std::string unset = std::string(other) + "=";
          std::ranges::none_of(variables, [&](const auto& v) { return v.starts_with(unset); }))
        variables.push_back(unset);
    ended = run("sh " + (files_ / "make.sh"), variables, here);
    CAPTURE(shell_words);
    CAPTURE(ended.err);
    CHECK(ended.code == code);
    return lines(read_file(record));
  }
  Ended ended;

 private:
  static std::vector<std::string> names() {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator("experiments"))
      if (entry.path().extension() == ".cpp") all.push_back(entry.path().stem().string());
    return all;
  }
};

}  // namespace versor::testing
