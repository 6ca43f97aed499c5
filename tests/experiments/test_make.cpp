// make's targets with blanks and quotes in every path: those of the checkout, the data, the
// results, the place of an installation and PyTorch's interpreter. The Makefile and the scripts in
// .make/ are the real ones, in a copy where nothing has to be built: programs there write down
// their arguments.
#include <filesystem>

#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

// Writes its name and its arguments to the file $RECORD, one line a call; asked for what is
// missing, it says $MISSING.
constexpr const char* kProgram =
    "#!/bin/sh\n"
    "{ printf '%s' \"${0##*/}\"; for word; do printf '|%s' \"$word\"; done; echo; } >>\"$RECORD\"\n"
    "case \" $* \" in *' --list '*) [ -z \"$MISSING\" ] || echo \"$MISSING\" ;; esac\n";

void write_script(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  write_file(path, text);
  fs::permissions(path, fs::perms::owner_all);
}

class Checkout {
  TemporaryFolder files_;

 public:
  const std::string here = files_ / "the check  out's";
  const std::string data = files_ / "my  data's", results = files_ / "the  results'";

  Checkout() {
    fs::create_directories(here);
    fs::copy("Makefile", here);
    fs::copy(".make", here + "/.make", fs::copy_options::recursive);
    for (const char* name : {"setup", "cuda"})  // there is nothing to look for
      write_script(here + "/.make/" + name + ".sh", "#!/bin/sh\n");
    fs::create_directories(here + "/build");
    write_file(here + "/build/setup-auto.mk",
               "CXX := g++\nCOMPILER := g++\nONEDNN_FOUND :=\nGNUPLOT :=\n");
    write_file(here + "/build/setup-cuda-auto.mk", "CUDA_FOUND :=\n");
    for (const std::string& name : names())
      for (const std::string& folder : {here + "/bin/", built()}) {
        write_script(folder + name, kProgram);
      }
    for (const char* folder : {"tensor", "autograd", "nn", "vq", "data", "tests"})
      fs::create_directories(here + "/" + folder);
    fs::create_directories(data);
    for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                             "data_batch_5", "test_batch"}) {
      const std::string path = data + "/" + name + ".bin";
      write_file(path, "");
      fs::resize_file(path, 30'730'000);
    }
  }

  // The programs' folder of a build without oneDNN.
  std::string built() const { return here + "/build/cpu-reference/bin/"; }

  // Runs make with these words of a shell; nothing is built. What programs wrote down, by line.
  std::vector<std::string> make(const std::string& shell_words, const std::string& missing = "") {
    const std::string record = files_ / "record";
    write_file(record, "");
    write_file(files_ / "make.sh",
               "make -o all -o bin/bench -o build/cpu-reference/bin/run_tests " + shell_words);
    ended =
        run("sh " + (files_ / "make.sh"),
            {"MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=", "CUDA_VISIBLE_DEVICES=", "CIFAR10_DIR=" + data,
             "RESULTS=" + results, "DATA=", "RECORD=" + record, "MISSING=" + missing},
            here);
    CAPTURE(shell_words);
    CAPTURE(ended.err);
    CHECK(ended.code == 0);
    return lines(read_file(record));
  }
  Ended ended;

 private:
  static std::vector<std::string> names() {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator("experiments"))
      if (entry.path().extension() == ".cpp") all.push_back(entry.path().stem().string());
    return all;
  }
};

bool has(const std::vector<std::string>& all, const std::string& line) {
  CAPTURE(line);
  return std::find(all.begin(), all.end(), line) != all.end();
}

}  // namespace

TEST_CASE("make: tables and figures with blanks in the paths of checkout, data and results") {
  Checkout checkout;
  const std::string where = "|--data-dir|" + checkout.data, to = "|--results|" + checkout.results;
  checkout.make("data");
  CHECK(contains(checkout.ended.out, checkout.data + " is complete"));
  auto called = checkout.make("table3 BETA=0.25,2 SEEDS=1");
  CHECK(called == std::vector<std::string>{"table3" + where + "|--seeds|1|--beta|0.25,2" + to,
                                           "report" + to});
  // Side by side: what is missing comes as commands of a shell.
  called = checkout.make("-j2 table2", "bin/train --out 'a  b'\\''s'");
  CHECK(has(called, "train|--out|a  b's"));
  called = checkout.make("paper");
  for (const char* part : {"table1", "table2", "figures", "table_attribution"})
    CHECK(has(called, part + where + to));
  called = checkout.make("quick");
  for (const char* part : {"table1", "table3", "figures"})
    CHECK(std::any_of(called.begin(), called.end(), [&](const std::string& line) {
      return line.starts_with(part) && contains(line, "|--quick|--quiet" + where + "|");
    }));
  CHECK(has(called, "report|--results|results/quick"));
  checkout.make("-n table3", "bin/train --out 'a b'");
  CHECK(contains(checkout.ended.out, "\nbin/train --out 'a b'\n"));
}

TEST_CASE("make: bench, test and install with blanks in the paths") {
  Checkout checkout;
  const std::string json = "|--json|" + checkout.results + "/bench";
  auto called = checkout.make("bench");
  REQUIRE(called.size() == 1);
  CHECK(called[0].ends_with("|--sweep" + json + ".json"));
  CHECK(fs::is_directory(checkout.results));

  write_script(checkout.here + "/my python's", kProgram);
  called = checkout.make("bench-peers TORCH_PYTHON=\"./my python's\"");
  REQUIRE(called.size() == 3);
  CHECK(called[0].starts_with("my python's|-B|experiments/peers/bench_peers.py|"));
  CHECK(called[0].ends_with(json + "-peers.json"));
  CHECK(called[2].ends_with("faiss_nearest.py" + json + "-faiss.json"));

  write_script(checkout.built() + "run_tests",
               "#!/bin/sh\necho \"in $VERSOR_BIN\"\necho 1 passed, 0 failed\n");
  checkout.make("test KERNELS=0");
  CHECK(contains(checkout.ended.out, "in " + checkout.here + "/build/cpu-reference/bin\n"));

  write_file(checkout.built() + "../libversor.a", "");
  write_file(checkout.here + "/tensor/some.h", "");
  checkout.make("install DESTDIR=\"$PWD/in st'all\" PREFIX='/o p t'");
  const std::string prefix = checkout.here + "/in st'all/o p t";
  CHECK(fs::exists(prefix + "/bin/versor-one-step"));
  CHECK(fs::exists(prefix + "/lib/libversor.a"));
  CHECK(fs::exists(prefix + "/include/versor/tensor/some.h"));
}

}  // namespace versor::testing
