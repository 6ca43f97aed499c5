// Precision of a run: see precision.h.
#include "experiments/run/precision.h"

#include <cstdio>

#include "tensor/backend.h"
#include "tensor/environment.h"

namespace versor {

Precision resolve_precision(Precision precision, Device device, bool deterministic) {
  Backend& backend = backend_for(device);
  const DeviceInfo info = backend.info();
  const Precision best = info.fast_bf16 ? Precision::bf16 : Precision::fp32;
  const Precision chosen = precision == Precision::automatic ? best : precision;
  check(chosen != Precision::tf32 || info.has_tf32, "precision", "there is no TF32 on ", device,
        " (", info.name, "); use fp32 or bf16");
  static bool noted = false;  // noted once per process, which may make many runs
  if (chosen == Precision::bf16 && !info.fast_bf16 && !noted) {
    std::fprintf(stderr, "note: %s computes in f32 and rounds to bf16; fp32 is faster there\n",
                 info.name.c_str());
    noted = true;
  }
  // With bf16 too, the products that remain in f32 may use TF32: those of the nearest-code search,
  // whose result is exact either way, and the maps, logits and mixtures of some quantizers.
  backend.configure({.tf32 = chosen != Precision::fp32 && info.has_tf32,
                     .deterministic = deterministic,
                     .branches = environment_switch("VERSOR_BRANCHES", false)});
  return chosen;
}

DType activations_of(Precision precision) {
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

}  // namespace versor
