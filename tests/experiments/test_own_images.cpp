// Trainings on images of one's own, from the files to the evaluation: what a new user tries first.
#include "tests/data/image_files.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

// PNG and JPEG, grey and colour, in 40 odd sizes.
void put_pictures(const std::string& folder) {
  for (int i = 0; i < 40; ++i) {
    const int width = 41 + 7 * i, height = 150 - 2 * i, channels = i % 4 == 0 ? 1 : 3;
    const auto pixels = colourful(width, height, channels, i);
    put_file(folder + "/" + (i % 3 == 0 ? "cats" : "dogs") + "/" + std::to_string(i),
             i % 2 == 0
                 ? jpeg_file({width, height, channels, pixels, 80, i % 8 == 0, i % 9})
                 : png_file({width, height, 8, channels == 1 ? 0 : 2, pixels, {}, {}, i % 5 == 0}));
  }
  put_file(folder + "/README", "these are pictures");
}

// With a cache of its own.
Ended run_in(const TemporaryFolder& place, const std::string& command) {
  return run(command, {"XDG_CACHE_HOME=" + (place / "cache")});
}

// Trains an epoch into `out`, expects success, and evaluates the run.
Ended train(const TemporaryFolder& place, const std::string& options, const std::string& out) {
  const Ended ended = run_in(place, "train --latent 8 --codes 16 --epochs 1 --threads 1 --out " +
                                        (place / out) + " " + options);
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  const Ended evaluated = run_in(place, "evaluate --threads 1 " + (place / out));
  CAPTURE(evaluated.err);
  CHECK(evaluated.code == 0);
  return ended;
}

// The text of a run's options, without what else config.json records, and without blanks.
std::string options_in(const std::string& folder) {
  std::string text = read_file(folder + "/config.json");
  text.resize(text.find("\"version\""));
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  return text;
}

}  // namespace

TEST_CASE("own images: 40 pictures of odd sizes train, and are another run when one changes" *
          doctest::skip(without_programs())) {
  const TemporaryFolder place;
  put_pictures(place / "pictures");
  const Ended ended = train(place, "--size 64 --data " + (place / "pictures"), "a");
  CHECK(contains(ended.out, "36 of own images of pictures"));
  CHECK(contains(ended.err, "4 of 40, evenly spread, are test images; 1 other files were skipped"));
  const std::string options = options_in(place / "a");
  CHECK(contains(options, "\"data\":\"ownimages\""));
  CHECK(contains(options, "\"batch_size\":36,"));  // the default is more than there are
  CHECK(contains(options, "\"image_shape\":[64,64,3]"));

  // The same pictures elsewhere are the same run; with another pixel they are not.
  std::filesystem::rename(place / "pictures", place / "moved");
  CHECK(run_in(place, "evaluate --threads 1 " + (place / "a")).code == 1);
  train(place, "--size 64 --data " + (place / "moved"), "b");
  CHECK(options_in(place / "b") == options);
  put_file(place / "moved/dogs/1", png_file({44, 44, 8, 2, colourful(44, 44, 3, 77)}));
  const Ended other = run_in(place, "evaluate --threads 1 " + (place / "b"));
  CHECK(other.code == 1);
  CHECK(contains(other.err, "other images than those that were read, own images of moved"));

  put_file(place / "moved/dogs/1", "\x89PNG\r\n\x1a\n and no more");
  const Ended broken = run_in(place, "train --size 64 --data " + (place / "moved"));
  CHECK(broken.code == 1);
  CHECK(contains(error_line(broken), place / "moved/dogs/1"));
  std::filesystem::remove(place / "moved/dogs/1");
  put_file(place / "moved/dogs/empty.PNG", "");
  const Ended empty = run_in(place, "train --size 64 --data " + (place / "moved"));
  CHECK(contains(error_line(empty), "dogs/empty.PNG is neither a PNG nor a JPEG file"));
}

TEST_CASE("own images: CIFAR-100, IDX and STL-10 train" * doctest::skip(without_programs())) {
  const TemporaryFolder place;
  const auto bytes = [](int64_t count) {
    const auto values = colourful(count, 1, 1);
    return std::string(values.begin(), values.end());
  };
  std::string records;
  for (int i = 0; i < 8; ++i) records += std::string(1, i) + std::string(1, 90 + i) + bytes(3072);
  put_file(place / "cifar/train.bin", records);
  put_file(place / "cifar/test.bin", records.substr(0, 2 * 3074));
  train(place, "--data cifar100 --data-dir " + (place / "cifar"), "a");

  put_file(place / "idx/train-images-idx3-ubyte", idx_file({8, 28, 28}, colourful(28, 224, 1)));
  put_file(place / "idx/t10k-images-idx3-ubyte", idx_file({4, 28, 28}, colourful(28, 112, 1)));
  train(place, "--batch-size 4 --data mnist --data-dir " + (place / "idx"), "b");
  CHECK(contains(options_in(place / "b"), "\"image_shape\":[28,28,1]"));

  put_file(place / "stl/train_X.bin", bytes(8 * 27648));
  put_file(place / "stl/test_X.bin", bytes(4 * 27648));
  train(place, "--data stl10 --data-dir " + (place / "stl"), "c");
  CHECK(contains(options_in(place / "c"), "\"image_shape\":[96,96,3]"));

  const Ended missing = run_in(place, "train --data stl10 --data-dir " + (place / "nowhere"));
  CHECK(missing.code == 1);
  CHECK(contains(error_line(missing), place / "nowhere"));
  const Ended misspelt = run_in(place, "train --data cifar11");
  CHECK(misspelt.code == 2);
  CHECK(contains(error_line(misspelt), "mnist, stl10, synthetic"));
  CHECK(contains(error_line(run_in(place, "train --data mnist --size 30")), "--size: 30"));
}

}  // namespace versor::testing
