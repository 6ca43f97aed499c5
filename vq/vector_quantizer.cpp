// The vector quantizer: see vector_quantizer.h.
#include "vq/vector_quantizer.h"

#include <algorithm>
#include <utility>

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
    out.auxiliary_loss =
        add_terms(out.auxiliary_loss,
                  scale(diversity_loss(p, pass.means), static_cast<float>(options.diversity)));
  }
  return out;
}

// The rows of a batch are those of its first use, then those of its second, and so on.
Tensor VectorQuantizer::update(const std::vector<Quantized>& passes, const Tensor& guard,
                               Communicator& communicator) {
  LookupQuantizer::update(passes, guard, communicator);
  if (passes.empty() || !codebook_.needs_statistics()) return {};
  int64_t uses = 0, whole = 0;  // whole: rows of the passes over whole batches
  for (const Quantized& pass : passes) {
    uses = std::max(uses, pass.pass.number + 1);
    whole += pass.input.dim(0);
  }
  Codebook::Statistics all;
  int64_t before = 0;
  for (const Quantized& pass : passes) {
    RowPart rows = pass.pass.rows;
    if (rows.is_whole) {
      rows.total = whole;
      rows.first = std::exchange(before, before + pass.input.dim(0));
    } else {
      rows.first += pass.pass.number * rows.total;
      rows.total *= uses;
    }
    const auto part = codebook_.statistics(pass.input, pass.index.reshape({pass.index.dim(1)}),
                                           pass.counts.reshape({pass.counts.dim(1)}), rows);
    if (all.sums.defined())
      all.add(part);
    else
      all = part;
  }
  all.all_reduce(communicator);
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
