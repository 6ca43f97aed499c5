// Stands in for the CUDA backend in a build without CUDA.
#include "tensor/cuda/backend.h"
#include "tensor/cuda/tuning.h"

namespace versor {

Backend& cuda_backend(int index) {
  throw Error(str("no CUDA device: this build has no CUDA (cuda:", index, " was asked for)"));
}

// Never called: there is no backend to call them with.
namespace cuda {

struct ConvTuner::State {};
ConvTuner::ConvTuner(Device, const ConvKey&) {}
ConvTuner::~ConvTuner() = default;
PlanOptions ConvTuner::options() {
  return {};
}
std::optional<PlanTiming> ConvTuner::measure(const EngineChoice&) {
  return {};
}
std::optional<PlanTiming> ConvTuner::measure_in_use() {
  return {};
}
PlanTiming ConvTuner::measure_primitive(const BackendOptions&) {
  return {};
}
ConvTuner::Pair ConvTuner::measure_pair(ConvTuner&, ConvTuner&) {
  return {};
}
PlanTable empty_table(Device) {
  return {};
}
std::vector<ConvKey> planned_convolutions(Device) {
  return {};
}
void use_plans(Device, PlanTable) {}
double error_bound(const ConvKey&) {
  return 0;
}

}  // namespace cuda
}  // namespace versor
