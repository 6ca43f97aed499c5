// Images as symbols: see coding.h.
#include "experiments/study/coding.h"

#include <algorithm>

#include "data/batcher.h"
#include "data/npy.h"
#include "tensor/ops.h"
#include "vq/names.h"

namespace versor {
namespace {

constexpr const char* kName = "symbols";

// Exchanges the first two axes of i32 [a,b,...], whose rest has `block` numbers.
std::vector<int32_t> transposed(const std::vector<int32_t>& x, int64_t a, int64_t b,
                                int64_t block) {
  std::vector<int32_t> y(x.size());
  for (int64_t i = 0; i < a; ++i)
    for (int64_t j = 0; j < b; ++j)
      std::copy_n(x.begin() + (i * b + j) * block, block, y.begin() + (j * a + i) * block);
  return y;
}

// Symbols [N,L,h,w] of a level, as a quantizer takes them: [L,R].
Tensor rows_of(const Tensor& symbols, Device device) {
  const int64_t N = symbols.dim(0), L = symbols.dim(1), block = symbols.dim(2) * symbols.dim(3);
  return Tensor::from(transposed(symbols.to_vector<int32_t>(), N, L, block), {L, N * block},
                      device);
}

// The levels of a model must be of the same images.
void check_sizes(const VqModel& model, const std::vector<Tensor>& symbols,
                 const std::vector<std::string>& files) {
  const Shape last = images_of_symbols(model, symbols);
  for (size_t level = 0; level < symbols.size(); ++level) {
    const Shape& s = symbols[level].shape();
    const int64_t factor = model.pixels_per_latent(level);
    check(s[0] == last[0] && s[2] * factor == last[1] && s[3] * factor == last[2], kName,
          files[level], ", ", s, ", is not of the images of ", files.back(), ", ",
          symbols.back().shape());
  }
}

Tensor read_level(const std::string& path, const Vocabulary& vocabulary) {
  const Tensor symbols = read_npy(path);
  const Shape& shape = symbols.shape();
  check(shape.rank() == 4 && shape[1] == vocabulary.symbols && shape.numel() > 0, kName, path,
        " has the shape ", shape, ", the symbols of this model are [N,", vocabulary.symbols,
        ",h,w]");
  for (int32_t symbol : symbols.to_vector<int32_t>())
    check(0 <= symbol && symbol < vocabulary.codes, kName, path, " holds ", symbol,
          ", this model has the codes 0 to ", vocabulary.codes - 1);
  return symbols;
}

}  // namespace

TakeImages into(Tensor& all) {
  return [&all](const Tensor& images, int64_t first) {
    Tensor here = all.rows(first, first + images.dim(0));
    ops::copy(here, images.to({}));
  };
}

bool decoder_sees_codes(const VqModel& model) {
  return passes_code(model.options().quantizer.estimator.estimator);
}

EncodedImages encode_images(VqModel& model, const Dataset& set, int64_t batch, Device device,
                            const TakeImages& take) {
  const NoGradGuard no_grad;
  model.set_training(false);
  EncodedImages all{{}, UsageHistogram(model.vocabulary())};
  std::vector<std::vector<int32_t>> symbols(model.levels().size());
  std::vector<Shape> latents(symbols.size());
  const Batcher batcher(set, std::min(batch, set.size()), device);
  const Epoch epoch = batcher.in_order();
  for (int64_t b = 0; b < epoch.batches(); ++b) {
    const Tensor images = epoch.batch(b);
    const int64_t count = images.dim(0);
    const VqVaeOutput out = model(images);
    const Tensor made = out.reconstruction.value();
    for (size_t level = 0; level < symbols.size(); ++level) {
      const Tensor& index = out.levels[level].quantized.index;
      latents[level] = out.levels[level].latents.shape();
      const auto of_batch =
          transposed(index.to_vector<int32_t>(), index.dim(0), count, index.dim(1) / count);
      symbols[level].insert(symbols[level].end(), of_batch.begin(), of_batch.end());
    }
    all.use.add(out.counts());
    const auto share = static_cast<double>(count) / static_cast<double>(set.size());
    const double error = share * static_cast<double>(ops::mse(made, images).item());
    all.evaluation_mse += error;
    all.mse +=
        decoder_sees_codes(model)
            ? error
            : share *
                  static_cast<double>(
                      ops::mse(model.decode_symbols(out.symbols(), images.shape()), images).item());
    if (take) take(made, b * batcher.batch_size());
  }
  for (size_t level = 0; level < symbols.size(); ++level) {
    const int64_t L = model.levels()[level].quantizer->vocabulary().symbols;
    all.symbols.push_back(
        Tensor::from(symbols[level], {set.size(), L, latents[level][1], latents[level][2]}));
  }
  return all;
}

Shape images_of_symbols(const VqModel& model, const std::vector<Tensor>& symbols) {
  const Tensor& last = symbols.back();
  const int64_t factor = model.pixels_per_latent(symbols.size() - 1);
  return {last.dim(0), last.dim(2) * factor, last.dim(3) * factor, model.options().image_channels};
}

void decode_images(const VqModel& model, const std::vector<Tensor>& symbols, int64_t batch,
                   Device device, const TakeImages& take) {
  const Shape all = images_of_symbols(model, symbols);
  for (int64_t first = 0; first < all[0]; first += batch) {
    const int64_t end = std::min(first + batch, all[0]);
    std::vector<Tensor> rows;
    for (const Tensor& level : symbols) rows.push_back(rows_of(level.rows(first, end), device));
    take(model.decode_symbols(rows, {end - first, all[1], all[2], all[3]}), first);
  }
}

std::vector<std::string> symbol_files(const VqModel& model, const std::string& path) {
  if (model.levels().size() == 1) return {path};
  const std::string ending = ".npy";
  const std::string start = path.ends_with(ending) ? path.substr(0, path.size() - 4) : path;
  std::vector<std::string> files;
  for (const VqModel::Level& level : model.levels())
    files.push_back(start + "." + level.name + ending);
  return files;
}

void write_symbols(const VqModel& model, const std::vector<Tensor>& symbols,
                   const std::string& path) {
  const std::vector<std::string> files = symbol_files(model, path);
  for (size_t level = 0; level < files.size(); ++level) write_npy(files[level], symbols[level]);
}

std::vector<Tensor> read_symbols(const VqModel& model, const std::string& path) {
  const std::vector<std::string> files = symbol_files(model, path);
  std::vector<Tensor> symbols;
  for (size_t level = 0; level < files.size(); ++level)
    symbols.push_back(read_level(files[level], model.levels()[level].quantizer->vocabulary()));
  check_sizes(model, symbols, files);
  return symbols;
}

}  // namespace versor
