// oneDNN against the plain reference in the same binary (tensor/cpu/matmul.h): all cases, and the
// model's layers at their full width, where the double reference would take too long.
#ifdef VERSOR_ONEDNN

#include "tensor/cpu/matmul.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_SUITE_BEGIN(cpu_only());

std::vector<ConvCase> all_cases() {
  std::vector<ConvCase> cases = conv_cases();
  for (const ConvCase& c : std::vector<ConvCase>{
           // name, N, H, W, I, O, kh, kw, stride, padding
           {"encoder.0", 4, 32, 32, 3, 128, 4, 4, 2, 1},
           {"encoder.2", 4, 16, 16, 128, 256, 4, 4, 2, 1},
           {"3x3 256", 4, 8, 8, 256, 256, 3, 3, 1, 1},
           {"odd width and batch", 3, 8, 8, 251, 77, 3, 3, 1, 1},
       })
    cases.push_back(c);
  return cases;
}

TEST_CASE("onednn: convolution agrees with the plain reference in all directions") {
  ref::Random random(61);
  for (const ConvCase& c : all_cases()) {
    CAPTURE(c.name);
    const Tensor x = to_tensor(random_array(random, c.input()));
    const Tensor weight = to_tensor(random_array(random, c.weight()));
    const Tensor dy = to_tensor(random_array(random, c.output()));
    const Epilogue epilogue{to_tensor(random_array(random, {c.O})), true};
    Fenced y(c.output()), dx(c.input()), dweight(c.weight());
    Tensor plain_y(c.output()), plain_dx(c.input()), plain_dweight(c.weight());
    cpu::onednn::conv2d(y.view, x, weight, epilogue, c.params());
    cpu::reference::conv2d(plain_y, x, weight, epilogue, c.params());
    check_output(y, to_array(plain_y));
    cpu::onednn::conv2d_grad_input(dx.view, dy, weight, c.params());
    cpu::reference::conv2d_grad_input(plain_dx, dy, weight, c.params());
    check_output(dx, to_array(plain_dx));
    cpu::onednn::conv2d_grad_weight(dweight.view, x, dy, c.params());
    cpu::reference::conv2d_grad_weight(plain_dweight, x, dy, c.params());
    check_output(dweight, to_array(plain_dweight));
  }
}

TEST_CASE("onednn: matrix product agrees with the plain reference") {
  ref::Random random(62);
  for (const Shape& sizes : {Shape{1, 1, 1}, Shape{7, 13, 17}, Shape{100, 270, 260},
                             Shape{512, 256, 1024}, Shape{1, 256, 1000}})
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        CAPTURE(sizes);
        CAPTURE(ta);
        CAPTURE(tb);
        const int64_t M = sizes[0], L = sizes[1], N = sizes[2];
        const Tensor a = to_tensor(random_array(random, ta ? Shape{L, M} : Shape{M, L}));
        const Tensor b = to_tensor(random_array(random, tb ? Shape{N, L} : Shape{L, N}));
        const Tensor bias = to_tensor(random_array(random, {N}));
        Fenced y({M, N});
        Tensor plain({M, N});
        cpu::onednn::matmul(y.view, a, b, ta, tb, bias);
        cpu::reference::matmul(plain, a, b, ta, tb, bias);
        check_output(y, to_array(plain));
      }
}

TEST_SUITE_END();

}  // namespace
}  // namespace versor::testing

#endif
