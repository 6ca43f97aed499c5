// Images as symbols in files, and back: what bin/encode and bin/decode do.
//
// The symbols of N images are an integer array [N,L,h,w] in a .npy file (data/npy.h): L symbols for
// each of the h x w latents of an image, one for each residual layer and group, from 0 to K - 1. A
// model of two levels has two files: symbols.top.npy and symbols.bottom.npy for "symbols.npy".
//
// The last bits of a convolution in f32 depend on how many images go through it together, because
// the fastest algorithm does. So both directions work in batches of the run's evaluation: then what
// is decoded are the reconstructions of that evaluation, bit for bit. Part of the images alone may
// differ in last bits, which a picture rarely shows.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "vq/model.h"
#include "vq/usage.h"

namespace versor {

// Takes f32 images [n,H,W,C], the first of which has the number `first` in the set.
using TakeImages = std::function<void(const Tensor& images, int64_t first)>;

// Puts all of them together in `all`, f32 [N,H,W,C] on the host, which must outlive it.
TakeImages into(Tensor& all);

struct EncodedImages {
  std::vector<Tensor> symbols;  // i32 [N,L,h,w] of each level, on the host
  UsageHistogram use;
  double mse = 0;  // of what the symbols decode to; pixels lie in [-1,1]
  // Of the reconstructions of evaluation. It differs if the decoder sees more than codes
  // (decoder_sees_codes).
  double evaluation_mse = 0;
};

// Whether the symbols are all that the decoder gets. With the estimators `published` and
// `rotation_unscaled` it also gets the latents' lengths.
bool decoder_sees_codes(const VqModel& model);

// Encodes a set, `batch` images at a time. `take` gets the reconstructions of evaluation.
EncodedImages encode_images(VqModel& model, const Dataset& set, int64_t batch, Device device,
                            const TakeImages& take = {});

// The shape [N,H,W,C] of the images that the symbols of all levels decode to.
Shape images_of_symbols(const VqModel& model, const std::vector<Tensor>& symbols);

// Decodes the symbols of all levels, `batch` images at a time.
void decode_images(const VqModel& model, const std::vector<Tensor>& symbols, int64_t batch,
                   Device device, const TakeImages& take);

// The files of the symbols, one for each level: `path` itself for one level.
std::vector<std::string> symbol_files(const VqModel& model, const std::string& path);
void write_symbols(const VqModel& model, const std::vector<Tensor>& symbols,
                   const std::string& path);
// Throws Error naming the file if it is not what this model can decode.
std::vector<Tensor> read_symbols(const VqModel& model, const std::string& path);

}  // namespace versor
