// Search for better codes: see refine.h.
#include "vq/refine.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "autograd/functions.h"
#include "nn/adam.h"
#include "tensor/ops.h"
#include "vq/names.h"

namespace versor {
namespace {

// While it lives, the parameters of a module get no gradients.
class Frozen {
 public:
  explicit Frozen(const Module& module) {
    for (Variable& parameter : module.parameters()) {
      if (!parameter.requires_grad()) continue;
      parameter.set_requires_grad(false);
      parameters_.push_back(parameter);
    }
  }
  ~Frozen() {
    for (Variable& parameter : parameters_) parameter.set_requires_grad(true);
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  std::vector<Variable> parameters_;
};

void check_model(const VqVae& model, const RefineOptions& options) {
  const Estimator estimator = model.options().quantizer.estimator.estimator;
  check(!model.training(), "refine", "the model is in training");
  check(estimator != Estimator::published && estimator != Estimator::rotation_unscaled, "refine",
        "the decoder of ", name_of(estimator), " sees the latents' lengths, not only codes");
  check(options.steps >= 0 && options.lr >= 0 && options.commitment >= 0, "refine", "steps ",
        options.steps, ", lr ", options.lr, " and commitment ", options.commitment,
        " must not be negative");
}

// The mean squared error of each image, [N].
std::vector<float> errors_of(const Tensor& made, const Tensor& images) {
  const int64_t N = images.dim(0), size = images.numel() / N;
  const Tensor difference = ops::sub(made, images).reshape({N, size});
  const Tensor sums = ops::sum_axis1(ops::unary(difference, UnaryOp::square));
  std::vector<float> errors = sums.to_vector<float>();
  for (float& error : errors) error /= static_cast<float>(size);
  return errors;
}

// The best symbols so far of each image, on the host.
class Best {
 public:
  Best(const Tensor& symbols, std::vector<float> errors)
      : shape_(symbols.shape()),
        first_(symbols.to_vector<int32_t>()),
        symbols_(first_),
        first_errors_(errors),
        errors_(std::move(errors)) {}

  void offer(const Tensor& candidate, const std::vector<float>& errors) {
    const std::vector<int32_t> symbols = candidate.to_vector<int32_t>();
    const int64_t rows = shape_[1], of_image = rows / static_cast<int64_t>(errors.size());
    for (size_t n = 0; n < errors.size(); ++n) {
      if (!(errors[n] < errors_[n])) continue;
      errors_[n] = errors[n];
      for (int64_t l = 0; l < shape_[0]; ++l) {
        const int64_t begin = l * rows + static_cast<int64_t>(n) * of_image;
        std::copy_n(symbols.begin() + begin, of_image, symbols_.begin() + begin);
      }
    }
  }

  RefinedCodes result(const VqVae& model, const Tensor& images) const {
    RefinedCodes out;
    out.symbols = Tensor::from(symbols_, shape_, images.device());
    out.reconstruction = model.decode_symbols({out.symbols}, images.shape());
    out.one_pass_error.assign(first_errors_.begin(), first_errors_.end());
    const std::vector<float> errors = errors_of(out.reconstruction, images);
    out.error.assign(errors.begin(), errors.end());
    for (size_t i = 0; i < symbols_.size(); ++i) out.changed += symbols_[i] != first_[i];
    return out;
  }

 private:
  Shape shape_;  // [L,R]
  std::vector<int32_t> first_, symbols_;
  std::vector<float> first_errors_, errors_;
};

double root_mean_square(const Tensor& x) {
  const Tensor mean = ops::sum(ops::unary(x, UnaryOp::square), 1.f / static_cast<float>(x.numel()));
  return std::sqrt(mean.item());
}

}  // namespace

RefinedCodes refine_codes(const VqVae& model, const Tensor& images, const RefineOptions& options) {
  check_model(model, options);
  const Frozen frozen(model);
  Variable z(ops::clone(model.encode(images).value()), /*requires_grad=*/true);
  Adam adam({z}, {.lr = static_cast<float>(options.lr * root_mean_square(z.value())),
                  .decay = static_cast<int>(options.steps)});
  std::optional<Best> best;
  // Of the batch's sums rather than means: Adam's epsilon then means the same for any batch.
  const auto count = static_cast<float>(images.dim(0));
  const auto weight = static_cast<float>(options.commitment);
  for (int64_t step = 0; step <= options.steps; ++step) {
    const Quantized quantized = model.quantizer()(rows(z), /*training=*/false);
    const Variable made = model.decode(reshape(quantized.value, z.shape()));
    const std::vector<float> errors = errors_of(made.value(), images);
    if (best)
      best->offer(quantized.index, errors);
    else
      best.emplace(quantized.index, errors);
    if (step == options.steps) break;
    Variable loss = mse(made, Variable(images));
    if (quantized.commitment_loss.defined()) loss = loss + weight * quantized.commitment_loss;
    adam.zero_grad();
    backward(scale(loss, count));
    adam.step();
  }
  return best->result(model, images);
}

}  // namespace versor
