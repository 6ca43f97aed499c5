// Our own AVX-512 kernels, called directly: against the double reference, in f32 and bf16, with
// outputs between fences; and equal bits for every number of threads.
#include "tensor/cpu/avx512.h"
#include "tensor/ops.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_CASE("avx512: the weight gradient of every convolution that the kernel takes" * cpu_only()) {
  uint64_t seed = 700;
  int taken = 0;
  for (const ConvCase& c : conv_cases())
    for (DType type : {DType::f32, DType::bf16}) {
      CAPTURE(c.name);
      CAPTURE(str(type));
      ref::Random random(seed++);
      const bool wide = type == DType::f32;
      ref::Array x = random_array(random, c.input()), dy = random_array(random, c.output());
      if (!wide) x = rounded_to_bf16(x), dy = rounded_to_bf16(dy);
      const Fenced in(wide ? to_tensor(x) : to_bf16(x)), in_dy(wide ? to_tensor(dy) : to_bf16(dy));
      Fenced dweight(c.weight());
      if (!cpu::avx512::can_conv2d_grad_weight(dweight.view, in.view)) continue;
      ++taken;
      const auto run = [&] {
        cpu::avx512::conv2d_grad_weight(dweight.view, in.view, in_dy.view, c.params());
        return bits_of(dweight.view);
      };
      CHECK(same_bits_always(run));
      // bf16 products are exact in f32, so the bound is that of f32 in both.
      const ref::Array shape = to_array(dweight.view);
      check_output(dweight, ref::conv2d_grad_weight(x, dy, shape.shape, c.stride, c.padding));
    }
  if (taken == 0) MESSAGE("not run: this processor has no AVX-512, or VERSOR_AVX512=0");
}

}  // namespace
}  // namespace versor::testing
