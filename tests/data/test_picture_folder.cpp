// Folders of pictures: order, classes and parts; one form for all; the file in the cache.
#include <doctest/doctest.h>
#include <omp.h>
#include <sys/stat.h>

#include <fstream>

#include "data/image_cache.h"
#include "data/load_images.h"
#include "data/picture_folder.h"
#include "data/resize.h"
#include "tests/data/image_files.h"
#include "tests/data/temporary_folder.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

std::string png(int64_t width, int64_t height, int channels = 3, int seed = 0) {
  return png_file(
      {width, height, 8, channels == 3 ? 2 : 0, colourful(width, height, channels, seed)});
}

// A folder of pictures and a cache of their own.
struct Place {
  TemporaryFolder temporary;
  EnvironmentVariable cache{"XDG_CACHE_HOME", (temporary / "cache").c_str()};
  std::string pictures = temporary / "pictures";

  void put(const std::string& name, const std::string& content) const {
    put_file(pictures + "/" + name, content);
  }
  DatasetPair load(const ImageForm& form = {}, std::string* said = nullptr) const {
    return load_images({DataKind::folder, pictures}, "", form, [&](const std::string& sentence) {
      if (said) *said += sentence;
    });
  }
  std::string error(const ImageForm& form = {}) const {
    const std::string message = error_of([&] { load(form); });
    CHECK_FALSE(contains(message, "\n"));
    return message;
  }
  std::vector<std::string> cached() const {
    std::vector<std::string> files;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(temporary / "cache/versor", none))
      if (entry.path().extension() == ".images") files.push_back(entry.path().string());
    return files;
  }
};

Bytes bytes_of(const Dataset& set) {
  return set.images.to_vector<uint8_t>();
}

}  // namespace

TEST_CASE("pictures: names decide the order, subfolders the classes, content the kind") {
  const Place place;
  place.put("b/2.jpg", png(8, 8, 3, 2));  // a PNG all the same
  place.put("b/10.png", png(8, 8, 3, 1));
  place.put("a b/deep/x", jpeg_file({8, 8, 3, Bytes(192, 128)}));
  place.put("c.png", png(8, 8, 3, 3));
  place.put("b/Thumbs.db", "no picture");
  place.put(".hidden/y.png", png(8, 8));
  REQUIRE(mkfifo((place.pictures + "/pipe").c_str(), 0600) == 0);
  fs::create_directory_symlink("..", place.pictures + "/b/up");
  const PictureSet set = find_pictures(place.pictures);
  REQUIRE(set.files.size() == 4);
  CHECK(set.files[0] == place.pictures + "/a b/deep/x");
  CHECK(set.files[1] == place.pictures + "/b/10.png");
  CHECK(set.files[2] == place.pictures + "/b/2.jpg");
  CHECK(set.files[3] == place.pictures + "/c.png");
  CHECK(set.classes == std::vector<std::string>{"(none)", "a b", "b"});
  CHECK(set.labels == std::vector<int32_t>{1, 2, 2, 0});
  CHECK(set.skipped == 2);
  std::string said;
  const DatasetPair images = place.load({.test_fraction = .25}, &said);
  CHECK(contains(said, "own images of pictures: "));
  CHECK(contains(said, "1 of 4"));
  CHECK(contains(said, "2 other files were skipped"));
  CHECK(images.train.name == "own images");
  CHECK(images.test.labels == std::vector<int32_t>{0});
  CHECK(bytes_of(images.test) == colourful(8, 8, 3, 3));
}

TEST_CASE("pictures: train, validation and test folders are the parts") {
  for (const char* validation : {"validation", "val"}) {
    const Place place;
    place.put("train/b/1.png", png(8, 8, 3, 1));
    place.put("train/a/2.png", png(8, 8, 3, 2));
    place.put(std::string(validation) + "/b/3.png", png(8, 8, 3, 3));
    place.put("elsewhere/4.png", png(8, 8, 3, 4));
    std::string said;
    DatasetPair images = place.load({}, &said);
    CHECK(said == "");
    CHECK(images.train.labels == std::vector<int32_t>{0, 1});
    CHECK(bytes_of(images.test) == colourful(8, 8, 3, 3));  // there is no test folder
    CHECK(images.test.labels == std::vector<int32_t>{1});
    CHECK(images.validation.size() == 0);
    place.put("test/c/5.png", png(8, 8, 3, 5));
    images = place.load();
    CHECK(bytes_of(images.test) == colourful(8, 8, 3, 5));
    CHECK(images.test.labels == std::vector<int32_t>{2});
    CHECK(bytes_of(images.validation) == colourful(8, 8, 3, 3));
    fs::remove_all(place.pictures + "/test/c");
    CHECK(contains(place.error(), place.pictures + "/test has no PNG or JPEG picture"));
  }
}

TEST_CASE("pictures: one size, or --size; grey if all are grey") {
  const Place place;
  place.put("1.png", png(12, 8, 1, 1));
  place.put("2.png", png(12, 8, 1, 2));
  CHECK(place.load({.test_fraction = .5}).train.images.shape() == Shape{1, 8, 12, 1});
  place.put("3.png", png(9, 8, 3, 3));
  const std::string message = place.error({.test_fraction = .5});
  CHECK(contains(message, "1.png has 12x8 pixels"));
  CHECK(contains(message, "3.png has 9x8; --size"));
  const DatasetPair images = place.load({.size = 4, .test_fraction = .34});
  REQUIRE(images.train.images.shape() == Shape{2, 4, 4, 3});
  const Bitmap grey{{8, 12, 1}, colourful(12, 8, 1, 1)};
  CHECK(images.train.images.rows(0, 1).to_vector<uint8_t>() ==
        with_channels(cropped_and_resized(grey, 4), 3).pixels);
  CHECK(place.load({.size = 4, .channels = 1, .test_fraction = .34}).test.images.dim(3) == 1);
}

TEST_CASE("pictures: what cannot be read is named in one line") {
  const Place place;
  CHECK(contains(place.error(), "the folder " + place.pictures + " does not exist"));
  place.put("note.txt", "text");
  CHECK(contains(place.error(), place.pictures + " has no PNG or JPEG picture"));
  place.put("1.png", png(8, 8));
  CHECK(contains(place.error(), "--test-fraction 0.1 leaves 1 to train and 0 to test with"));
  place.put("2.png", png(8, 8));
  place.put("9.png", png(8, 8).substr(0, 60));
  place.put("3.png", png(8, 8).substr(0, 60));
  for (int i = 0; i < 3; ++i)
    CHECK(contains(place.error({.test_fraction = .5}), "/3.png cannot be decoded"));
  CHECK(place.cached().empty());  // nothing is left of it
}

TEST_CASE("pictures: the cache has what was decoded, until a picture changes") {
  const Place place;
  for (int i = 0; i < 6; ++i) place.put(std::to_string(i) + ".png", png(20 + i, 30 - i, 3, i));
  const ImageForm form{.size = 16, .test_fraction = .5};
  omp_set_num_threads(1);
  const Bytes first = bytes_of(place.load(form).train);
  REQUIRE(place.cached().size() == 1);
  const std::string file = place.cached()[0], whole = read_file(file);
  omp_set_num_threads(3);
  fs::remove(file);
  CHECK(bytes_of(place.load(form).train) == first);
  CHECK(read_file(file) == whole);

  // A picture that is not what the cache says is not looked at while its time stands still.
  const auto time = fs::last_write_time(place.pictures + "/0.png");
  std::string other = png(20, 30, 3, 0);
  const size_t bytes = other.size();
  other = png(20, 30, 3, 0).substr(0, bytes - 1) + "x";
  place.put("0.png", other);
  fs::last_write_time(place.pictures + "/0.png", time);
  CHECK(bytes_of(place.load(form).train) == first);
  fs::last_write_time(place.pictures + "/0.png", time + std::chrono::seconds(1));
  CHECK(contains(place.error(form), "/0.png cannot be decoded"));
  place.put("0.png", png(20, 30, 3, 9));
  const Bytes changed = bytes_of(place.load(form).train);
  CHECK(changed != first);
  CHECK(place.cached().size() == 1);

  // Damaged files are made anew: cut, longer, a bit elsewhere, empty.
  const std::string good = read_file(file);
  std::string pixel = good, key = good;
  pixel[100] ^= 1;
  key[good.size() - 20] ^= 1;
  for (const std::string& bad : {good.substr(0, 1000), good + "x", pixel, key, std::string()}) {
    write_file(file, bad);
    CHECK(bytes_of(place.load(form).train) == changed);
    CHECK(read_file(file) == good);
  }
  CHECK(place.load({.size = 12, .test_fraction = .5}).train.images.dim(1) == 12);
  CHECK(place.cached().size() == 2);
}

TEST_CASE("pictures: without a place for the cache the images are in memory") {
  const Place place;
  for (int i = 0; i < 4; ++i) place.put(std::to_string(i) + ".png", png(8, 8, 3, i));
  const ImageForm form{.size = 8, .test_fraction = .5};
  const Bytes expected = bytes_of(place.load(form).train);
  {
    put_file(place.temporary / "file", "");
    const EnvironmentVariable nowhere("XDG_CACHE_HOME", (place.temporary / "file").c_str());
    CHECK(bytes_of(place.load(form).train) == expected);
  }
  fs::remove_all(place.temporary / "cache");
  const FullDisk full(100);
  CHECK(bytes_of(place.load(form).train) == expected);
}

}  // namespace versor::testing
