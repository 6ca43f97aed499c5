// The precision of a run, and the settings of the device's libraries that go with it.
#pragma once

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/names.h"

namespace versor {

// Of activations and products. `automatic`: bf16 if that is fast on the device, else fp32.
enum class Precision { automatic, fp32, tf32, bf16 };

template <>
struct EnumNames<Precision> {
  static constexpr Named<Precision> all[] = {{Precision::automatic, "auto"},
                                             {Precision::fp32, "fp32"},
                                             {Precision::tf32, "tf32"},
                                             {Precision::bf16, "bf16"}};
};

// Finds the device, decides what `automatic` means on it, and configures the device's libraries.
// Never returns `automatic`. Throws Error if there is no such device, or if it has no tf32 and that
// was asked for.
Precision resolve_precision(Precision precision, Device device, bool deterministic = true);

// The type of activations in a precision.
DType activations_of(Precision precision);

}  // namespace versor
