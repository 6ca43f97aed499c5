// The report's section on generation: images sampled from a prior and from a diffusion model of a
// finished run, beside its reconstructions and real images, as numbers and as pictures.
//   bin/generation results/runs/NAME
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <sstream>

#include "data/image_grid.h"
#include "data/ssim.h"
#include "experiments/cli/program.h"
#include "experiments/generate/image_judge.h"
#include "experiments/generate/image_sampler.h"
#include "experiments/generate/sample_quality.h"
#include "experiments/report/section.h"
#include "experiments/run/metrics.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"
#include "tensor/file.h"
#include "tensor/ops.h"

using namespace versor;

namespace {

namespace fs = std::filesystem;

constexpr int64_t kClasses = 10, kOfClass = 10;  // of a grid
constexpr int64_t kBeside = 12;                  // samples beside their neighbours
constexpr int64_t kStates = 9;                   // of a denoising sequence or an interpolation
constexpr int kScale = 2;

struct Asked {
  std::string model, classifier, prior, diffusion, results = "results", png;
  int64_t count = 1000;
  uint64_t seed = 1;
  double guidance = 0;
  bool ancestral = false, snapshots = false;
};

// --- pictures ------------------------------------------------------------------------------------

void add_picture(Section& section, const Asked& asked, const std::string& name,
                 const std::vector<Tensor>& rows, const std::string& caption) {
  const std::string file = fmt::format("generation/{}.png", name);
  fs::create_directories(asked.results + "/generation");
  write_image_grid(asked.results + "/" + file, rows, kScale);
  section.pictures.push_back({.file = file, .caption = caption});
}

void judge_set(ImageJudge& judge, const Dataset& set, bool has_classes = true) {
  judge.add(set, has_classes);
  fmt::print("{}: Fréchet distance {}\n", set.name, judge.table().rows.back()[2]);
  std::fflush(stdout);
}

// Classes in turn.
std::vector<int32_t> labels_in_turn(int64_t count, int64_t classes) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < count; ++i)
    labels.push_back(static_cast<int32_t>(classes == 0 ? 0 : i % classes));
  return labels;
}

// A row of a class, or ten rows where there are none.
void add_classes(Section& section, const Asked& asked, const Dataset& set, int64_t classes,
                 const std::string& name) {
  std::vector<Tensor> rows;
  for (int64_t row = 0; row < (classes > 0 ? std::min(classes, kClasses) : kClasses); ++row) {
    std::vector<int32_t> numbers;
    for (int64_t i = row; i < set.size() && std::ssize(numbers) < kOfClass;
         i += classes > 0 ? classes : kClasses)
      numbers.push_back(static_cast<int32_t>(i));
    if (!numbers.empty()) rows.push_back(pixels_of(chosen(set, numbers, "")));
  }
  add_picture(section, asked, name + "-classes", rows,
              fmt::format("Samples: {}, {}, not selected.", set.name,
                          classes > 0 ? "a class in each row" : "without classes"));
}

void add_neighbours(Section& section, const Asked& asked, const ImageJudge& judge,
                    const Dataset& set, const std::string& name) {
  const Dataset some = head(set, std::min(kBeside, set.size()));
  const int64_t values = some.images.numel() / some.size();
  const auto flat = [&](const Dataset& set) {
    return pixels_of(set).reshape({set.size(), values});
  };
  const auto by_pixels = nearest_in(flat(some), flat(judge.reference())).index;
  add_picture(
      section, asked, name + "-neighbours",
      {pixels_of(some), pixels_of(chosen(judge.reference(), judge.nearest(some), "")),
       pixels_of(chosen(judge.reference(), by_pixels, ""))},
      fmt::format("Are they copies? Samples ({}) above the training images that are nearest "
                  "by features and, in the third row, by pixels.",
                  set.name));
}

// Images [1,H,W,C] side by side.
Tensor side_by_side(const std::vector<Tensor>& images) {
  Tensor row({std::ssize(images), images[0].dim(1), images[0].dim(2), images[0].dim(3)});
  for (size_t i = 0; i < images.size(); ++i) {
    Tensor here = row.rows(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
    ops::copy(here, images[i]);
  }
  return row;
}

void add_denoising(Section& section, const Asked& asked, const ImageSampler& sampler,
                   const DiffusionSampling& sampling) {
  std::vector<Tensor> noisy, expected;
  sample_latents(sampler.denoiser(), labels_in_turn(3, sampler.classes()), sampling, 0,
                 [&](double, const Tensor& x, const Tensor& x0) {
                   noisy.push_back(ops::clone(x));
                   expected.push_back(ops::clone(x0));
                 });
  std::vector<std::vector<Tensor>> rows(6);
  for (int64_t state = 0; state < kStates; ++state) {
    const auto step = static_cast<size_t>(state * (std::ssize(noisy) - 1) / (kStates - 1));
    for (const auto& [latents, first] : {std::pair{noisy[step], 0}, std::pair{expected[step], 1}}) {
      const Tensor images = sampler.decoded(sampler.denoiser().latents_of(latents));
      for (int64_t n = 0; n < 3; ++n) rows[2 * n + first].push_back(images.rows(n, n + 1));
    }
  }
  std::vector<Tensor> grid;
  for (const auto& row : rows) grid.push_back(side_by_side(row));
  add_picture(section, asked, "denoising", grid,
              "Noise becomes latents: three samples from left to right, decoded, each above what "
              "the network expects in the end.");
}

void add_interpolation(Section& section, const Asked& asked, const LoadedModel& first_stage,
                       const Dataset& test) {
  const int64_t pairs = std::min<int64_t>(4, test.size() / 2);
  const Tensor images = pixels_of(head(test, 2 * pairs)).to(first_stage.options.device);
  const Tensor latents = encode_latents(*first_stage.model, images);
  std::vector<Tensor> grid;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    std::vector<Tensor> row;
    for (int64_t state = 0; state < kStates; ++state) {
      const auto part = static_cast<float>(state) / (kStates - 1);
      const auto of = [&](int64_t n, float factor) {
        return ops::scaled(latents.rows(n, n + 1), factor);
      };
      const Tensor between = ops::add(of(2 * pair, 1 - part), of(2 * pair + 1, part));
      row.push_back(decode_latents(*first_stage.model, between, images.rows(0, 1).shape()).to({}));
    }
    grid.push_back(side_by_side(row));
  }
  add_picture(section, asked, "interpolation", grid,
              "From one test image to another: latents between those of the two, quantized and "
              "decoded.");
}

// --- the section ---------------------------------------------------------------------------------

void judge_source(Section& section, const Asked& asked, ImageJudge& judge,
                  const ImageSampler& sampler, const ImageSampling& sampling,
                  const std::string& name) {
  const std::vector<int32_t> labels = labels_in_turn(asked.count, sampler.classes());
  const Dataset set = as_bytes(sampler.images(labels, sampling), labels, "samples of the " + name);
  judge_set(judge, set, sampler.classes() > 0);
  add_classes(section, asked, set, sampler.classes(), name);
  add_neighbours(section, asked, judge, set, name);
}

// The Fréchet distance of samples after parts of the training (--snapshots of bin/diffusion).
void add_checkpoints(Section& section, const Asked& asked, const ImageJudge& judge,
                     const LoadedModel& first_stage, const ImageSampling& sampling) {
  std::map<int64_t, std::string> snapshots;  // by epoch
  check(is_there(asked.diffusion + "/snapshots"), "generation", asked.diffusion,
        " has no snapshots: train it with --snapshots");
  for (const auto& entry : fs::directory_iterator(asked.diffusion + "/snapshots"))
    snapshots[std::atoll(entry.path().stem().c_str())] = entry.path().string();
  Curve curve;
  curve.name = "samples by DDIM";
  for (const auto& [epoch, path] : snapshots) {
    const ImageSampler sampler(path, first_stage);
    const std::vector<int32_t> labels = labels_in_turn(asked.count, sampler.classes());
    curve.x.push_back(static_cast<double>(epoch));
    curve.y.push_back(judge.distance(as_bytes(sampler.images(labels, sampling), labels, path)));
    fmt::print("after {} epochs: Fréchet distance {:.3f}\n", epoch, curve.y.back());
    std::fflush(stdout);
  }
  add_plot(
      section, asked.results,
      {.file = "generation-checkpoints",
       .title = "Samples of the diffusion model in the course of its training",
       .y_label = "Fréchet distance",
       .curves = {curve}},
      fmt::format("Of {} samples, with the averaged weights after so many epochs.", asked.count));
}

// Every column of a run's metrics.csv.
void add_training(Section& section, const Asked& asked, const std::string& folder,
                  const std::string& name) {
  const MetricsTable metrics = read_metrics(folder + "/metrics.csv");
  Plot plot{.file = "generation-" + name, .title = "Training of the " + name};
  for (size_t i = 1; i < metrics.columns.size(); ++i)
    plot.curves.push_back(
        epoch_curve(metrics.columns[i], metrics.column(metrics.columns[i]), static_cast<int>(i)));
  add_plot(section, asked.results, plot, fmt::format("{}/metrics.csv.", folder));
}

Dataset reconstructions_of(const LoadedModel& first_stage, const Dataset& set) {
  Tensor images(set.images.shape());
  encode_images(*first_stage.model, set, std::min(first_stage.options.batch_size, set.size()),
                first_stage.options.device, into(images));
  return as_bytes(images, set.labels, "reconstructions of test images");
}

void judge_diffusion(Section& section, const Asked& asked, ImageJudge& judge,
                     const LoadedModel& first_stage) {
  const ImageSampler sampler(asked.diffusion, first_stage);
  check(!sampler.is_prior(), "generation", asked.diffusion, " is no diffusion model");
  ImageSampling sampling;
  sampling.latents = {.sampler = Sampler::ddim, .guidance = asked.guidance, .seed = asked.seed};
  judge_source(section, asked, judge, sampler, sampling, "diffusion");
  add_denoising(section, asked, sampler, sampling.latents);
  add_training(section, asked, asked.diffusion, "diffusion");
  if (asked.snapshots) add_checkpoints(section, asked, judge, first_stage, sampling);
  if (!asked.ancestral) return;
  sampling.latents.sampler = Sampler::ancestral;
  const std::vector<int32_t> labels = labels_in_turn(asked.count, sampler.classes());
  judge_set(judge, as_bytes(sampler.images(labels, sampling), labels, "diffusion, ancestral"),
            sampler.classes() > 0);
}

// What other codecs make of the test images (experiments/peers/image_codecs.py) beside the packed
// file of this run, whose bytes have the model in common, as codecs have their tables.
void add_codecs(Section& section, const Asked& asked, const std::string& csv, double bytes,
                const Dataset& test, const Dataset& reconstructions) {
  std::istringstream file(read_file(csv));
  std::string line, numbers = "quality,bytes,bytes_without_headers,psnr,ssim\n";
  std::vector<std::string> names;
  std::getline(file, line);
  check(line + "\n" == "codec," + numbers, "generation", csv, " has other columns than codec,",
        numbers);
  while (std::getline(file, line)) {
    names.push_back(line.substr(0, line.find(',')));
    numbers += line.substr(std::min(line.size(), names.back().size() + 1)) + "\n";
  }
  const MetricsTable metrics = parse_metrics(numbers, csv);
  Table table{.file = "generation-codecs",
              .title = "The packed file beside other codecs",
              .notes = {"Bytes of an image; without headers: without what images of one size and "
                        "quality can share. PSNR and SSIM of pictures of bytes."},
              .columns = {"codec", "quality", "bytes", "without headers", "PSNR", "SSIM"}};
  Plot plot{.file = "generation-codecs",
            .title = "Rate and distortion of the test images",
            .x_label = "bytes of an image without headers",
            .y_label = "PSNR in dB"};
  for (size_t i = 0; i < names.size(); ++i) {
    const std::vector<double>& row = metrics.rows[i];
    table.rows.push_back({names[i], fmt::format("{:g}", row[0]), fmt::format("{:.1f}", row[1]),
                          fmt::format("{:.1f}", row[2]), fmt::format("{:.2f}", row[3]),
                          fmt::format("{:.3f}", row[4])});
    if (i == 0 || names[i] != names[i - 1])
      plot.curves.push_back({names[i], {}, {}, static_cast<int>(plot.curves.size())});
    plot.curves.back().x.push_back(row[2]);
    plot.curves.back().y.push_back(row[3]);
  }
  const Tensor ours = pixels_of(reconstructions), theirs = pixels_of(test);
  const double psnr = 10 * std::log10(4 / static_cast<double>(ops::mse(ours, theirs).item()));
  std::string similarity;
  if (ours.dim(1) >= 11 && ours.dim(2) >= 11) {
    const std::vector<double> each = ssim(ours, theirs);
    similarity = fmt::format("{:.3f}", std::accumulate(each.begin(), each.end(), 0.0) /
                                           static_cast<double>(each.size()));
  }
  const std::string rate = fmt::format("{:.1f}", bytes);
  table.rows.push_back({"this run", "", rate, rate, fmt::format("{:.2f}", psnr), similarity});
  plot.curves.push_back({"this run", {bytes}, {psnr}, static_cast<int>(plot.curves.size())});
  section.tables.push_back(table);
  add_plot(
      section, asked.results, plot,
      "The prior's packed file of the test images beside other codecs. The decoder of this run "
      "was trained for such images; those of the others are for any.");
}

Section make_section(const Asked& asked, const LoadedModel& first_stage,
                     const DatasetPair& images) {
  Section section;
  section.name = "generation";
  section.title = "Generation: samples of a prior and of a diffusion model";
  ImageJudge judge({asked.classifier, asked.count, asked.seed, asked.png}, images.train,
                   first_stage.options.device);
  Dataset test = head(images.test, asked.count);
  test.name = "test images";
  judge_set(judge, judge.apart());
  judge_set(judge, test);
  const Dataset reconstructions = reconstructions_of(first_stage, test);
  judge_set(judge, reconstructions);
  if (!asked.prior.empty()) {
    ImageSampling sampling;
    sampling.symbols.seed = asked.seed;
    const ImageSampler sampler(asked.prior, first_stage);
    check(sampler.is_prior(), "generation", asked.prior, " is no prior");
    judge_source(section, asked, judge, sampler, sampling, "prior");
    add_training(section, asked, asked.prior, "prior");
  }
  if (!asked.diffusion.empty()) judge_diffusion(section, asked, judge, first_stage);
  if (first_stage.model->levels().size() == 1)
    add_interpolation(section, asked, first_stage, images.test);
  section.tables.push_back(judge.table());
  const std::string codecs = asked.results + "/image-codecs.csv",
                    packed = asked.prior + "/test-images.vqc";
  if (is_there(codecs) && is_there(packed))
    add_codecs(section, asked, codecs,
               static_cast<double>(fs::file_size(packed)) / static_cast<double>(images.test.size()),
               test, reconstructions);
  std::string finding =
      "Fréchet distance from the training images, by features of our own classifier:";
  for (const auto& row : judge.table().rows) finding += fmt::format(" {} {},", row[0], row[2]);
  finding.back() = '.';
  section.findings.push_back(finding);
  return section;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Judges samples of a finished run's prior and diffusion model, for the report.");
  Asked asked;
  app.add_option("model", asked.model, "the run's folder")->required();
  app.add_option("--classifier", asked.classifier,
                 "the folder of bin/classifier; default RESULTS/classifier-seed1");
  app.add_option("--prior", asked.prior,
                 "that of a bin/prior of the run; default its prior-seed1, if there is one");
  app.add_option(
      "--diffusion", asked.diffusion,
      "that of a bin/diffusion of the run; default its diffusion-seed1, if there is one");
  app.add_option("--count", asked.count,
                 "samples, and images that they are compared with; at most half of the training "
                 "images and all test images")
      ->check(in_range(8, 1 << 20))
      ->capture_default_str();
  app.add_option("--guidance", asked.guidance, "of the diffusion model, see bin/sample")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_flag("--ancestral", asked.ancestral, "sample the diffusion model with all steps, too");
  app.add_flag("--snapshots", asked.snapshots,
               "judge the diffusion model's snapshots, too (bin/diffusion --snapshots)");
  app.add_option("--png", asked.png,
                 "a folder for a folder of PNG files of every set, for other programs' FID");
  app.add_option("--results", asked.results)->capture_default_str();
  app.add_option("--seed", asked.seed)->check(kSeedNumber)->capture_default_str();
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] {
    if (asked.classifier.empty()) asked.classifier = asked.results + "/classifier-seed1";
    for (const auto& [folder, name] :
         {std::pair{&asked.prior, "/prior-seed1"}, std::pair{&asked.diffusion, "/diffusion-seed1"}})
      if (folder->empty() && is_there(asked.model + name + "/model.safetensors"))
        *folder = asked.model + name;
    for (const char* option : {"--guidance", "--ancestral", "--snapshots"})
      if (asked.diffusion.empty() && app.given(option))
        throw UsageError(option, "goes with --diffusion");
    const LoadedModel first_stage = use.load(asked.model);
    const DatasetPair images = images_of(first_stage);
    asked.count = std::min({asked.count, images.train.size() / 2, images.test.size()});
    const Section section = make_section(asked, first_stage, images);
    write_section(asked.results, section);
    fmt::print("\n{}\nwritten: {}/generation.md, generation.csv, generation.json\n",
               section.tables[0].terminal(), asked.results);
    return 0;
  });
}
