// Quantizers from options: see family.h.
#include "vq/family.h"

#include <bit>

#include "vq/fsq.h"
#include "vq/grouped.h"
#include "vq/lfq.h"
#include "vq/projected.h"
#include "vq/residual.h"
#include "vq/simvq.h"
#include "vq/vector_quantizer.h"

namespace versor {
namespace {

enum Purpose : uint64_t { kProjection = 200, kLayers, kParts };

bool is_grid(QuantizerKind kind) {
  return kind == QuantizerKind::fsq || kind == QuantizerKind::lfq || kind == QuantizerKind::bsq;
}

// The number of columns of a grid's codes.
int64_t dimensions_of(const QuantizerOptions& o) {
  if (o.kind == QuantizerKind::fsq) return static_cast<int64_t>(o.levels.size());
  const auto codes = static_cast<uint64_t>(o.codebook.codes);
  check(o.codebook.codes >= 2 && std::has_single_bit(codes), "quantizer",
        "codes made of signs come in powers of two, got ", o.codebook.codes);
  return std::bit_width(codes) - 1;
}

void check_options(const QuantizerOptions& o) {
  check(o.groups >= 1 && o.layers >= 1, "quantizer", "groups and layers must be at least 1, got ",
        o.groups, " and ", o.layers);
  check(o.codebook_dim >= 0, "quantizer", "the length of a code cannot be ", o.codebook_dim);
  check(!o.shared || o.groups > 1 || o.layers > 1, "quantizer",
        "a shared codebook needs several groups or layers that share it");
  check(!o.layer_dropout || o.layers > 1, "quantizer",
        "to drop layers at random there must be several");
  const CodebookOptions& c = o.codebook;
  check(o.kind == QuantizerKind::vq ||
            !(c.cosine || c.soft_em > 0 || c.orthogonality > 0 || c.diversity > 0),
        "quantizer",
        "cosine, soft EM, orthogonality and diversity are of a learned codebook: the kind must be "
        "vq");
  check(!o.shared || o.groups == 1 || o.layers == 1, "quantizer",
        "a shared codebook goes with groups or with layers, not with both");
  check(o.layers == 1 || !is_grid(o.kind), "quantizer",
        "residual layers need codes that shrink with what is left over; a grid's have a fixed "
        "distance: use groups");
  check(!(is_grid(o.kind) && o.codebook_dim > 0 && o.codebook_dim != dimensions_of(o)), "quantizer",
        "the codes of this grid have ", is_grid(o.kind) ? dimensions_of(o) : 0, " dimensions, not ",
        o.codebook_dim);
}

// A single quantizer for rows of `latent` columns.
QuantizerPointer make_single(const QuantizerOptions& o, int64_t latent, Rng rng, Device device) {
  switch (o.kind) {
    case QuantizerKind::fsq:
      return std::make_unique<FiniteScalarQuantizer>(o.levels, o.estimator, rng, device);
    case QuantizerKind::lfq:
    case QuantizerKind::bsq: {
      const SignOptions signs{.bits = latent,
                              .spherical = o.kind == QuantizerKind::bsq,
                              .entropy_weight = o.entropy_weight};
      return std::make_unique<SignQuantizer>(signs, o.estimator, rng, device);
    }
    case QuantizerKind::simvq:
      return std::make_unique<SimVectorQuantizer>(o.codebook.codes, latent, o.estimator, rng,
                                                  device);
    case QuantizerKind::vq:
      break;
  }
  CodebookOptions codebook = o.codebook;
  codebook.latent = latent;
  return std::make_unique<VectorQuantizer>(codebook, o.estimator, rng, device);
}

QuantizerPointer make_layers(const QuantizerOptions& o, int64_t latent, Rng rng, Device device) {
  if (o.layers == 1) return make_single(o, latent, rng, device);
  const ResidualOptions residual{
      .layers = o.layers, .shared = o.shared, .dropout = o.layer_dropout, .estimator = o.estimator};
  return std::make_unique<ResidualQuantizer>(
      residual,
      [&](int64_t l) {
        return make_single(o, latent, rng.split(kParts).split(static_cast<uint64_t>(l)), device);
      },
      rng.split(kLayers), device);
}

QuantizerPointer make_projected(const QuantizerOptions& o, int64_t latent, Rng rng, Device device) {
  const int64_t inner = is_grid(o.kind) ? dimensions_of(o) : o.codebook_dim;
  if (inner == 0) return make_layers(o, latent, rng, device);
  return std::make_unique<ProjectedQuantizer>(latent, inner, make_layers(o, inner, rng, device),
                                              rng.split(kProjection), device);
}

}  // namespace

QuantizerPointer make_quantizer(const QuantizerOptions& o, Rng rng, Device device) {
  check_options(o);
  const int64_t latent = o.codebook.latent;
  if (o.groups == 1) return make_projected(o, latent, rng, device);
  return std::make_unique<GroupedQuantizer>(
      latent, o.groups, o.shared && o.layers == 1, [&](int64_t g) {
        return make_projected(o, latent / o.groups,
                              rng.split(kParts).split(static_cast<uint64_t>(g)), device);
      });
}

}  // namespace versor
