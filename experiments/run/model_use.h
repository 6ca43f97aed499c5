// For programs that use a trained model (encode, decode, inspect): the options that decide
// otherwise than the run where and how to compute, and the images that the run knew.
#pragma once

#include <string>

#include "experiments/cli/options.h"
#include "experiments/run/model_file.h"

namespace versor {

// --device, --precision, --threads, --max-memory, --data and --data-dir. What is not given stays
// as in the run.
class ModelUse {
 public:
  explicit ModelUse(Options& app);

  // The model in a run's folder or a file: see load_model. `on_cpu`: on the CPU, wherever the run
  // was, unless --device says otherwise.
  LoadedModel load(const std::string& path, bool on_cpu = false) const;

 private:
  Options& app_;
  RunOptions asked_;
};

// The images that the run was trained or evaluated on; `test` are the test images even if held-back
// training images took their place in the run.
enum class RunImages { train, validation, test };

template <>
struct EnumNames<RunImages> {
  static constexpr Named<RunImages> all[] = {{RunImages::train, "train"},
                                             {RunImages::validation, "validation"},
                                             {RunImages::test, "test"}};
};

// Throws Error, naming the model's file, if the images that are found are not those of the run, and
// UsageError if the run held none back for validation.
Dataset images_of(const LoadedModel& loaded, RunImages which);

}  // namespace versor
