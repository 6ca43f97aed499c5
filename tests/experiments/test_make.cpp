// make's targets with blanks and quotes in every path: those of the checkout, the data, the
// results, an installation's prefix and PyTorch's interpreter.
#include <filesystem>

#include "tests/experiments/checkout.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

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
                                           "verdicts" + to, "report" + to});
  // In parallel: missing runs come as shell commands.
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

TEST_CASE("make: samples of a run, step by step, with blanks in the paths") {
  Checkout checkout;
  const std::string run = checkout.here + "/my run's", to = "|--results|" + checkout.results;
  checkout.make("samples", "", {}, /*code=*/2);
  CHECK(contains(checkout.ended.err, "RUN must be the folder of a finished run"));
  fs::create_directories(run);
  write_file(run + "/model.safetensors", "");
  write_file(run + "/config.json", "{}");
  auto called = checkout.make("samples RUN=\"my run's/\" PRIOR='--layers 4' SAMPLES='--count 8'");
  const std::string prior = "my run's/prior-seed1", diffusion = "my run's/diffusion-seed1";
  CHECK(called ==
        std::vector<std::string>{
            "prior|my run's|--out|" + prior + "|--layers|4",
            "diffusion|my run's|--out|" + diffusion + "|--snapshots",
            "encode|my run's|--compress|" + prior + "|--output|" + prior + "/test-images.vqc",
            "classifier|--like|my run's|--out|" + checkout.results + "/classifier-seed1",
            "generation|my run's|--classifier|" + checkout.results + "/classifier-seed1|--prior|" +
                prior + "|--diffusion|" + diffusion + to + "|--count|8",
            "report" + to});
  // A diffusion model needs latents of one level.
  write_file(run + "/config.json", "{\"model\": \"vqvae2\"}");
  called = checkout.make("samples RUN=\"my run's\" DEVICE=cuda");
  CHECK(called.size() == 5);
  CHECK(has(called, "prior|my run's|--out|" + prior + "|--device|cuda"));
}

TEST_CASE("make: bench, test and install with blanks in the paths") {
  Checkout checkout;
  const std::string json = "|--json|" + checkout.results + "/bench";
  auto called = checkout.make("bench");
  REQUIRE(called.size() == 1);
  CHECK(called[0].ends_with("|--sweep" + json + ".json"));
  CHECK(fs::is_directory(checkout.results));

  write_script(checkout.here + "/my python's", kRecorder);
  called = checkout.make("bench-peers TORCH_PYTHON=\"./my python's\"");
  REQUIRE(called.size() == 3);
  CHECK(called[0].starts_with("my python's|-B|experiments/peers/bench_peers.py|"));
  CHECK(called[0].ends_with(json + "-peers.json"));
  CHECK(called[2].ends_with("faiss_nearest.py" + json + "-faiss.json"));

  CHECK(checkout.make("tune-gpu") ==
        std::vector<std::string>{"probe|--items|plans|--seconds|600|--plans|tensor/cuda/plans"});

  write_script(checkout.built() + "run_tests",
               "#!/bin/sh\necho \"in $VERSOR_BIN\"\necho 1 passed, 0 failed\n");
  checkout.make("test KERNELS=0");
  CHECK(contains(checkout.ended.out, "in " + checkout.here + "/build/cpu-reference/bin\n"));
  checkout.make("test", "", {"KERNELS=0"});
  CHECK_FALSE(contains(checkout.ended.out, "kernels on the CPU"));

  for (const char* library : {"libversor.a", "libversor.so.0.1"})
    write_file(checkout.built() + "../" + library, "");
  write_file(checkout.here + "/LICENSE", "");
  for (const char* folder : {"tensor", "autograd", "nn", "vq", "data"})
    write_file(checkout.here + "/" + folder + "/some.h", "#include \"tensor/some.h\"\n");
  checkout.make("install DESTDIR=\"$PWD/in st'all\" PREFIX='/o p t'");
  const std::string prefix = checkout.here + "/in st'all/o p t";
  CHECK(fs::exists(prefix + "/bin/versor-one-step"));
  CHECK(fs::exists(prefix + "/lib/libversor.a"));
  CHECK(fs::is_symlink(prefix + "/lib/libversor.so"));
  CHECK(read_file(prefix + "/include/versor/nn/some.h") == "#include <versor/tensor/some.h>\n");
  checkout.make("uninstall DESTDIR=\"$PWD/in st'all\" PREFIX='/o p t'");
  CHECK_FALSE(fs::exists(prefix + "/include/versor"));
  CHECK_FALSE(fs::exists(prefix + "/bin/versor-one-step"));
}

TEST_CASE("make: sweep hands over the variables of the command line that are options") {
  Checkout checkout;
  const std::string where = "|--data-dir|" + checkout.data, to = "|--results|" + checkout.results;
  const auto called = checkout.make("sweep LR=1e-3,2e-3 BATCH_SIZE='6 4' SEEDS=1 TEST= V=0");
  REQUIRE(called.size() == 2);
  CHECK(called[0].starts_with("sweep|"));
  CHECK(called[0].ends_with(where + to));
  for (const char* word : {"|LR=1e-3,2e-3|", "|BATCH_SIZE=6 4|", "|SEEDS=1|"})
    CHECK(contains(called[0], word));
  for (const char* word : {"TEST", "V=", "RESULTS"}) CHECK_FALSE(contains(called[0], word));
  CHECK(called[1] == "report" + to);
  checkout.make("-n sweep BETA=1,2", "bin/train --out a");
  CHECK(contains(checkout.ended.out, "\nbin/train --out a\n"));
}

TEST_CASE("make: a misspelt variable is refused and not ignored") {
  Checkout checkout;
  const auto refused = [&](const std::string& arguments) {
    CHECK(checkout.make(arguments, "", {}, /*code=*/2).empty());
    return checkout.ended.err;
  };
  CHECK(contains(refused("table3 EPOCH=5"), "no variable EPOCH; did you mean EPOCHS?"));
  CHECK(contains(refused("quick SEDES=1"), "no variable SEDES; did you mean SEEDS?"));
  CHECK(contains(refused("-n table3 COLOUR=red"), "there is no variable COLOUR (make help"));
}

}  // namespace versor::testing
