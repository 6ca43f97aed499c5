// bin/prior and bin/sample on tiny models: two levels, residual layers, what they write and refuse.
#include <cmath>

#include "data/npy.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

const std::string kImages =
    " --data synthetic --train-images 48 --test-images 16 --batch-size 16 --threads 1";
const std::string kTiny = " --layers 1 --width 16 --heads 2 --epochs 2 --batch-size 32 --threads 1";

// Runs in `folder`, and must not fail.
std::string out_of(const std::string& command, const std::string& folder) {
  Process process(command, {"OMP_NUM_THREADS=1"}, folder);
  const Ended ended = process.wait();
  INFO(command << "\n" << ended.out << ended.err);
  CHECK(ended.code == 0);
  return ended.out;
}
std::string error_in(const std::string& command, const std::string& folder) {
  Process process(command, {"OMP_NUM_THREADS=1"}, folder);
  const Ended ended = process.wait();
  INFO(command << "\n" << ended.out);
  CHECK((ended.code == 1 || ended.code == 2));
  CHECK(lines(ended.err).size() == 1);
  return ended.err;
}

double number_after(const std::string& text, const std::string& words) {
  const size_t at = text.find(words);
  REQUIRE(at != std::string::npos);
  return std::stod(text.substr(at + words.size()));
}

}  // namespace

TEST_CASE("bin/prior and bin/sample: two levels, then pictures and symbols of samples" *
          doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string here = folder / "a b";
  out_of("train" + kImages + " --model vqvae2 --latent 8 --codes 8 --epochs 1 --quiet --out run",
         here);
  const std::string out = out_of("prior run" + kTiny, here);
  CHECK(out.find("96 sequences of 80 symbols") != std::string::npos);  // mirrored, too
  CHECK(number_after(out, "log2 K") == doctest::Approx(240));
  CHECK(number_after(out, "unigram entropy") <= 240);
  CHECK(number_after(out, "prior, class known") > 0);
  CHECK(read_file(here + "/run/prior-seed1/metrics.csv")
            .starts_with("epoch,train_loss,test_bits_top,test_bits_bottom\n"));
  CHECK(lines(read_file(here + "/run/prior-seed1/bits.csv")).size() == 6);

  const std::string sample = "sample run/prior-seed1 --count 5 --classes 3,1 ";
  out_of(sample + "--output s.npy", here);
  out_of(sample + "--output again.npy", here);
  CHECK(read_npy(here + "/s.top.npy").shape() == Shape{5, 1, 4, 4});
  CHECK(read_file(here + "/s.bottom.npy") == read_file(here + "/again.bottom.npy"));
  out_of(sample + "--seed 2 --output other.npy", here);
  CHECK(read_file(here + "/other.bottom.npy") != read_file(here + "/again.bottom.npy"));
  // The pictures are those of the symbols.
  out_of(sample + "--output pictures", here);
  out_of("decode run again.npy --output decoded", here);
  CHECK(read_file(here + "/pictures/00004.png") == read_file(here + "/decoded/00004.png"));
  out_of(sample + "--output all.png", here);

  for (const char* option : {"--guidance 1", "--sampler ode", "--steps 3"})
    CHECK(contains(error_in(sample + option + " --output x.png", here),
                   "goes with a diffusion model"));
  out_of("sample run/prior-seed1 --count 3 --no-classes --output none.npy", here);
  CHECK(contains(error_in(sample + "--no-classes --output x.png", here), "goes with classes"));

  // What is packed with a prior that is still in training could not be decoded later.
  const std::string file = here + "/run/prior-seed1/model.safetensors";
  SafetensorsFile prior = read_safetensors(file);
  prior.metadata["trained_epochs"] = "1";
  write_safetensors(file, prior);
  CHECK(contains(error_in("encode run --compress run/prior-seed1 --output x.vqc", here),
                 "not trained to its end"));

  CHECK(error_in(sample + "--classes 10 --output x.png", here) ==
        "error: --classes: run/prior-seed1 has 10 classes (see --help)\n");
  CHECK(error_in("sample run --output x.png", here).find("is not of a prior") != std::string::npos);
  CHECK(error_in("prior run --network pixelcnn --out q", here).find("one level") !=
        std::string::npos);
  CHECK(error_in("prior run --width 30", here).find("no multiple of 8 heads") != std::string::npos);
  out_of("train" + kImages + " --layers 2 --latent 8 --codes 8 --epochs 1 --quiet --out residual",
         here);
  CHECK(error_in("sample run/prior-seed1 --model residual --output x.png", here)
            .find("of another model") != std::string::npos);
  CHECK(out_of("prior residual --no-classes --no-mirror" + kTiny, here)
            .find("48 sequences of 128 symbols") != std::string::npos);
}

TEST_CASE("an interrupted prior goes on and ends with the same bytes" *
          doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string here = folder / "x";
  out_of("train" + kImages + " --latent 8 --codes 8 --epochs 1 --quiet --out run", here);
  const std::string prior = "prior run --layers 1 --width 16 --heads 2 --epochs 40 --threads 1 ";
  out_of(prior + "--quiet --out whole", here);
  const auto steps = [&] {
    return is_there(here + "/parts/metrics.csv")
               ? lines(read_file(here + "/parts/metrics.csv")).size()
               : 0;
  };
  int interrupted = 0;
  for (int code = 130; code == 130;) {
    const size_t before = steps();
    Process process(prior + "--out parts", {"OMP_NUM_THREADS=1"}, here);
    while (process.running() && interrupted < 2 && steps() < before + 3)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (interrupted < 2) process.send(SIGINT);
    code = process.wait().code;
    interrupted += code == 130;
  }
  CHECK(interrupted >= 1);
  for (const char* file : {"/metrics.csv", "/model.safetensors", "/bits.csv"})
    CHECK(read_file(here + "/parts" + file) == read_file(here + "/whole" + file));
}

}  // namespace versor::testing
