// The state of a module in a file: PyTorch's layout of weights, conversion of element types, and
// errors for states that do not fit, which leave the module as it was.
#include "nn/layers.h"
#include "nn/safetensors.h"
#include "tests/nn/safetensors_text.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using ref::Random;

// A module with parameters of two ranks and buffers.
class Counted : public Module {
 public:
  Counted() : conv_({.in = 3, .out = 2, .kernel = 2}, Rng(1), test_device()) {
    register_module("conv", conv_);
    count_ = register_buffer("count", ops::zeros({2}, test_device()));
    steps_ = register_buffer("steps", ops::zeros({1}, test_device(), DType::i32));
  }
  Conv2d conv_;
  Variable count_, steps_;
};

// Tensors read from a file are on the CPU.
SafetensorsFile good_state() {
  Random random(50);
  SafetensorsFile file;
  file.tensors["conv.weight"] = to_tensor(random.array({2, 3, 2, 2}), {});
  file.tensors["conv.bias"] = to_tensor(random.array({2}), {});
  file.tensors["count"] = to_tensor({{2}, {5, 6}}, {});
  file.tensors["steps"] = index_tensor({9}, {});
  return file;
}

// The message of loading; it must name the file and leave the module unchanged.
std::string loading(const SafetensorsFile& file) {
  Counted module;
  const auto before = state_bits(module);
  const std::string message =
      error_of([&] { load_state_dict(module, file, "some/model.safetensors"); });
  CHECK(contains(message, "some/model.safetensors"));
  CHECK(state_bits(module) == before);
  return message;
}

}  // namespace

TEST_CASE("state dict: weights go to and from [O,I,kh,kw]") {
  // O = 2, I = 3, kh = 1, kw = 2; the value at [o,i,0,x] is 100 o + 10 i + x.
  const Tensor torch =
      to_tensor({{2, 3, 1, 2}, {0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121}});
  const Tensor ours = from_torch_layout(torch);
  CHECK(ours.shape() == Shape{2, 1, 2, 3});
  CHECK(to_array(ours).data ==
        std::vector<double>{0, 10, 20, 1, 11, 21, 100, 110, 120, 101, 111, 121});
  CHECK((bits_of(to_torch_layout(ours)) == bits_of(torch)));
  CHECK(to_torch_layout(ours).shape() == torch.shape());
  const Tensor matrix = to_tensor({{2, 3}, {1, 2, 3, 4, 5, 6}});  // other ranks stay
  CHECK((bits_of(from_torch_layout(matrix)) == bits_of(matrix)));
  CHECK(to_torch_layout(matrix).shape() == Shape{2, 3});
}

TEST_CASE("state dict: a file made by hand gives the convolution it describes") {
  // A convolution that picks input channel 2 at kernel position (1,0), times 3, plus its bias.
  std::vector<float> weight(2 * 3 * 2 * 2, 0.f);
  weight[((0 * 3 + 2) * 2 + 1) * 2 + 0] = 3;  // [o=0, i=2, y=1, x=0]
  const TemporaryFolder folder;
  const std::string path = folder / "conv.safetensors";
  write_file(path, file_of(R"({"weight":{"dtype":"F32","shape":[2,3,2,2],"data_offsets":[0,96]},)"
                           R"("bias":{"dtype":"F32","shape":[2],"data_offsets":[96,104]}})",
                           raw(weight) + raw(std::vector<float>{0.5f, 7.f})));
  Conv2d conv({.in = 3, .out = 2, .kernel = 2}, Rng(1), test_device());
  load_state_dict(conv, read_safetensors(path), path);
  Random random(51);
  const ref::Array x = rounded(random.array({1, 3, 4, 3}));
  const Tensor y = conv(Variable(to_tensor(x))).value();
  REQUIRE(y.shape() == Shape{1, 2, 3, 2});
  for (int64_t h = 0; h < 2; ++h)
    for (int64_t w = 0; w < 3; ++w) {
      CHECK(to_array(y).at(0, h, w, 0) ==
            doctest::Approx(3 * x.at(0, h + 1, w, 2) + 0.5).epsilon(1e-6));
      CHECK(to_array(y).at(0, h, w, 1) == 7.0);
    }
  CHECK((bits_of(state_dict(conv).at("weight")) == raw(weight)));
  CHECK(state_dict(conv).at("weight").shape() == Shape{2, 3, 2, 2});

  // A transposed convolution's [in,out,kh,kw]: same rule, first axis stays.
  const ConvTranspose2d transposed({.in = 3, .out = 2, .kernel = 4}, Rng(1), test_device());
  CHECK(state_dict(transposed).at("weight").shape() == Shape{3, 2, 4, 4});
}

TEST_CASE("state dict: a module's state goes through a file bit for bit") {
  Counted a, b;
  load_state_dict(a, good_state(), "x");
  CHECK(to_array(a.count_.value()).data == std::vector<double>{5, 6});
  CHECK(indices_of(a.steps_.value()) == ref::Indices{9});
  CHECK(state_bits(a) != state_bits(b));
  const TemporaryFolder folder;
  const std::string path = folder / "state.safetensors";
  SafetensorsFile file;
  file.tensors = state_dict(a);
  CHECK(file.tensors.size() == 4);
  write_safetensors(path, file);
  load_state_dict(b, read_safetensors(path), path);
  CHECK(state_bits(a) == state_bits(b));
  // The file's tensors and the module's do not share memory.
  ops::fill(file.tensors["count"], 77.f);
  CHECK(to_array(b.count_.value()).data == std::vector<double>{5, 6});
}

TEST_CASE("state dict: F64, F16, BF16 and I64 are converted to the module's types") {
  const std::vector<double> weight(24, 0.1);
  const std::vector<uint16_t> bias = {0x3c00, 0xc000};   // halves 1, -2
  const std::vector<uint16_t> count = {0x4040, 0xbf00};  // bf16 3, -0.5
  const std::string header =
      R"({"conv.weight":{"dtype":"F64","shape":[2,3,2,2],"data_offsets":[0,192]},)"
      R"("conv.bias":{"dtype":"F16","shape":[2],"data_offsets":[192,196]},)"
      R"("count":{"dtype":"BF16","shape":[2],"data_offsets":[196,200]},)"
      R"("steps":{"dtype":"I64","shape":[1],"data_offsets":[200,208]}})";
  const TemporaryFolder folder;
  const std::string path = folder / "types.safetensors";
  write_file(path, file_of(header, raw(weight) + raw(bias) + raw(count) +
                                       raw(std::vector<int64_t>{123456789})));
  Counted module;
  load_state_dict(module, read_safetensors(path), path);
  CHECK(state_of(module, "conv.weight").value().to_vector<float>() == std::vector<float>(24, 0.1f));
  CHECK(state_of(module, "conv.bias").value().to_vector<float>() == std::vector<float>{1, -2});
  CHECK(module.count_.value().to_vector<float>() == std::vector<float>{3, -0.5f});
  CHECK(indices_of(module.steps_.value()) == ref::Indices{123456789});
  // A bf16 weight is permuted too; counts may be integers.
  SafetensorsFile file = good_state();
  const Tensor ours = from_torch_layout(file.tensors["conv.weight"]);
  file.tensors["conv.weight"] = ops::cast(file.tensors["conv.weight"], DType::bf16);
  file.tensors["count"] = index_tensor({3, 4}, {});
  load_state_dict(module, file, path);
  const Tensor expected = ops::cast(ops::cast(ours, DType::bf16), DType::f32);
  CHECK((bits_of(state_of(module, "conv.weight").value()) == bits_of(expected)));
  CHECK(module.count_.value().to_vector<float>() == std::vector<float>{3, 4});
}

TEST_CASE("state dict: a parameter of integers is an error") {
  for (const char* name : {"conv.weight", "conv.bias"}) {
    for (DType type : {DType::i32, DType::u8}) {
      SafetensorsFile file = good_state();
      file.tensors[name] = Tensor(file.tensors[name].shape(), type);
      CHECK(contains(loading(file), str(name, " has the type ", type)));
    }
  }
}

TEST_CASE("state dict: missing and unknown names are errors") {
  for (const char* name : {"conv.weight", "conv.bias", "count", "steps"}) {
    SafetensorsFile file = good_state();
    file.tensors.erase(name);
    CHECK(contains(loading(file), str("\"", name, "\"")));
  }
  SafetensorsFile file = good_state();
  file.tensors["conv.extra"] = ops::zeros({1});
  CHECK(contains(loading(file), "\"conv.extra\""));
}

TEST_CASE("state dict: a wrong shape is an error with both shapes") {
  const auto wrong = [](const char* name, const Shape& shape, const char* wanted) {
    SafetensorsFile file = good_state();
    file.tensors[name] = ops::zeros(shape);
    const std::string message = loading(file);
    CHECK(contains(message, name));
    CHECK(contains(message, str(shape)));
    CHECK(contains(message, wanted));
  };
  wrong("conv.weight", {2, 2, 2, 3}, "[2,3,2,2]");  // our layout instead of PyTorch's
  wrong("conv.weight", {2, 3, 3, 3}, "[2,3,2,2]");
  wrong("conv.weight", {24}, "[2,3,2,2]");
  wrong("conv.bias", {3}, "[2]");
  wrong("conv.bias", {2, 1}, "[2]");
  wrong("count", {}, "[2]");
  wrong("count", {2, 1, 1, 1}, "[2]");
  wrong("steps", {2}, "[1]");
}

}  // namespace versor::testing
