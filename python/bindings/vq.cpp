// Quantizers and models. Their options are those of a training run, by keyword:
//   vq.Quantizer(latent=16, codes=64, estimator="ste", quantizer="fsq", levels=[8, 8])
#include "experiments/run/model_file.h"
#include "experiments/run/run_options.h"
#include "nn/flat_parameters.h"
#include "python/bindings/bindings.h"
#include "vq/ops.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor::python {
namespace {

void bind_results(py::module_& m) {
  py::class_<Vocabulary>(m, "Vocabulary")
      .def_readonly("symbols", &Vocabulary::symbols, "L, of a row")
      .def_readonly("codes", &Vocabulary::codes, "K, values of a symbol");
  py::class_<Quantized>(m, "Quantized", "What a quantizer made of rows [R,D].")
      .def_readonly("value", &Quantized::value, "[R,D] what the decoder gets")
      .def_readonly("index", &Quantized::index, "i32 [L,R] the symbols")
      .def_readonly("counts", &Quantized::counts, "i32 [L,K] how often each code was used")
      .def_property_readonly("codebook_loss",
                             [](const Quantized& q) { return or_none(q.codebook_loss); })
      .def_property_readonly("commitment_loss",
                             [](const Quantized& q) { return or_none(q.commitment_loss); })
      .def_property_readonly("auxiliary_loss",
                             [](const Quantized& q) { return or_none(q.auxiliary_loss); })
      .def_readonly("input", &Quantized::input, "[R,d] what was quantized")
      .def_readonly("codes", &Quantized::codes, "[R,d] the codes in its place")
      .def_readonly("error", &Quantized::error, "[1] mse(input, codes)");
  py::class_<VqVaeOutput>(m, "Output", "What a model made of images.")
      .def_readonly("reconstruction", &VqVaeOutput::reconstruction)
      .def_property_readonly("symbols", &VqVaeOutput::symbols, "i32 [L,R] of each level")
      .def_property_readonly("counts", &VqVaeOutput::counts)
      .def_property_readonly(
          "latents",
          [](const VqVaeOutput& o) {
            std::vector<Variable> all;
            for (const QuantizedLatents& level : o.levels) all.push_back(level.latents);
            return all;
          },
          "[N,h,w,D] of each level")
      .def_property_readonly(
          "quantized",
          [](const VqVaeOutput& o) {
            std::vector<Quantized> all;
            for (const QuantizedLatents& level : o.levels) all.push_back(level.quantized);
            return all;
          },
          "of each level");
  py::class_<VqVaeLoss>(m, "Loss")
      .def_readonly("total", &VqVaeLoss::total)
      .def_readonly("reconstruction", &VqVaeLoss::reconstruction)
      .def_property_readonly("codebook", [](const VqVaeLoss& l) { return or_none(l.codebook); })
      .def_property_readonly("commitment",
                             [](const VqVaeLoss& l) { return or_none(l.commitment); });
}

void bind_quantizer(py::module_& m) {
  py::class_<Quantizer, Module, std::shared_ptr<Quantizer>>(
      m, "Quantizer", "Any quantizer of the family, from options of a training run.")
      .def(py::init([](const py::kwargs& options) {
        const RunOptions o = run_options_from(options);
        return std::shared_ptr<Quantizer>(
            make_quantizer(model_options(o).quantizer, next_rng(), o.device));
      }))
      .def(
          "__call__",
          [](const Quantizer& q, const Variable& e, bool training) { return q(e, {training}); },
          "e"_a, "training"_a = false, Unlocked(), "e [R,D]")
      .def("decode", &Quantizer::decode, "index"_a, "i32 [L,R] -> [R,D]")
      .def(
          "update",
          [](Quantizer& q, const std::vector<Quantized>& passes) {
            return or_none(q.update(passes));
          },
          "passes"_a,
          "After backward(), before the optimiser's step: what gradients do not train. Returns "
          "the number of replaced codes, or None.")
      .def("start_from", &Quantizer::start_from, "latents"_a, "The first codes, from [M,D].")
      .def_property_readonly("start_rows", &Quantizer::start_rows)
      .def_property_readonly("vocabulary", &Quantizer::vocabulary);
}

template <class M>
std::shared_ptr<M> make(const py::kwargs& options) {
  const RunOptions o = run_options_from(options);
  VqVaeOptions m = model_options(o);
  if (o.channels > 0) m.image_channels = o.channels;
  return std::make_shared<M>(m, o.device, next_rng());
}

void bind_models(py::module_& m) {
  py::class_<VqModel, Module, std::shared_ptr<VqModel>>(m, "Model", "What all models share.")
      .def(
          "__call__", [](const VqModel& model, const Tensor& images) { return model(images); },
          "images"_a, Unlocked(), "f32 [N,H,W,C] in [-1,1]")
      .def(
          "update",
          [](VqModel& model, const std::vector<VqVaeOutput>& passes) {
            return or_none(model.update(passes));
          },
          "passes"_a, "After backward(), before the optimiser's step: codebooks.")
      .def(
          "decode_symbols",
          [](const VqModel& model, const std::vector<Tensor>& symbols,
             const std::vector<int64_t>& shape) {
            return model.decode_symbols(symbols, shape_of(shape));
          },
          "symbols"_a, "shape"_a, Unlocked(), "Images of that shape from i32 [L,R] of each level.")
      .def(
          "start_codebooks",
          [](VqModel& model, const std::vector<Tensor>& batches) {
            model.start_codebooks(static_cast<int64_t>(batches.size()), [&](int64_t b) {
              return std::vector{batches[static_cast<size_t>(b)]};
            });
          },
          "batches"_a, Unlocked(), "Codebooks that start from latents start from these images.")
      .def_property_readonly("vocabulary", &VqModel::vocabulary)
      .def_property_readonly("latent", &VqModel::latent);
  py::class_<VqVae, VqModel, std::shared_ptr<VqVae>>(m, "VqVae", "The VQ-VAE of the paper.")
      .def(py::init(&make<VqVae>))
      .def("encode", &VqVae::encode, "images"_a, Unlocked(), "[N,H,W,C] -> [N,h,w,D]")
      .def("decode", &VqVae::decode, "latents"_a, Unlocked(), "[N,h,w,D] -> [N,H,W,C]");
  py::class_<VqVae2, VqModel, std::shared_ptr<VqVae2>>(m, "VqVae2", "VQ-VAE-2, two levels.")
      .def(py::init(&make<VqVae2>));
  m.def(
      "load",
      [](const std::string& path, const std::string& device) {
        const auto change = [&](RunOptions& o) {
          o.device = parse_device(device);
          if (o.device == Device{} && o.precision == Precision::tf32)  // only GPUs have it
            o.precision = Precision::fp32;
        };
        return std::shared_ptr<VqModel>(load_model(path, change).model);
      },
      "path"_a, "device"_a = "cpu",
      "The model of a run's folder or of its model.safetensors, set to evaluate.");
  m.def("loss", &vqvae_loss, "output"_a, "images"_a, "beta"_a = 0.25f, Unlocked(),
        "Reconstruction, codebook and beta times commitment loss, and their sum.");
}

}  // namespace

void bind_vq(py::module_& versor) {
  py::module_ m = versor.def_submodule("vq", "Vector quantizers and the models that use them.");
  bind_results(m);
  bind_quantizer(m);
  bind_models(m);
  m.def(
      "nearest_code",
      [](const Tensor& e, const Tensor& codebook) { return vq::nearest_code(e, codebook); }, "e"_a,
      "codebook"_a, Unlocked(), "i32 [R]: for each row of e [R,D] the nearest of [K,D].");
  m.def(
      "perplexity", [](const Tensor& counts) { return vq::perplexity(counts).item(); }, "counts"_a);
}

}  // namespace versor::python
