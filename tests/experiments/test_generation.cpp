// Classifier, judge and the report's section on generation: from a tiny run to its pictures.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/generate/image_judge.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/report/section.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// Images of 8 x 8 grey pixels: dark ones of class 0 and bright ones of class 1, with noise.
Dataset dark_and_bright(int64_t count, uint64_t seed) {
  Dataset set{Tensor({count, 8, 8, 1}, DType::u8), {}, "dark and bright"};
  for (int64_t i = 0; i < count; ++i) {
    set.labels.push_back(static_cast<int32_t>(i % 2));
    for (int64_t p = 64 * i; p < 64 * (i + 1); ++p)
      set.images.data<uint8_t>()[p] = static_cast<uint8_t>(Rng(seed).bits(p) % 100 + 100 * (i % 2));
  }
  return set;
}

// An untrained classifier in a file: its features tell dark from bright all the same.
std::string write_classifier(const std::string& path, const ClassifierOptions& options) {
  const Classifier classifier(options, Rng(1), {});
  nlohmann::ordered_json config = config_of(options);
  write_safetensors(
      path, {state_dict(classifier), {{"format", "versor-network"}, {"config", config.dump()}}});
  return path;
}

TEST_SUITE_BEGIN(cpu_only());

}  // namespace

TEST_CASE("classifier: from its file it sees the same; other files are refused by name") {
  const TemporaryFolder temporary;
  const ClassifierOptions options{.channels = 1, .width = 4, .classes = 2};
  const std::string path = write_classifier(temporary / "c.safetensors", options);
  const Dataset set = dark_and_bright(20, 1);
  Classifier made(options, Rng(1), {});
  made.set_training(false);
  const auto loaded = load_classifier(path, {});
  const Classified a = classify(made, set, {}), b = classify(*loaded, set, {});
  CHECK(a.features.shape() == Shape{20, 16});
  CHECK((a.features.to_vector<float>() == b.features.to_vector<float>()));
  CHECK(a.labels == b.labels);
  int right = 0;
  for (size_t i = 0; i < 20; ++i) right += a.labels[i] == set.labels[i] ? 1 : 0;
  CHECK(a.accuracy == doctest::Approx(right / 20.0));

  Dataset colour = set;
  colour.images = Tensor({20, 8, 8, 3}, DType::u8);
  CHECK(error_of([&] { classify(*loaded, colour, {}); }) ==
        "[classifier] takes images [N,H,W,1] of at least 8 x 8 pixels, not [20,8,8,3]");
  SafetensorsFile file = read_safetensors(path);
  SafetensorsFile hostile = file;  // one long axis must not make a network of its square
  hostile.tensors["body.4.0.conv.weight"] = ops::zeros({20000, 1, 1, 1});
  write_safetensors(path, hostile);
  CHECK(contains(error_of([&] { load_classifier(path, {}); }), "not of one network"));
  file.tensors.erase("last.weight");
  write_safetensors(path, file);
  CHECK(contains(error_of([&] { load_classifier(path, {}); }), path));
  file.metadata["config"] = "{\"task\": \"prior\"}";
  write_safetensors(path, file);
  CHECK(error_of([&] { load_classifier(path, {}); }) ==
        "[classifier] " + path + " is no classifier");
}

TEST_CASE("judge: training images set apart are near the others, a class alone is not") {
  const TemporaryFolder temporary;
  const std::string classifier =
      write_classifier(temporary / "c.safetensors", {.channels = 1, .width = 4, .classes = 2});
  const Dataset train = dark_and_bright(120, 1);
  ImageJudge judge({.classifier = classifier, .count = 40, .png = temporary / "png"}, train, {});
  CHECK(judge.apart().size() == 40);
  CHECK(judge.reference().size() == 80);
  judge.add(judge.apart());
  Dataset half = chosen(train, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, "dark ones");
  judge.add(half, /*has_classes=*/false);
  const auto& rows = judge.table().rows;
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].size() == judge.table().columns.size());
  CHECK(std::stod(rows[0][2]) < 0.1 * std::stod(rows[1][2]));
  CHECK(std::stod(rows[1][5]) <= 0.7);  // recall: what is dark is half of what there is
  CHECK(std::stod(rows[0][5]) > 0.9);
  CHECK(rows[1][6].empty());
  CHECK(std::filesystem::exists(temporary / "png/dark-ones/00009.png"));
  // The nearest reference image of one of them is itself.
  const Dataset same = chosen(judge.reference(), {5}, "one");
  CHECK(judge.nearest(same) == std::vector<int32_t>{5});

  const Tensor pixels = pixels_of(half);
  const Dataset again = as_bytes(pixels, half.labels, "");
  for (int64_t i = 0; i < half.images.numel(); ++i)
    REQUIRE(again.images.data<uint8_t>()[i] == half.images.data<uint8_t>()[i]);
  std::vector<float> values = pixels.to_vector<float>();
  values[3] = NAN;
  CHECK(error_of([&] { as_bytes(Tensor::from(values, pixels.shape()), {}, "samples"); }) ==
        "[judge] samples: an image has a NaN");
  CHECK(contains(error_of([&] { ImageJudge({.classifier = classifier, .count = 61}, train, {}); }),
                 "61 images are more than half of the 120 training images"));
}

TEST_CASE("generation: from a run to the report's section" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string first = temporary / "first", results = temporary / "results",
                    small = " --quiet --epochs 1 --layers 1 --width 8 --heads 2 --batch-size 64";
  REQUIRE(run(tiny(first, "--epochs 1 --quiet")).code == 0);
  const std::string classifier = "classifier --like " + first +
                                 " --width 4 --epochs 1 --quiet"
                                 " --train-images 64 --test-images 32 --results " +
                                 results;
  const Ended trained = run(classifier);
  CHECK(trained.code == 0);
  CHECK(contains(trained.out, "test_accuracy"));
  CHECK(contains(run(classifier).out, "finished before"));
  REQUIRE(run("prior " + first + small).code == 0);
  REQUIRE(run("diffusion " + first + " --snapshots" + small).code == 0);
  const std::string prior = first + "/prior-seed1", codecs = results + "/image-codecs.csv",
                    command = "generation " + first + " --results " + results + " --count 16";
  REQUIRE(
      run("encode " + first + " --compress " + prior + " --output " + prior + "/test-images.vqc")
          .code == 0);
  const std::string columns = "codec,quality,bytes,bytes_without_headers,psnr,ssim\n";
  write_file(codecs,
             columns + "JPEG,1,700.5,40.25,20.5,0.5\nJPEG,2,710,50,21,0.6\nWebP,0,90,30,22,1\n");
  const Ended made = run(command + " --snapshots");
  CAPTURE(made.err);
  REQUIRE(made.code == 0);
  const Section section = read_section(results + "/generation.json");
  REQUIRE(section.tables.size() == 2);
  CHECK(section.tables[1].rows.size() == 4);
  CHECK(section.tables[1].rows[3][0] == "this run");
  std::vector<std::string> names;
  for (const auto& row : section.tables[0].rows) names.push_back(row[0]);
  CHECK(names == std::vector<std::string>{"other training images", "test images",
                                          "reconstructions of test images", "samples of the prior",
                                          "samples of the diffusion"});
  for (const char* name : {"prior-classes", "prior-neighbours", "diffusion-classes",
                           "diffusion-neighbours", "denoising", "interpolation"})
    CHECK(std::filesystem::exists(results + "/generation/" + name + ".png"));
  CHECK(contains(read_file(results + "/generation.md"), "no number here is an FID"));
  CHECK(run("report --results " + results).code == 0);
  CHECK(contains(read_file(results + "/report.html"), section.title));

  // What is of another model or kind is an error of one line, and so is a malformed table.
  CHECK(contains(error_line(run(command + " --prior " + first + "/diffusion-seed1")), "no prior"));
  CHECK(contains(error_line(run(command + " --diffusion " + prior)), "no diffusion model"));
  CHECK(contains(error_line(run(command + " --classifier " + prior)), "no classifier"));
  REQUIRE(run(tiny(temporary / "other", "--epochs 1 --quiet --seed 2")).code == 0);
  CHECK(contains(error_line(run("generation " + (temporary / "other") + " --results " + results +
                                " --count 16 --prior " + prior)),
                 "another model"));
  write_file(codecs, columns + "JPEG,1,few\n");
  CHECK(contains(error_line(run(command)), codecs));
  write_file(codecs, "bytes\n");
  CHECK(contains(error_line(run(command)), codecs + " has other columns"));
}

TEST_SUITE_END();

}  // namespace versor::testing
