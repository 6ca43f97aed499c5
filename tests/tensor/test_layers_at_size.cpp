// The model's convolutions at the paper's width, on the device under test against the CPU: a GPU
// runs other kernels there than for small ones, some compiled for the purpose. The batch is the
// paper's on a GPU, and one image where our CUDA kernels run on the CPU. Also products in TF32.
#include "tensor/ops.h"
#include "tests/support.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

constexpr double kTf32Tolerance = 3e-3;

bool on_a_gpu() {
  return !contains(backend_for(test_device()).info().name, "on the CPU");
}

struct Layer {
  const char* name;
  int64_t size, in, out, kernel, stride;
};
const Layer kLayers[] = {{"4x4 s2 3->128", 32, 3, 128, 4, 2},
                         {"4x4 s2 128->256", 16, 128, 256, 4, 2},
                         {"3x3 256->256", 8, 256, 256, 3, 1}};

double error_between(const Tensor& a, const Tensor& b) {
  return error(a, to_array(b));
}

// All three directions of a layer, and both epilogues of the two that have them.
void compare(const Layer& layer, int64_t batch, DType type, double tolerance) {
  const Conv2dParams params{layer.stride, 1};
  const Rng rng(11);
  const auto random = [&](uint64_t number, const Shape& shape, float size) {
    return ops::uniform(shape, rng.split(number), -size, size);
  };
  const int64_t half = params.out_size(layer.size, layer.kernel);
  // Rounded to the type first, so that both devices start from the same numbers.
  const auto rounded = [&](const Tensor& t) { return ops::cast(ops::cast(t, type), DType::f32); };
  const Tensor x = rounded(random(1, {batch, layer.size, layer.size, layer.in}, 1));
  const Tensor w = rounded(random(2, {layer.out, layer.kernel, layer.kernel, layer.in}, 0.05f));
  const Tensor dy = rounded(random(3, {batch, half, half, layer.out}, 1));
  const Tensor bias_y = random(4, {layer.out}, 1), bias_x = random(5, {layer.in}, 1);
  const auto there = [&](const Tensor& t) { return ops::cast(t.to(test_device()), type); };
  const Tensor gx = there(x), gw = there(w), gdy = there(dy);
  for (bool relu : {false, true})
    for (bool bias : {false, true}) {
      CAPTURE(relu);
      CAPTURE(bias);
      const auto epilogue = [&](const Tensor& b, Device device) {
        return Epilogue{bias ? b.to(device) : Tensor(), relu};
      };
      CHECK(error_between(ops::conv2d(gx, gw, epilogue(bias_y, test_device()), params),
                          ops::conv2d(x, w, epilogue(bias_y, {}), params)) <= tolerance);
      CHECK(error_between(ops::conv_transpose2d(gdy, gw, epilogue(bias_x, test_device()), params),
                          ops::conv_transpose2d(dy, w, epilogue(bias_x, {}), params)) <= tolerance);
    }
  CHECK(error_between(ops::conv2d_grad_weight(gx, gdy, w.shape(), params),
                      ops::conv2d_grad_weight(x, dy, w.shape(), params)) <= tolerance);
}

}  // namespace

TEST_CASE("layers at the paper's width: the device against the CPU, in every precision" *
          doctest::skip(!on_other_device())) {
  const int64_t batch = on_a_gpu() ? 128 : 1;
  const bool tf32 = backend_for(test_device()).info().has_tf32;
  for (const Layer& layer : kLayers) {
    CAPTURE(layer.name);
    compare(layer, batch, DType::f32, kTolerance);
    compare(layer, batch, DType::bf16, kBf16Tolerance);
    if (!tf32) continue;
    const Configured fast({.tf32 = true});
    compare(layer, batch, DType::f32, kTf32Tolerance);
  }
}

TEST_CASE("tf32: matmul is off by its rounding, the nearest code is the exact one all the same" *
          doctest::skip(!on_other_device())) {
  if (!backend_for(test_device()).info().has_tf32) return;
  const Rng rng(12);
  const Tensor e = ops::uniform({1500, 96}, rng.split(1), 0.f, 2.f);
  const Tensor codes = ops::uniform({700, 96}, rng.split(2), 0.f, 2.f);
  const Tensor product = ops::matmul(e, codes, false, true);
  const Tensor index = vq::nearest_code(e, codes);
  const Configured fast({.tf32 = true});
  const Tensor ge = e.to(test_device()), gcodes = codes.to(test_device());
  const double off = error_between(ops::matmul(ge, gcodes, false, true), product);
  CHECK(off <= kTf32Tolerance);
  CHECK(off > 1e-6);  // else it was not TF32
  CHECK(vq::nearest_code(ge, gcodes).to_vector<int32_t>() == index.to_vector<int32_t>());
}

}  // namespace versor::testing
