// What a run computes in, and the settings of the device's libraries that go with it.
#pragma once

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/names.h"

namespace versor {

// Of activations and products. `automatic`: bf16 where that is fast on the device, else fp32.
enum class Precision { automatic, fp32, tf32, bf16 };

template <>
struct EnumNames<Precision> {
  static constexpr Named<Precision> all[] = {{Precision::automatic, "auto"},
                                             {Precision::fp32, "fp32"},
                                             {Precision::tf32, "tf32"},
                                             {Precision::bf16, "bf16"}};
};

// Finds the device (throws Error if it is not there), decides what `automatic` stands for on it,
// refuses tf32 where there is none, and tells the device's libraries. Never returns `automatic`.
Precision resolve_precision(Precision precision, Device device, bool deterministic = true);

// The type of activations in a precision.
DType activations_of(Precision precision);

}  // namespace versor
