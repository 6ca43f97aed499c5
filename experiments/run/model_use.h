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

// The images that the run trained and was evaluated on. Throws Error, naming the model's file, if
// those that are found are others.
DatasetPair images_of(const LoadedModel& loaded);
// One of its sets. Throws Error likewise, and UsageError if the run held none back for validation.
Dataset images_of(const LoadedModel& loaded, RunImages which);

// A picture of one's own, or those of a folder in the order of their names: with the model's
// channels, and cropped and resized to squares of `size` pixels; 0: as they are. Throws Error,
// naming the path, if they cannot be read, differ in size, or have one that the model cannot take.
Dataset pictures_for(const LoadedModel& loaded, const std::string& path, int64_t size);

// How many images of a size go through the model together: as many as in the run's evaluation, or
// fewer if they are larger, so that they take no more memory.
int64_t batch_for(const LoadedModel& loaded, int64_t height, int64_t width);

}  // namespace versor
