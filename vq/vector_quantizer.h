// The vector quantizer of the paper: nearest code of a learned codebook, gradient estimator, losses
// and codebook update, in the order of section 2.2.
#pragma once

#include "vq/codebook.h"
#include "vq/lookup.h"

namespace versor {

class VectorQuantizer final : public LookupQuantizer {
 public:
  // Throws Error if the estimator trains the codes by gradients but the options make them moving
  // averages.
  VectorQuantizer(const CodebookOptions& options, const EstimatorOptions& estimator, Rng rng,
                  Device device);

  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor decode(const Tensor& index) const override;
  Vocabulary vocabulary() const override { return {1, codebook_.options().codes}; }
  int64_t start_rows() const override;
  void start_from(const Tensor& latents) override { codebook_.start_from(latents); }
  // Updates the codebook.
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {},
                Communicator& communicator = alone()) override;
  bool needs_batch_means() const override { return codebook_.options().diversity > 0; }
  std::vector<std::pair<std::string, Tensor>> counters() const override;

  Codebook& codebook() { return codebook_; }

 private:
  Tensor mean() const override { return codebook_.mean(); }

  Codebook codebook_;
};

}  // namespace versor
