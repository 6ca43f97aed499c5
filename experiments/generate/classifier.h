// A small residual network that names an image's class. It is here for its features, by which
// samples are judged (sample_quality.h). Names of the tensors, W the width; a ConvNorm is
// conv.weight, conv.bias, norm.*:
//   body.0            ConvNorm 4x4, stride 2, C -> 2W
//   body.1, body.3    ConvNorm 3x3, 2W -> 2W and, after the largest of 2x2 pixels, -> 4W
//   body.4.0, 4.1     ConvNorm 3x3, 4W -> 4W, whose result is added to their input (He et al. 2016)
//   last.weight, bias [classes,4W]  of the mean over all pixels, the features
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "nn/normalization.h"

namespace versor {

struct ClassifierOptions {
  int64_t channels = 3;  // of an image
  int64_t width = 32, classes = 10;
};

class Classifier final : public Module {
 public:
  Classifier(const ClassifierOptions& options, Rng rng, Device device);

  const ClassifierOptions& options() const { return options_; }
  // Images [N,H,W,C] in [-1,1], at least 8 pixels high and wide -> [N,4 width].
  Variable features(const Variable& images) const;
  Variable logits(const Variable& features) const { return last_(features); }  // [N,classes]

 private:
  ClassifierOptions options_;
  Sequential body_;
  Linear last_;
};

nlohmann::ordered_json config_of(const ClassifierOptions& options);
// A trained classifier (bin/classifier): `path` is its folder or file. Throws Error naming the file
// if it is malformed. Takes memory in proportion to the file.
std::unique_ptr<Classifier> load_classifier(const std::string& path, Device device);

// What a classifier that is set to evaluate sees in a set of images. Throws Error for a label that
// it does not know.
struct Classified {
  Tensor features;              // f32 [N,4 width], on the host
  std::vector<int32_t> labels;  // N, the most probable class
  double loss = 0;              // the mean of -log p(label)
  double accuracy = 0;          // the part of the images whose label is the most probable class
};
Classified classify(const Classifier& classifier, const Dataset& set, Device device);

}  // namespace versor
