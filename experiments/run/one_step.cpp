// Training steps from given weights: see one_step.h.
#include "experiments/run/one_step.h"

#include <algorithm>
#include <cmath>

#include "experiments/run/training_step.h"
#include "tensor/ops.h"
#include "vq/ops.h"
#include "vq/vqvae.h"

namespace versor {
namespace {

// The extent of one axis of a tensor in a file. Throws Error if the tensor has another rank.
int64_t extent(const SafetensorsFile& file, const std::string& path, const std::string& name,
               int rank, int axis) {
  const Shape& shape = file.at(name, path).shape();
  check(shape.rank() == rank && shape[axis] > 0, "one_step", path, ": ", name, " has the shape ",
        shape, ", expected ", rank, " axes, none empty");
  return shape[axis];
}

// Each convolution of stride 2 in the file's encoder halves the image. They have the even places
// before the residual blocks, whose weights have longer names (vqvae.h).
int64_t downsampling_of(const SafetensorsFile& file) {
  int64_t factor = 1;
  for (int place = 0; factor < 16 && file.tensors.contains(str("encoder.", place, ".weight"));
       place += 2)
    factor *= 2;
  return std::clamp<int64_t>(factor, 4, 16);
}

// The small tensors of a file give the model's sizes. This refuses a file whose large tensors do
// not match them, before a model of these sizes takes memory in proportion to their product.
void check_sizes(const SafetensorsFile& file, const std::string& path, const VqVaeOptions& m) {
  const int64_t d = m.quantizer.codebook.latent;
  const std::pair<const char*, Shape> expected[] = {
      {"encoder.2.weight", {d, m.hidden, 4, 4}},
      {m.downsampling == 4 ? "encoder.4.conv1.weight" : "encoder.4.weight",
       m.downsampling == 4 ? Shape{d, d, 3, 3} : Shape{d, d, 4, 4}},
      {"encoder.0.weight", {m.hidden, m.image_channels, 4, 4}}};
  for (const auto& [name, shape] : expected)
    check(file.at(name, path).shape() == shape, "one_step", path, ": ", name, " has the shape ",
          file.at(name, path).shape(), ", the other tensors need ", shape);
}

// Refuses integers, and names the first element that is NaN or infinite: "images[1,0,3,7] is nan".
void check_numbers(const std::string& path, const std::string& name, const Tensor& tensor) {
  check(tensor.dtype() == DType::f32 || tensor.dtype() == DType::bf16, "one_step", path, ": ", name,
        " is ", tensor.dtype(), " ", tensor.shape(), ", floating-point numbers are needed");
  const std::vector<float> values = ops::cast(tensor, DType::f32).to_vector<float>();
  const auto wrong =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (wrong == values.end()) return;
  int64_t at = wrong - values.begin();
  std::string index;
  for (int axis = tensor.shape().rank() - 1; axis >= 0; --axis) {
    index = str(at % tensor.dim(axis), index.empty() ? "" : ",", index);
    at /= tensor.dim(axis);
  }
  fail("one_step", path, ": ", name, "[", index, "] is ",
       std::isnan(*wrong) ? "nan"
       : *wrong > 0       ? "inf"
                          : "-inf");
}

}  // namespace

SafetensorsFile one_step(const SafetensorsFile& weights, const std::string& weights_path,
                         const SafetensorsFile& batch, const std::string& batch_path,
                         const OneStepOptions& options, Device device) {
  check(options.steps >= 1, "one_step", "the number of steps must be at least 1, got ",
        options.steps);
  VqVaeOptions m;
  QuantizerOptions& quantizer = m.quantizer;
  CodebookOptions& codebook = quantizer.codebook;
  quantizer.estimator = options.estimator;
  m.hidden = extent(weights, weights_path, "encoder.0.weight", 4, 0);
  m.image_channels = extent(weights, weights_path, "encoder.0.weight", 4, 1);
  m.downsampling = downsampling_of(weights);
  codebook.codes = extent(weights, weights_path, "codebook.weight", 2, 0);
  codebook.latent = extent(weights, weights_path, "codebook.weight", 2, 1);
  codebook.learning = options.learning;
  codebook.decay = options.decay;
  codebook.start = CodebookStart::uniform;  // replaced by the codebook in the file
  codebook.dead_code_fraction = 0;
  m.activations = options.activations;
  check_sizes(weights, weights_path, m);
  for (const auto& [name, tensor] : weights.tensors) check_numbers(weights_path, name, tensor);
  VqVae model(m, device, Rng(0));
  load_state_dict(model, weights, weights_path);

  const Tensor& nchw = batch.at("images", batch_path);
  check(nchw.dtype() == DType::f32 && nchw.shape().rank() == 4 && nchw.numel() > 0 &&
            nchw.dim(1) == m.image_channels && nchw.dim(2) % m.downsampling == 0 &&
            nchw.dim(3) % m.downsampling == 0,
        "one_step", batch_path, ": images must be f32 [N,", m.image_channels,
        ",H,W] with H and W multiples of ", m.downsampling, ", got ", nchw.dtype(), " ",
        nchw.shape());
  check_numbers(batch_path, "images", nchw);
  const Tensor images = ops::nchw_to_nhwc(nchw.to(device));

  Adam adam(model.parameters(), {.lr = static_cast<float>(options.lr)});
  StepResult step;
  for (int64_t s = 0; s < options.steps; ++s)
    step = training_step(model, adam, images, static_cast<float>(options.beta));

  const VqVaeOutput& out = step.output();
  SafetensorsFile file;
  file.tensors = state_dict(model);
  for (const auto& [name, p] : model.named_parameters())
    if (p.grad().defined()) file.tensors["grad." + name] = to_torch_layout(p.grad());
  const Shape& latents = out.latents().shape();
  file.tensors["reconstruction"] = ops::nhwc_to_nchw(out.reconstruction.value());
  file.tensors["z_e"] = ops::nhwc_to_nchw(out.latents().value());
  file.tensors["indices"] = out.quantized().index.reshape({latents[0], latents[1], latents[2]});
  const auto scalar = [&](const char* name, const Tensor& value) {
    file.tensors[name] = value.reshape({});
  };
  scalar("loss", step.loss().total.value());
  scalar("reconstruction_loss", step.loss().reconstruction.value());
  scalar("codebook_loss", out.quantized().codebook_loss.value());
  scalar("commitment_loss", out.quantized().commitment_loss.value());
  scalar("perplexity", vq::perplexity(out.quantized().counts));
  return file;
}

}  // namespace versor
