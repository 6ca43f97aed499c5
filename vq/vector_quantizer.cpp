// The vector quantizer: see vector_quantizer.h.
#include "vq/vector_quantizer.h"

#include "autograd/functions.h"
#include "vq/losses.h"
#include "vq/names.h"

namespace versor {
namespace {

enum Purpose : uint64_t { kDraws = 100 };  // the codebook's own streams come before it

}  // namespace

VectorQuantizer::VectorQuantizer(const CodebookOptions& options, const EstimatorOptions& estimator,
                                 Rng rng, Device device)
    : LookupQuantizer(estimator, rng.split(kDraws), device, options.keeps_averages()),
      codebook_(options, rng, device) {
  const bool averages = options.learning != CodebookLearning::gradient;
  check(!(averages && trains_codes(estimator.estimator)), "quantizer", name_of(estimator.estimator),
        " trains the codes by the gradient of the value, which moving averages would undo: the "
        "owner must be gradient");
  check(!(averages && estimator.temperature > 0), "quantizer", "codes that are drawn (temperature ",
        estimator.temperature,
        ") are not those that a vector is nearest to, and moving averages would mix them all: the "
        "owner must be gradient");
  register_module("", codebook_);
}

Quantized VectorQuantizer::operator()(const Variable& e, ForwardPass pass) const {
  const CodebookOptions& options = codebook_.options();
  const Variable z = options.cosine ? normalize_rows(e) : e;
  const Variable codes = codebook_.codes();
  Quantized out = look_up(z, codes, pass);
  if (pass.training && options.orthogonality > 0)
    out.auxiliary_loss =
        scale(orthogonality_loss(codes), static_cast<float>(options.orthogonality));
  if (pass.training && options.diversity > 0) {
    const Variable p = softmax(code_logits(z, codes, options.diversity_temperature));
    out.auxiliary_loss = add_terms(out.auxiliary_loss,
                                   scale(diversity_loss(p), static_cast<float>(options.diversity)));
  }
  return out;
}

Tensor VectorQuantizer::update(const std::vector<Quantized>& passes, const Tensor& guard) {
  LookupQuantizer::update(passes, guard);
  if (passes.empty() || !codebook_.needs_statistics()) return {};
  const auto statistics = [&](const Quantized& pass) {
    return codebook_.statistics(pass.input, pass.index.reshape({pass.index.dim(1)}),
                                pass.counts.reshape({pass.counts.dim(1)}));
  };
  Codebook::Statistics all = statistics(passes[0]);
  for (size_t i = 1; i < passes.size(); ++i) all.add(statistics(passes[i]));
  return codebook_.update(all, guard);
}

Tensor VectorQuantizer::decode(const Tensor& index) const {
  return decode_symbol("vector quantizer", codebook_.codes().value(), index);
}

// k-means wants several vectors for each code.
int64_t VectorQuantizer::start_rows() const {
  const CodebookOptions& options = codebook_.options();
  return options.start == CodebookStart::kmeans ? 8 * options.codes : 0;
}

std::vector<std::pair<std::string, Tensor>> VectorQuantizer::counters() const {
  auto all = LookupQuantizer::counters();
  all.emplace_back("updates", codebook_.update_counter());
  return all;
}

}  // namespace versor
