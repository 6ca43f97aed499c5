// The names of a quantizer's choices on command lines, in config.json and in messages.
#pragma once

#include "tensor/names.h"
#include "vq/family.h"

namespace versor {

template <>
struct EnumNames<Estimator> {
  static constexpr Named<Estimator> all[] = {{Estimator::ste, "ste"},
                                             {Estimator::rotation, "rotation"},
                                             {Estimator::reflection, "reflection"},
                                             {Estimator::published, "published"},
                                             {Estimator::rotation_unscaled, "rotation_unscaled"},
                                             {Estimator::gumbel, "gumbel"},
                                             {Estimator::diveq, "diveq"}};
};

template <>
struct EnumNames<CodebookLearning> {
  static constexpr Named<CodebookLearning> all[] = {{CodebookLearning::ema, "ema"},
                                                    {CodebookLearning::gradient, "gradient"},
                                                    {CodebookLearning::both, "both"}};
};

template <>
struct EnumNames<CodebookStart> {
  static constexpr Named<CodebookStart> all[] = {{CodebookStart::uniform, "uniform"},
                                                 {CodebookStart::kmeans, "kmeans"}};
};

template <>
struct EnumNames<Accumulators> {
  static constexpr Named<Accumulators> all[] = {{Accumulators::warm, "warm"},
                                                {Accumulators::zero, "zero"}};
};

template <>
struct EnumNames<QuantizerKind> {
  static constexpr Named<QuantizerKind> all[] = {{QuantizerKind::vq, "vq"},
                                                 {QuantizerKind::simvq, "simvq"},
                                                 {QuantizerKind::fsq, "fsq"},
                                                 {QuantizerKind::lfq, "lfq"},
                                                 {QuantizerKind::bsq, "bsq"}};
};

}  // namespace versor
