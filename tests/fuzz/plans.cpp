// A table of measured plans: what was read and written is read again as the same.
#include "tensor/cuda/plan_table.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void check_plans(std::string_view input) {
  const std::string text(input);
  cuda::PlanTable read;
  if (!accepts("plans.txt", [&] { read = cuda::PlanTable("plans.txt", text); })) return;
  if (read.text().find("\nconv ") == std::string::npos) return;  // may lack card and version
  require(cuda::PlanTable("plans.txt", read.text()).text() == read.text(), "the same again");
}

}  // namespace

FUZZ_TARGET(plans, check_plans)

}  // namespace versor::fuzzing
