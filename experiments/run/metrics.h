// The metrics of an epoch: plain means over its batches, as in the published CSVs, and the usage of
// the codes over the whole set. One list in metrics.cpp gives the names and order of the columns.
// Lambda and angle are those of vectors and codes about the estimator's origin.
// In a hierarchy, ratio, lambda and angle are those of the last level; all others cover every
// level. A step writes its numbers into a log on the device (MetricsLog) without waiting; the host
// adds them up (PassMetrics) when it shows or saves them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/run/training_step.h"
#include "vq/usage.h"

namespace versor {

// The numbers of every batch of a pass, and the histogram of codes; both stay on the device.
class MetricsLog {
 public:
  MetricsLog(int64_t batches, const Vocabulary& vocabulary, Device device);

  // Enqueues writing this batch's numbers to row batch[0]: those of the whole batch, of which the
  // step has this rank's parts.   batch i32 [1] on the device.
  void record(const StepResult& step, const Tensor& batch, Communicator& communicator = alone());

 private:
  friend class PassMetrics;
  Tensor table_;   // [batches, columns of metrics.cpp]
  Tensor counts_;  // i32 [L,K], since they were last read
  Tensor none_;    // i32 [1], zero, logged for numbers that a quantizer does not have
};

// Sums over the batches of one pass, training or evaluation.
class PassMetrics {
 public:
  explicit PassMetrics(const Vocabulary& vocabulary) : histogram_(vocabulary) {}

  // Adds the batches begin..end-1 of the log, and all codes counted since the last call. Waits for
  // the device.
  void add(MetricsLog& log, int64_t begin, int64_t end);

  int64_t batches() const { return batches_; }
  double images() const { return sums_.images; }
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
  // Throws Error or nlohmann's exception if the state is malformed; this object is then unusable.
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

// The header of metrics.csv, "epoch,train_loss,...", and a row of it.
std::string metrics_header();
std::string metrics_row(int64_t epoch, const PassMetrics& train, const PassMetrics& test);

// metrics.csv as a table, with columns by name. Reading throws Error naming the file if it is
// malformed. A last row without its line break is left out: it is being written, or a kill cut it
// off.
struct MetricsTable {
  std::string path;  // for errors
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;
  double last(const std::string& column) const;
  std::vector<double> column(const std::string& name) const;
};
MetricsTable read_metrics(const std::string& path);
// The same of a run that may not have written it yet: nothing of a file that is not there.
MetricsTable read_growing_metrics(const std::string& path);
// The same of a text, which errors call `path`.
MetricsTable parse_metrics(const std::string& text, const std::string& path);

}  // namespace versor
