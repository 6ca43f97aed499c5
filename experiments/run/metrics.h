// What is measured in an epoch: plain means over its batches, as in the published CSVs, and usage
// of the codebook over the whole set. One list of columns in metrics.cpp gives names and order.
// Of a hierarchy, ratio, lambda and angle are the last level's, all others count every level.
// A step writes its numbers into a log on the device (MetricsLog) and nobody waits; the host adds
// them up (PassMetrics) when it wants to show or save them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vq/model.h"
#include "vq/usage.h"

namespace versor {

// The numbers of every batch of a pass, and the histogram of codes, on the device.
class MetricsLog {
 public:
  MetricsLog(int64_t batches, const Vocabulary& vocabulary, Device device);

  // Enqueues: row batch[0] gets the numbers of this batch.   batch i32 [1] on the device.
  // replaced: what the model's update returned, may be undefined.
  void record(const VqVaeOutput& output, const VqVaeLoss& loss, const Tensor& replaced,
              const Tensor& batch);

 private:
  friend class PassMetrics;
  Tensor table_;   // [batches, columns of metrics.cpp]
  Tensor counts_;  // i32 [L,K], since they were last taken
  Tensor none_;    // i32 [1], zero: what a quantizer does not have
};

// Sums over the batches of one pass, training or evaluation.
class PassMetrics {
 public:
  explicit PassMetrics(const Vocabulary& vocabulary) : histogram_(vocabulary) {}

  // Reads the batches begin..end-1 of the log, and all codes counted since the last time; waits
  // for the device.
  void add(MetricsLog& log, int64_t begin, int64_t end);

  int64_t batches() const { return batches_; }
  double loss() const { return mean(sums_.loss); }
  double reconstruction_loss() const { return mean(sums_.reconstruction); }
  double codebook_loss() const { return mean(sums_.codebook); }
  double commitment_loss() const { return mean(sums_.commitment); }
  double perplexity() const { return mean(sums_.perplexity); }
  double psnr() const;                // dB, of the mean loss; images lie in [-1,1]
  double quantization_ratio() const;  // mse(e,q) / var(e), of the vectors that are quantized
  double max_lambda() const { return sums_.max_lambda; }
  double mean_lambda() const { return mean(sums_.lambda); }
  double mean_angle() const { return mean(sums_.angle); }  // radians, between e and q
  double replaced_codes() const { return sums_.replaced; }
  double bits_per_image() const { return histogram_.entropy_bits() / sums_.images; }
  double nominal_bits_per_image() const { return histogram_.nominal_bits() / sums_.images; }
  const UsageHistogram& histogram() const { return histogram_; }

  nlohmann::json save() const;  // exact: numbers as hexadecimal floats
  // Throws Error or nlohmann's exception where the state is malformed, and is of no use then.
  void load(const nlohmann::json& saved);

 private:
  struct Sums {
    double loss = 0, reconstruction = 0, codebook = 0, commitment = 0, perplexity = 0, ratio = 0,
           lambda = 0, angle = 0, max_lambda = 0, replaced = 0, images = 0;
    std::vector<double*> all();
  };
  double mean(double sum) const { return sum / static_cast<double>(batches_); }

  Sums sums_;
  int64_t batches_ = 0;
  UsageHistogram histogram_;
};

// The columns of metrics.csv: "epoch,train_loss,..." and a row of them.
std::string metrics_header();
std::string metrics_row(int64_t epoch, const PassMetrics& train, const PassMetrics& test);

// metrics.csv as a table: columns by name. Throws Error naming the file if it is malformed.
struct MetricsTable {
  std::string path;  // for errors
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;
  double last(const std::string& column) const;
  std::vector<double> column(const std::string& name) const;
};
MetricsTable read_metrics(const std::string& path);

}  // namespace versor
