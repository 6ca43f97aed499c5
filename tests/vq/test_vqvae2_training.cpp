// VQ-VAE-2 in training: gradients by finite differences through both levels, and a falling loss.
#include <algorithm>
#include <cmath>

#include "tests/vq/models.h"
#include "vq/vqvae2.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Random;

// The straight-through estimator as a function that has its gradient: e + (q - e) with q - e fixed
// from the first pass, and a commitment to the q of the first pass. The estimator's gradients must
// equal the differences of a loss through this function.
class Shifting final : public Quantizer {
 public:
  explicit Shifting(Quantizer& real) : real_(real) {}
  Quantized operator()(const Variable& e, ForwardPass) const override {
    if (!codes_.defined()) {
      codes_ = real_(e, false).codes;
      shift_ = ops::sub(codes_, e.value());
    }
    Quantized out = real_(Variable(e.value()), false);
    out.value = e + Variable(shift_);
    out.codebook_loss = {};
    out.commitment_loss = mse(e, Variable(codes_));
    return out;
  }
  Tensor decode(const Tensor& index) const override { return real_.decode(index); }
  Vocabulary vocabulary() const override { return real_.vocabulary(); }

 private:
  Quantizer& real_;
  mutable Tensor codes_, shift_;  // of the first pass
};

// Sets x to `value` + length * direction.
void move(Variable x, const std::vector<float>& value, double length,
          const std::vector<float>& direction) {
  std::vector<float> moved = value;
  for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(length * direction[i]);
  x.mutable_value().copy_from_host(moved.data());
}

}  // namespace

TEST_CASE("vqvae2: every parameter gets a finite gradient that is not zero") {
  for (Estimator estimator : {Estimator::ste, Estimator::rotation, Estimator::published}) {
    VqVaeOptions options = small(8, 16);
    options.quantizer.estimator = estimator;
    options.quantizer.codebook.learning = CodebookLearning::gradient;
    VqVae2 model(options, test_device(), Rng(6));
    const Tensor images = images_of(5, 3, 16, 8);
    backward(vqvae_loss(model(images), images, 0.25f).total);
    for (const auto& [name, p] : model.named_parameters()) {
      CAPTURE(name);
      REQUIRE(p.grad().defined());
      CHECK(p.grad().shape() == p.shape());
      CHECK(all_finite(p.grad()));
      CHECK(ref::norm(to_array(p.grad())) > 1e-9);
    }
  }
}

// Along its gradient g a parameter changes the loss at rate |g|.
TEST_CASE("vqvae2: gradients of all layers are those of finite differences") {
  const ThreadCount threads(1);  // many small passes
  VqVaeOptions options = small(8, 5);
  options.quantizer.estimator = Estimator::ste;
  VqVae2 model(options, test_device(), Rng(7));
  const Tensor images = images_of(6, 3, 8, 8);
  const auto& levels = model.levels();
  VqVae2 smooth(options, test_device(), Rng(7), std::make_unique<Shifting>(*levels[0].quantizer),
                std::make_unique<Shifting>(*levels[1].quantizer));
  const auto parameters = model.named_parameters(), same = smooth.named_parameters();
  for (const auto& all : {parameters, same})  // larger activations, whose changes f32 can resolve
    for (auto [name, p] : all) ops::copy(p.mutable_value(), ops::scaled(p.value(), 2.f));
  start(model, images);
  const auto loss = [&] { return vqvae_loss(smooth(images), images, 0.5f).total; };
  backward(vqvae_loss(model(images), images, 0.5f).total);
  loss();
  REQUIRE(names_of(parameters) == names_of(same));
  for (size_t i = 0; i < parameters.size(); ++i) {
    CAPTURE(parameters[i].first);
    const Variable& x = same[i].second;
    const auto value = x.value().to_vector<float>();
    auto direction = parameters[i].second.grad().to_vector<float>();
    double length = 0;
    for (float g : direction) length += static_cast<double>(g) * g;
    length = std::sqrt(length);
    for (float& g : direction) g = static_cast<float>(g / length);
    // So that the difference is well above f32's rounding, and few ReLUs switch on or off.
    const double step = std::min(2e-5 / length, 5e-3);
    move(x, value, step, direction);
    const double above = loss().item();
    move(x, value, -step, direction);
    const double below = loss().item();
    move(x, value, 0, direction);
    CHECK((above - below) / (2 * step) == doctest::Approx(length).epsilon(0.03));
  }
}

TEST_CASE("vqvae2: training lowers the loss, and two runs give the same bits") {
  const ThreadCount threads(1);
  check_training([] { return std::make_unique<VqVae2>(small(8, 4), test_device(), Rng(8)); });
}

}  // namespace versor::testing
