// The search for better codes (vq/refine.h): no image gets worse, what is promised of the result
// holds, and the model is as before.
#include "tests/vq/models.h"
#include "vq/refine.h"

namespace versor::testing {
namespace {

// A model that has learned a little from the images.
std::unique_ptr<VqVae> trained(VqVaeOptions options, const Tensor& images) {
  options.quantizer.estimator = Estimator::ste;
  auto model = std::make_unique<VqVae>(options, test_device(), Rng(3));
  start(*model, images);
  Adam adam(model->parameters(), {.lr = 1e-2f});
  for (int step = 0; step < 60; ++step) {
    adam.zero_grad();
    const VqVaeOutput output = (*model)(images);
    backward(vqvae_loss(output, images, 0.25f).total);
    model->update({output});
    adam.step();
  }
  adam.zero_grad();
  model->set_training(false);
  return model;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The mean squared error of each image, by the double reference.
std::vector<double> errors_of(const Tensor& made, const Tensor& images) {
  const ref::Array a = to_array(made), b = to_array(images);
  const int64_t N = images.dim(0), size = images.numel() / N;
  std::vector<double> errors(static_cast<size_t>(N));
  for (int64_t i = 0; i < a.count(); ++i)
    errors[static_cast<size_t>(i / size)] += (a[i] - b[i]) * (a[i] - b[i]) / size;
  return errors;
}

}  // namespace

TEST_CASE("refine: no image gets worse, and the result is what its symbols decode to") {
  const Tensor images = images_of(5, 6);
  VqVaeOptions plain = small(8, 12), projected = plain, residual = plain, grid = plain,
               mixed = plain;
  projected.quantizer.codebook_dim = 4;
  residual.quantizer.layers = residual.quantizer.groups = 2;
  grid.quantizer.kind = QuantizerKind::fsq;
  grid.quantizer.levels = {4, 3};
  mixed.activations = DType::bf16;
  for (const VqVaeOptions& options : {plain, projected, residual, grid, mixed}) {
    const auto model = trained(options, images);
    const RefinedCodes found = refine_codes(*model, images, {.steps = 30});
    const VqVaeOutput one_pass = (*model)(images);
    const auto before = errors_of(one_pass.reconstruction.value(), images);
    const auto after = errors_of(found.reconstruction, images);
    REQUIRE(found.error.size() == 6);
    for (size_t n = 0; n < 6; ++n) {
      CHECK(found.one_pass_error[n] == doctest::Approx(before[n]).epsilon(1e-5));
      CHECK(found.error[n] == doctest::Approx(after[n]).epsilon(1e-5));
      CHECK(found.error[n] <= found.one_pass_error[n]);
    }
    CHECK(mean_of(found.error) < 0.999 * mean_of(found.one_pass_error));
    CHECK((bits_of(found.reconstruction) ==
           bits_of(model->decode_symbols({found.symbols}, images.shape()))));
    const auto old_symbols = one_pass.symbols()[0].to_vector<int32_t>();
    const auto symbols = found.symbols.to_vector<int32_t>();
    REQUIRE(symbols.size() == old_symbols.size());
    int64_t changed = 0;
    for (size_t i = 0; i < symbols.size(); ++i) changed += symbols[i] != old_symbols[i];
    CHECK(found.changed == changed);
    CHECK(changed > 0);
  }
}

TEST_CASE("refine: each image keeps its own best codes") {
  const Tensor images = images_of(6, 4);
  const auto model = trained(small(8, 12), images);
  const RefinedCodes none = refine_codes(*model, images, {.steps = 0});
  CHECK(none.changed == 0);
  CHECK(none.error == none.one_pass_error);
  CHECK((bits_of(none.symbols) == bits_of((*model)(images).symbols()[0])));
  const RefinedCodes found = refine_codes(*model, images, {.steps = 30});
  const int64_t rows = found.symbols.dim(1) / 4;
  for (int64_t n = 0; n < 4; ++n) {
    const auto of_image = [&](const RefinedCodes& codes) {
      const Tensor symbols = codes.symbols.reshape({4, rows}).rows(n, n + 1);
      return symbols.to_vector<int32_t>();
    };
    const bool better = found.error[static_cast<size_t>(n)] < none.error[static_cast<size_t>(n)];
    CHECK((of_image(found) != of_image(none)) == better);
  }
}

TEST_CASE("refine: a commitment that is too strong changes no code") {
  const Tensor images = images_of(7, 4);
  const auto model = trained(small(8, 12), images);
  CHECK(refine_codes(*model, images, {.steps = 30, .commitment = 1e6}).changed == 0);
  CHECK(refine_codes(*model, images, {.steps = 30}).changed > 0);
}

TEST_CASE("refine: the model is as before, and the search gives the same bits again") {
  const Tensor images = images_of(8, 4);
  const auto model = trained(small(8, 12), images);
  const auto before = state_bits(*model);
  const RefinedCodes found = refine_codes(*model, images, {.steps = 10});
  CHECK((state_bits(*model) == before));
  for (const auto& [name, parameter] : model->named_parameters()) {
    CAPTURE(name);
    CHECK(parameter.requires_grad());
    CHECK_FALSE(parameter.grad().defined());
  }
  const RefinedCodes again = refine_codes(*model, images, {.steps = 10});
  CHECK((bits_of(again.symbols) == bits_of(found.symbols)));
  CHECK(again.error == found.error);
}

TEST_CASE("refine: what it cannot search is refused") {
  const Tensor images = images_of(9);
  const auto refused = [&](Estimator estimator, bool training, const RefineOptions& options) {
    VqVaeOptions model_options = small();
    model_options.quantizer.estimator = estimator;
    VqVae model(model_options, test_device(), Rng(1));
    model.set_training(training);
    return error_of([&] { refine_codes(model, images, options); });
  };
  CHECK(refused(Estimator::ste, false, {.steps = 1}).empty());
  CHECK(contains(refused(Estimator::ste, true, {}), "[refine] the model is in training"));
  for (Estimator estimator : {Estimator::published, Estimator::rotation_unscaled})
    CHECK(contains(refused(estimator, false, {}), "sees the latents' lengths"));
  CHECK(contains(refused(Estimator::ste, false, {.steps = -1}), "must not be negative"));
  CHECK(contains(refused(Estimator::ste, false, {.lr = -1}), "must not be negative"));
  CHECK(contains(refused(Estimator::ste, false, {.commitment = -1}), "must not be negative"));
}

}  // namespace versor::testing
