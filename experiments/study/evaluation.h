// Evaluates a model on a set of images, with the codes of one pass through the encoder and, if
// asked for, with searched codes (vq/refine.h).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "data/dataset.h"
#include "experiments/run/run_options.h"
#include "vq/refine.h"

namespace versor {

// How well one way of encoding does on the whole set.
struct CodesQuality {
  double mse = 0;                    // mean over the images; pixels lie in [-1,1]
  double psnr = 0;                   // dB, of that mean
  double ssim = 0;                   // mean over the images
  double usage = 0, perplexity = 0;  // of the codes over the whole set (vq/usage.h)
  int64_t codes_used = 0;
};

struct Evaluation {
  int64_t images = 0;
  CodesQuality one_pass;
  std::optional<CodesQuality> refined;
  double changed = 0;  // the fraction of symbols that the search changed
  double refine_seconds = 0;
};

// How many images to take at a time: `small` of 32 x 32 pixels, fewer larger ones, no more than the
// set has.
int64_t images_at_once(const Dataset& set, int64_t small);

// `batch` images at a time. Throws Error as refine_codes does, and for a model of two levels if a
// search is asked for.
Evaluation evaluate(VqModel& model, const Dataset& set, int64_t batch, Device device,
                    const std::optional<RefineOptions>& refine);

nlohmann::ordered_json to_json(const Evaluation& evaluation);

}  // namespace versor
