// A whole training run, as bin/train makes it: the same options, folder and bytes.
#include <csignal>
#include <nlohmann/json.hpp>

#include "experiments/run/option_table.h"
#include "experiments/run/trainer.h"
#include "python/bindings/bindings.h"

namespace versor::python {
namespace {

// A value as the word that a command line has for it.
std::string word_of(const py::handle& value) {
  if (py::isinstance<py::bool_>(value)) return value.cast<bool>() ? "1" : "0";
  if (!py::isinstance<py::list>(value) && !py::isinstance<py::tuple>(value)) return py::str(value);
  std::string words;
  for (const py::handle part : value) words += (words.empty() ? "" : ",") + word_of(part);
  return words;
}

const RunOption& option_named(const std::string& key) {
  for (const RunOption& option : run_option_table())
    if (option.key() == key) return option;
  fail("options", "there is no option ", key, "; bin/train --help lists them all");
}

// Python's own handlers, which the trainer's replace as long as it runs.
class SavedHandlers {
 public:
  SavedHandlers() {
    for (size_t i = 0; i < kCount; ++i) sigaction(kSignals[i], nullptr, &before_[i]);
  }
  ~SavedHandlers() {
    for (size_t i = 0; i < kCount; ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  static constexpr size_t kCount = std::size(kSignals);
  struct sigaction before_[kCount];
};

// Images u8 [M,H,W,C] of the caller's, for training and for testing.
using OwnImages = std::optional<std::pair<Tensor, Tensor>>;

Dataset dataset_of(const Tensor& images) {
  check(images.dtype() == DType::u8 && images.shape().rank() == 4, "images",
        "are u8 [M,H,W,C], not ", images.dtype(), " ", images.shape());
  check(images.dim(3) == 1 || images.dim(3) == 3, "images", "have ", images.dim(3),
        " channels; there are 1 (grey) and 3 (RGB)");
  return {images.to(Device{}), std::vector<int32_t>(static_cast<size_t>(images.dim(0))),
          "own images"};
}

DatasetPair images_for(const RunOptions& options, const OwnImages& own,
                       const py::kwargs& keywords) {
  if (!own) {
    const py::gil_scoped_release unlocked;
    return load_data(options);
  }
  for (const char* option : {"data", "data_dir", "size", "channels", "train_images", "test_images",
                             "validation_images", "test_fraction"})
    check(!keywords.contains(option), "images", "are given, so ", option, " would be ignored");
  return {dataset_of(own->first), dataset_of(own->second)};
}

class Run {
 public:
  Run(const OwnImages& own, const std::string& folder, const std::string& results, bool quiet,
      int64_t save_every, const py::kwargs& keywords)
      : folder_(folder) {
    RunOptions options = run_options_from(keywords);
    const DatasetPair images = images_for(options, own, keywords);
    fit_to_images(options, images);
    const py::gil_scoped_release unlocked;
    if (folder_.empty()) folder_ = results + "/runs/" + run_name(config_of(options, images));
    trainer_ = std::make_unique<Trainer>(options, images,
                                         TrainerSettings{.folder = folder_,
                                                         .quiet = quiet,
                                                         .save_every = save_every,
                                                         .has_source = !own.has_value()});
  }

  // True if epochs were trained, false if the run was finished before.
  bool run() {
    TrainingEnd end;
    {
      const py::gil_scoped_release unlocked;
      const SavedHandlers handlers;
      end = trainer_->run();
    }
    if (end == TrainingEnd::interrupted) {
      PyErr_SetString(PyExc_KeyboardInterrupt,
                      ("saved in " + folder_ + "; the same run goes on from there").c_str());
      throw py::error_already_set();
    }
    return end == TrainingEnd::finished;
  }

  std::map<std::string, std::vector<double>> metrics() const {
    const MetricsTable table = read_metrics(folder_ + "/metrics.csv");
    std::map<std::string, std::vector<double>> columns;
    for (const std::string& name : table.columns) columns[name] = table.column(name);
    return columns;
  }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace

RunOptions run_options_from(const py::kwargs& keywords) {
  std::vector<std::string> words = {"versor"};
  for (const auto& [key, value] : keywords) {
    if (value.is_none()) continue;
    const RunOption& option = option_named(key.cast<std::string>());
    if (!option.is_flag)
      words.push_back(option.name + "=" + word_of(value));
    else if (value.cast<bool>())
      words.push_back(option.name);
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  RunOptions options;
  Options parser("");
  add_run_options(parser, options);
  parser.parse(static_cast<int>(arguments.size()), arguments.data());
  resolve(options);
  return options;
}

void bind_training(py::module_& m) {
  py::class_<Run>(m, "Trainer",
                  "A training run in a folder, with the options of bin/train as keywords: "
                  "Trainer(data=\"synthetic\", latent=32, epochs=2, dead_codes=0.1).run()")
      .def(py::init<const OwnImages&, const std::string&, const std::string&, bool, int64_t,
                    const py::kwargs&>(),
           "images"_a = py::none(), "folder"_a = "", "results"_a = "results", "quiet"_a = true,
           "save_every"_a = 0)
      .def("run", &Run::run,
           "Trains what remains; an interrupted run goes on where it was. Ctrl-C finishes the "
           "step, saves and raises KeyboardInterrupt. False: it was finished before.")
      .def("metrics", &Run::metrics, "The columns of metrics.csv, a number for each epoch.")
      .def_property_readonly("folder", &Run::folder);
  m.def(
      "options",
      [] {
        py::dict all;
        RunOptions defaults;
        apply_preset(defaults);
        for (const RunOption& option : run_option_table()) {
          const auto value = option.value(defaults);
          all[option.key().c_str()] = value.is_null() ? "" : text_of(value);
        }
        return all;
      },
      "All options of a run and their defaults, as on a command line.");
}

}  // namespace versor::python
