// Profile: calls, multiplications and additions, and bytes of each primitive, by name.
#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_CASE("trace: a profile counts calls, arithmetic and bytes while it lives") {
  const Tensor a = ops::full({10, 20}, 1.f, test_device());
  const Tensor b = ops::full({20, 30}, 1.f, test_device());
  const Tensor x = ops::zeros({2, 8, 8, 3}, test_device());
  const Tensor weight = ops::zeros({5, 3, 3, 3}, test_device());
  {
    Profile profile;
    CHECK(profile.entries().empty());
    ops::matmul(a, b);
    ops::matmul(a, b);
    ops::conv2d(x, weight, {}, {2, 1});
    ops::relu(a);
    const auto& entries = profile.entries();
    CHECK(entries.size() == 3);
    const ProfileEntry& product = entries.at("matmul");
    CHECK(product.calls == 2);
    CHECK(product.flops == 2 * (2 * 10 * 20 * 30));
    CHECK(product.bytes == 2 * 4 * (200 + 600 + 300));
    CHECK(product.seconds > 0);
    CHECK(entries.at("conv2d").flops == 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3));
    CHECK(entries.at("conv2d").bytes == 4 * (160 + 384 + 135));
    CHECK(entries.at("unary relu").calls == 1);
    CHECK(error_of([] { Profile second; }) == "[profile] is on already");
    profile.clear();
    ops::relu(a);
    CHECK(entries.size() == 1);
  }
  ops::relu(a);  // nothing is profiled
  Profile fresh;
  CHECK(fresh.entries().empty());
}

TEST_CASE("trace: a primitive that has several operations is named with the one it ran") {
  const Tensor a = ops::full({2, 3}, 1.f, test_device()), v = ops::full({3}, 2.f, test_device());
  Tensor sum = ops::clone(a);
  Profile profile;
  ops::unary_grad(a, a, UnaryOp::square);
  ops::unary(a, UnaryOp::tanh);
  ops::mul(a, a);
  ops::add_to(sum, a);
  ops::binary_rows(a, v, BinaryOp::div);
  ops::affine(a, 2.f, 1.f);
  ops::cast(a, DType::bf16);
  std::vector<std::string> names;
  for (const auto& [name, entry] : profile.entries()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"affine", "binary add", "binary mul", "binary_rows div",
                                          "cast", "unary tanh", "unary_grad square"});
}

}  // namespace
}  // namespace versor::testing
