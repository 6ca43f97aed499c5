// Table 1 of the paper: how many images CIFAR-10 has, counted from the files that are read here.
//   target   50,000 training and 10,000 test images, "10 distinct classes"
//   ours     per class and split, with the mean and the standard deviation of the pixels in [-1,1]
//   command  make table1; with --anchors also the least error of Gaussian data at a few rates
#include <fmt/format.h>

#include <cmath>

#include "experiments/cli/program.h"
#include "experiments/report/inference.h"
#include "experiments/report/section.h"
#include "experiments/report/statistics.h"
#include "experiments/run/run_folder.h"
#include "experiments/study/rate_distortion.h"
#include "experiments/study/runs.h"

using namespace versor;

namespace {

// The names of the classes, or their numbers where they have none.
std::vector<std::string> classes_of(const DatasetPair& images) {
  std::vector<std::string> names = images.train.classes;
  for (const Dataset* set : {&images.train, &images.test})
    for (const int32_t label : set->labels)
      while (static_cast<int32_t>(names.size()) <= label)
        names.push_back(std::to_string(names.size()));
  return names;
}

// Of an image, for --anchors: the time of the eigenvalues grows with the third power.
constexpr int64_t kMostComponents = 4096;

// Mean and standard deviation of the pixels, as the network sees them: byte p as p * 2/255 - 1.
Summary pixels(const Dataset& set) {
  const uint8_t* p = set.images.data<uint8_t>();
  const int64_t n = set.images.numel();
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double x = p[i] * (2.0 / 255) - 1;
    sum += x;
    squares += x * x;
  }
  const double mean = sum / static_cast<double>(n);
  return {1, mean, std::sqrt(squares / static_cast<double>(n) - mean * mean)};
}

// Errors per component, pixels in [-1,1], with which those of a model can be compared.
Table anchors(const Dataset& train) {
  Table table{.file = "table1-anchors", .title = "Mean squared error at a given number of bits"};
  table.notes = {
      "Gaussian: the rate-distortion function of a Gaussian source with the covariance of the " +
      std::to_string(train.size()) +
      " training images (rate_distortion.h). Images are not Gaussian and allow less error; coding "
      "one image at a time costs some."};
  table.columns = {"bits per image", "Gaussian"};
  const std::vector<double> covariance = covariance_of(train);
  const auto components = std::lround(std::sqrt(covariance.size()));
  const std::vector<double> variances = symmetric_eigenvalues(covariance, components);
  for (const int bits : {320, 640, 1280})
    table.rows.push_back(
        {std::to_string(bits), fmt::format("{:.5f}", gaussian_distortion(variances, bits))});
  return table;
}

Section make_section(const DatasetPair& images, bool paper) {
  Section section;
  section.name = "table1";
  section.title = "Table 1: CIFAR-10";
  if (!paper)
    section.scale = fmt::format("Not CIFAR-10: {}, nothing here is compared with the paper",
                                images.train.synthetic ? "synthetic images" : images.train.title());
  Table table{.file = "table1",
              .title = (images.train.folder.empty() ? "Images of " : "") + images.train.title()};
  table.columns = {"class", "training images", "test images"};
  const std::vector<std::string> classes = classes_of(images);
  for (size_t c = 0; c < classes.size(); ++c)
    table.rows.push_back(
        {classes[c],
         std::to_string(std::count(images.train.labels.begin(), images.train.labels.end(), c)),
         std::to_string(std::count(images.test.labels.begin(), images.test.labels.end(), c))});
  table.rows.push_back(
      {"total", std::to_string(images.train.size()), std::to_string(images.test.size())});
  if (paper) {
    const auto word = [&](int64_t ours, int64_t theirs) {
      ++section.verdicts[ours == theirs ? kEquivalent : kDiffers];
      return ours == theirs ? "equal" : kDiffers;
    };
    table.rows.push_back({"paper, total", "50000", "10000"});
    table.rows.push_back(
        {"verdict", word(images.train.size(), 50'000), word(images.test.size(), 10'000)});
    section.findings.push_back(
        fmt::format("Table 1: {} training and {} test images in {} classes were read.",
                    images.train.size(), images.test.size(), classes.size()));
  }
  section.tables.push_back(table);
  const Summary train = pixels(images.train), test = pixels(images.test);
  section.notes.push_back(fmt::format(
      "Pixels in [-1,1]: mean {:.4f}, standard deviation {:.4f} (training); {:.4f}, {:.4f} (test). "
      "Always predicting the mean pixel would cost a reconstruction loss of {:.4f}.",
      train.mean, train.deviation, test.mean, test.deviation, train.deviation * train.deviation));
  return section;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Table 1: the images of the data set, counted from the files.");
  ManyRunsOptions options;
  add_many_runs_options(app, options);
  bool with_anchors = false;
  app.add_flag("--anchors", with_anchors,
               "the error of Gaussian data at 320, 640 and 1280 bits too (a minute)");
  return run_program(app, argc, argv, [&] {
    if (options.list) return 0;      // this table needs no runs
    RunOptions whole = options.run;  // all images in the files, however many a run would use
    if (whole.data.kind != DataKind::synthetic) whole.train_images = whole.test_images = 0;
    whole.batch_size = 1;
    const DatasetPair images = load_data(whole);
    const int64_t components = images.train.images.numel() / images.train.size();
    if (with_anchors && components > kMostComponents)
      throw UsageError("--anchors", fmt::format("takes images of up to {} numbers, these have {}",
                                                kMostComponents, components));
    Section section = make_section(images, whole.data.kind == DataKind::cifar10);
    if (with_anchors) section.tables.push_back(anchors(images.train));
    write_section(options.results, section);
    for (const Table& table : section.tables) fmt::print("{}", table.terminal());
    for (const std::string& note : section.notes) fmt::print("{}\n", note);
    fmt::print("\nwritten: {}/table1.md, table1.csv, table1.json\n", options.results);
    return 0;
  });
}
