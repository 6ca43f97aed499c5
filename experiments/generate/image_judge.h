// Compares sets of images with a run's training images, in the terms of sample_quality.h and by the
// features of a classifier.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "experiments/generate/classifier.h"
#include "experiments/generate/sample_quality.h"
#include "experiments/report/table.h"

namespace versor {

// Images f32 [N,H,W,C] in [-1,1] as they are in a PNG file. Throws Error, with the name, for a NaN.
Dataset as_bytes(const Tensor& images, const std::vector<int32_t>& labels, const std::string& name);
// The images with these numbers.
Dataset chosen(const Dataset& set, const std::vector<int32_t>& numbers, const std::string& name);
// All images, f32 [N,H,W,C] in [-1,1] on the host.
Tensor pixels_of(const Dataset& set);

struct JudgeOptions {
  std::string classifier;  // folder or file
  int64_t count = 0;       // images of each set
  uint64_t seed = 1;
  std::string png = {};  // a folder for a folder of PNG files of each set; "": none
};

class ImageJudge {
 public:
  // `count` training images, at most half of them, are set apart, so that they can be judged, too:
  // their distance from the others is what the number of images alone leaves.
  ImageJudge(const JudgeOptions& options, const Dataset& train, Device device);

  // Adds the row of a set. Without classes its labels mean nothing.
  void add(const Dataset& set, bool has_classes = true);
  double distance(const Dataset& set) const;               // Fréchet's
  std::vector<int32_t> nearest(const Dataset& set) const;  // numbers of images of reference()

  const Dataset& apart() const { return apart_; }
  const Dataset& reference() const { return reference_; }  // the other training images
  const Table& table() const { return table_; }

 private:
  JudgeOptions options_;
  std::unique_ptr<Classifier> classifier_;
  Device device_;
  Dataset apart_, reference_;
  Tensor features_;  // of the reference
  FeatureMoments moments_;
  Table table_;
};

}  // namespace versor
