// Parameters in one flat buffer: values that live in it, gradients that are gathered into it, and
// clipping, which gathers them. Read next: test_layers.cpp.
#include "nn/adam.h"
#include "nn/clip.h"
#include "nn/flat_parameters.h"
#include "nn/layers.h"
#include "nn/sgd.h"
#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using ref::Array;

void set_gradient(const Variable& p, const Array& g) {
  backward_with(p, to_tensor(g));
}

// A root with two layers.
class Pair final : public Module {
 public:
  Pair() {
    register_module("first", first);
    register_module("second", second);
  }
  using Module::register_parameter;
  Linear first{3, 2, Rng(1), test_device()}, second{2, 1, Rng(2), test_device()};
};

}  // namespace

TEST_CASE("flat parameters: hold the values as they are, every shape, at multiples of 256 bytes") {
  ref::Random random(33);
  const Array a = rounded(random.array({3, 2, 2, 5})), b = rounded(random.array({1}));
  const Array c = rounded(random.array({130}));
  const Variable pa(to_tensor(a), true), pb(to_tensor(b), true), pc(to_tensor(c), true);
  const FlatParameters flat({pa, pb, pc});
  CHECK(pa.shape() == Shape{3, 2, 2, 5});
  CHECK(to_array(pa.value()).data == a.data);
  CHECK(to_array(pb.value()).data == b.data);
  CHECK(to_array(pc.value()).data == c.data);
  Array expected = ref::zeros({64 + 64 + 192});
  for (int64_t i = 0; i < 60; ++i) expected[i] = a[i];
  expected[64] = b[0];
  for (int64_t i = 0; i < 130; ++i) expected[128 + i] = c[i];
  CHECK(flat.values().shape() == Shape{320});
  CHECK(to_array(flat.values()).data == expected.data);

  // The first step is lr for each, whatever the gradient; no parameter overlaps its neighbour.
  Adam adam(flat, {.lr = 0.5f});
  CHECK(adam.first_moments()[0].shape() == pa.shape());
  CHECK(adam.second_moments()[2].shape() == pc.shape());
  set_gradient(pb, {{1}, {-7}});
  adam.step();
  CHECK(to_array(flat.values())[64] == doctest::Approx(b[0] + 0.5).epsilon(1e-5));
  CHECK(to_array(pa.value()).data == a.data);
  CHECK(to_array(pc.value()).data == c.data);
}

TEST_CASE("flat parameters: copies in another type, one pass for all, while they live") {
  ref::Random random(34);
  const Array a = rounded(random.array({3, 5})), b = rounded(random.array({70}));
  const Variable pa(to_tensor(a), true), pb(to_tensor(b), true);
  FlatParameters flat({pa, pb});
  const auto as_bf16 = [](const Variable& p) { return p.value_as(DType::bf16); };
  {
    Profile profile;
    const ParameterCopies copies(flat, DType::bf16);
    CHECK(to_array(as_bf16(pa)).data == rounded_to_bf16(a).data);
    CHECK(to_array(as_bf16(pb)).data == rounded_to_bf16(b).data);
    CHECK(as_bf16(pa).shape() == pa.shape());
    CHECK(profile.entries().at("cast").calls == 1);
    CHECK(pa.value_as(DType::f32).shares_storage_with(pa.value()));
    const ParameterCopies none(flat, DType::f32);
    CHECK(profile.entries().at("cast").calls == 1);
  }
  Tensor values = flat.values();
  ops::fill(values, 3);
  CHECK(to_array(as_bf16(pb)).data == ref::filled({70}, 3).data);
}

TEST_CASE("flat parameters: what is written to the buffer is the parameters' value") {
  const Variable p(to_tensor(ref::filled({2}, 1)), true), q(to_tensor(ref::filled({3}, 2)), true);
  const FlatParameters flat({p, q});
  Tensor values = flat.values();
  ops::fill(values, 5);
  CHECK(to_array(p.value()).data == std::vector<double>(2, 5));
  CHECK(to_array(q.value()).data == std::vector<double>(3, 5));
  Variable moved = q;
  moved.mutable_value() = to_tensor(ref::zeros({3}));
  CHECK(error_of([&] { flat.values(); }) ==
        "[parameters] parameter 1 ([3]) no longer lies in the flat buffer");
}

TEST_CASE("flat parameters: gathered gradients are views of one buffer, 0 where there is none") {
  const Variable p(to_tensor(ref::zeros({2})), true), q(to_tensor(ref::zeros({3})), true);
  const Variable r(to_tensor(ref::zeros({1, 2})), true);
  FlatParameters flat({p, q, r});
  set_gradient(p, {{2}, {1, 2}});
  set_gradient(r, {{1, 2}, {3, 4}});
  Tensor gradients = flat.gather_gradients();
  Array expected = ref::zeros({192});
  expected[0] = 1, expected[1] = 2, expected[128] = 3, expected[129] = 4;
  CHECK(to_array(gradients).data == expected.data);
  CHECK_FALSE(q.grad().defined());
  CHECK(r.grad().shape() == r.shape());
  ops::fill(gradients, 7);  // as a sum over machines would
  CHECK(to_array(p.grad()).data == std::vector<double>(2, 7));
  set_gradient(p, {{2}, {1, 1}});  // a second backward adds to it and leaves the buffer alone
  CHECK(to_array(p.grad()).data == std::vector<double>(2, 8));
  CHECK(to_array(gradients)[0] == 7);
  flat.zero_grad();
  CHECK_FALSE(p.grad().defined());
}

TEST_CASE("flat parameters: a module's are made once, and the root's alone") {
  Pair root;
  const auto before = to_array(root.first.parameters()[0].value()).data;
  FlatParameters& flat = root.flat_parameters();
  CHECK(&root.flat_parameters() == &flat);
  CHECK(flat.size() == 4);
  CHECK(to_array(root.first.parameters()[0].value()).data == before);
  CHECK(root.second.parameters()[1].value().shares_storage_with(flat.values()));
  const std::string refused =
      "[module] parameters lie in another module's flat buffer already; only the root has one";
  CHECK(error_of([&] { root.second.flat_parameters(); }) == refused);
  root.register_parameter("late", to_tensor(ref::zeros({2})));
  CHECK(error_of([&] { root.flat_parameters(); }) ==
        "[module] has 5 parameters, but 4 when its flat buffer was made");

  Pair other;
  other.first.flat_parameters();
  CHECK(error_of([&] { other.flat_parameters(); }) == refused);
  CHECK(other.second.flat_parameters().size() == 2);  // the refused call has left no trace
}

TEST_CASE("clip: scales all gradients to the norm, and returns the norm from before") {
  const Variable p(to_tensor(ref::zeros({2})), true), q(to_tensor(ref::zeros({1})), true);
  const Variable idle(to_tensor(ref::zeros({2})), true);
  set_gradient(p, {{2}, {1, -2}});
  set_gradient(q, {{1}, {2}});
  CHECK(clip_gradient_norm({p, q, idle}, 4).item() == 3);
  CHECK(to_array(p.grad()).data == std::vector<double>{1, -2});  // not a bit
  CHECK(clip_gradient_norm({p, q, idle}, 1.5f).item() == 3);
  CHECK(error(p.grad(), {{2}, {0.5, -1}}) <= 1e-6);
  CHECK(error(q.grad(), {{1}, {1}}) <= 1e-6);
  CHECK_FALSE(idle.grad().defined());
  CHECK(clip_gradient_norm({idle}, 1).item() == 0);
  set_gradient(q, {{1}, {std::nan("")}});
  CHECK(std::isnan(clip_gradient_norm({p, q}, 1).item()));
  CHECK(std::isnan(to_array(p.grad())[0]));
  CHECK(error_of([&] { clip_gradient_norm({p}, -1); }) == "[clip] a norm is not negative, got -1");
}

// a + b gives both the same gradient tensor: clipping must not scale it twice.
TEST_CASE("clip: gradients that share their memory are scaled once each") {
  const Variable a(to_tensor(ref::zeros({2})), true), b(to_tensor(ref::zeros({2})), true);
  set_gradient(a + b, {{2}, {3, 4}});
  CHECK(a.grad().shares_storage_with(b.grad()));
  clip_gradient_norm({a, b}, 0.5f);
  const double factor = 0.5 / std::sqrt(50.0);
  CHECK(error(a.grad(), {{2}, {3 * factor, 4 * factor}}) <= 1e-5);
  CHECK(error(b.grad(), {{2}, {3 * factor, 4 * factor}}) <= 1e-5);
}

}  // namespace versor::testing
