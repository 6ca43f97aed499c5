// Minimal filtering of whole convolutions: see winograd.h. A convolution becomes n*n products of
// matrices, one for each point of the transformed tiles. Forward pass and input gradient:
//   s[point][tile][column] = sum over k of v[point][tile][k] u[point][k][column]
// and the weight gradient:
//   du[point][o][c] = sum over tiles of dv[point][tile][o] v[point][tile][c]
// Tiles are transformed some at a time, so that they are still in the cache when their products are
// computed. Only the transformed filters u exist as a whole, or as many of their columns as fit
// kFilterBytes.
#include "tensor/cpu/winograd.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "tensor/cpu/winograd_geometry.h"
#include "tensor/cpu/winograd_kernels.h"

namespace versor::cpu::winograd {
namespace {

constexpr int64_t kMostPoints = 36;  // of a transformed tile
constexpr int64_t kMostPanel = 32;   // channels of a panel
constexpr int64_t kMostTaps = 9;
// Tiles that are transformed at a time: by a thread that writes images, and for a block of the
// weight gradient.
constexpr int64_t kMostTiles = 24, kMostTilesOfBlock = 48;
constexpr int64_t kFewBlocks = 16;  // with fewer blocks of one panel the tiles are cut into slices
// Of transformed tiles, about what fits an L2 cache; but one block of rows is always taken.
constexpr int64_t kTileBytes = int64_t{1} << 20;

// How far apart to keep what belongs to different points: with a power of two between them all 36
// would compete for the same few places in the caches.
int64_t spaced(int64_t floats) {
  return floats + 32;
}

template <class T>
const Transforms<T>& transforms(const Kernels& kernels, int64_t taps) {
  if constexpr (sizeof(T) == 2)
    return kernels.b16[taps - 2];
  else
    return kernels.f32[taps - 2];
}

// Announces what the processor cannot foresee: the filters of an output some steps ahead.
template <class T>
void prefetch(const T* from, int64_t count) {
  for (int64_t i = 0; i < count; i += 64 / static_cast<int64_t>(sizeof(T)))
    __builtin_prefetch(from + i);
}

// What a window sees beyond the borders of an image.
template <class T>
Tensor zero_pixel(int64_t channels) {
  Tensor zeros({channels}, dtype_of<T>);
  zeros.backend().fill(zeros, 0.f);
  return zeros;
}

// One pass over all tiles:
//   u[point][q][k][column]      filters of the panel q of columns;  k runs over phases and channels
//   v[point][k / panel][tile][k % panel]                            of some tiles
//   s[point][tile][column]      their sums, of one panel of columns
// Of u there are `group` panels at a time; each thread has a v and an s.
template <class T>
class ImagePass {
 public:
  ImagePass(const Images<T>& target, const Images<const T>& source, const Filters& f,
            const Pass& pass, const Kernels& kernels)
      : kernels_(kernels),
        transform_(transforms<T>(kernels, f.r)),
        target_(target),
        source_(source),
        f_(f),
        pass_(pass),
        tiling_(target.N, ceil_div(target.H - pass.place.h, pass.place.step),
                ceil_div(target.W - pass.place.w, pass.place.step)),
        phases_(static_cast<int64_t>(pass.windows.size())),
        in_(ceil_div(source.C, panel_)),
        out_(ceil_div(target.C, panel_)),
        depth_(phases_ * in_ * panel_) {
    const int64_t column_bytes = f.points * depth_ * 4;
    group_ = in_groups(out_, column_bytes * panel_);
    const int64_t block = kernels_.block, threads = omp_get_max_threads();
    const int64_t each = ceil_div(tiling_.count(), threads);  // at most, so that all have work
    tiles_ = std::min({kMostTiles, kTileBytes / column_bytes, each}) / block * block;
    tiles_ = std::max(tiles_, block);
    u_step_ = spaced(group_ * depth_ * panel_);
    v_step_ = spaced(tiles_ * depth_);
    s_step_ = spaced(tiles_ * panel_);
  }

  void run(const T* weight, const Epilogue& epilogue) {
    Tensor filters({f_.points * u_step_});
    Tensor scratch({omp_get_max_threads(), f_.points * (v_step_ + s_step_)});
    const Tensor zeros = zero_pixel<T>(source_.C);
    u_ = filters.data<float>();
    zeros_ = zeros.data<T>();
#pragma omp parallel
    {
      float* v = scratch.data<float>() + omp_get_thread_num() * scratch.dim(1);
      float* s = v + f_.points * v_step_;
      for (int64_t first = 0; first < out_; first += group_) {
        const int64_t here = std::min(group_, out_ - first);
        transform_filters(weight, first, here);
#pragma omp for schedule(dynamic)
        for (int64_t begin = 0; begin < tiling_.count(); begin += tiles_) {
          const int64_t count = std::min(tiles_, tiling_.count() - begin);
          transform_tiles(v, begin, count);
          for (int64_t q = 0; q < here; ++q) {
            multiply(s, v, q, count);
            write_pixels(s, begin, count, (first + q) * panel_, epilogue);
          }
        }
      }
    }
  }

 private:
  // Called by all threads together. Channels c are neighbours in memory, so the loop over them is
  // the inner one when filters are copied, whatever their role.
  void transform_filters(const T* weight, int64_t first, int64_t here) {
    const int64_t taps = f_.r * f_.r, step_k = taps * panel_;
    const int64_t step_o = pass_.transposed ? step_k : 1, step_c = pass_.transposed ? 1 : step_k;
    std::vector<float> copy(static_cast<size_t>(panel_ * step_k));  // [k][tap][column]
#pragma omp for schedule(static)
    for (int64_t item = 0; item < here * phases_ * in_; ++item) {
      const int64_t q = item / (phases_ * in_), k = item % (phases_ * in_) * panel_;
      const int64_t k0 = k % (in_ * panel_), column0 = (first + q) * panel_;
      const int64_t o0 = pass_.transposed ? k0 : column0, c0 = pass_.transposed ? column0 : k0;
      const int64_t os = std::min(panel_, f_.O - o0), cs = std::min(panel_, f_.C - c0);
      if (os < panel_ || cs < panel_) std::fill(copy.begin(), copy.end(), 0.f);
      for (int64_t o = 0; o < os; ++o)
        for (int64_t t = 0; t < taps; ++t) {
          const T* from = weight + f_.at(o0 + o, pass_.taps[k / (in_ * panel_)], t) + c0;
          prefetch(from + 4 * f_.k * f_.k * f_.C, cs);
          float* to = copy.data() + o * step_o + t * panel_;
          for (int64_t c = 0; c < cs; ++c) to[c * step_c] = static_cast<float>(from[c]);
        }
      for (int64_t i = 0; i < panel_; ++i)
        kernels_.filter[f_.r - 2](u_ + (q * depth_ + k + i) * panel_, u_step_,
                                  copy.data() + i * step_k);
    }
  }

  void transform_tiles(float* v, int64_t begin, int64_t count) const {
    const T* pixels[kMostPoints];
    for (int64_t t = 0; t < count; ++t)
      for (int64_t phase = 0; phase < phases_; ++phase) {
        source_.pixels(pixels, f_.n, tiling_.at(begin + t), pass_.windows[phase], zeros_);
        transform_.input(v + (phase * in_ * tiles_ + t) * panel_, v_step_, tiles_ * panel_, pixels,
                         source_.C);
      }
  }

  void multiply(float* s, const float* v, int64_t q, int64_t count) const {
    for (int64_t point = 0; point < f_.points; ++point)
      kernels_.product({.c = s + point * s_step_,
                        .a = v + point * v_step_,
                        .b = u_ + point * u_step_ + q * depth_ * panel_,
                        .rows = count,
                        .segments = phases_ * in_,
                        .segment = tiles_ * panel_,
                        .depth = panel_,
                        .add = false});
  }

  void write_pixels(const float* s, int64_t begin, int64_t count, int64_t c,
                    const Epilogue& epilogue) const {
    T* pixels[kTile * kTile];
    const T* residual_pixels[kTile * kTile];
    const Images<T> channels = target_.from(c);
    Images<const T> residual{nullptr, target_.N, target_.H, target_.W, target_.C};
    if (epilogue.residual.defined()) residual.data = epilogue.residual.data<T>() + c;
    const Finish<T> finish{epilogue.bias.defined() ? epilogue.bias.data<float>() + c : nullptr,
                           residual.data ? residual_pixels : nullptr, epilogue.relu};
    for (int64_t t = 0; t < count; ++t) {
      const Tile tile = tiling_.at(begin + t);
      channels.pixels(pixels, kTile, tile, pass_.place, static_cast<T*>(nullptr));
      if (residual.data) residual.pixels(residual_pixels, kTile, tile, pass_.place, nullptr);
      transform_.output(pixels, s + t * panel_, s_step_, std::min(panel_, target_.C - c), finish);
    }
  }

  const Kernels& kernels_;
  const Transforms<T>& transform_;
  const int64_t panel_ = kernels_.panel;
  Images<T> target_;
  Images<const T> source_;
  Filters f_;
  Pass pass_;
  Tiling tiling_;
  int64_t phases_, in_, out_, depth_;  // in_, out_: panels of channels;  depth_: k in all
  int64_t group_, tiles_, u_step_, v_step_, s_step_;
  float* u_ = nullptr;
  const T* zeros_ = nullptr;
};

// The weight gradient, in blocks of some panels of outputs by some panels of inputs (phases and
// channels), each computed by one thread. Blocks share no sums, so no thread waits for another; the
// price is that tiles are transformed once for every row and column of blocks. Of few channels
// there are few blocks: then the tiles are cut into slices, as many as the shapes say, whose
// gradients are added in their order. A block has
//   v[point][p][tile][c]       of some tiles;  p: its panels of inputs
//   dv[point][q][tile][o]      of their output gradients;  q: its panels of outputs
//   du[point][q][p][o][c]      the sums over all tiles, in their order
template <class T>
class WeightGradient {
 public:
  WeightGradient(const Images<const T>& x, const Images<const T>& dy, const Filters& f,
                 const Pass& pass, const Kernels& kernels)
      : kernels_(kernels),
        transform_(transforms<T>(kernels, f.r)),
        x_(x),
        dy_(dy),
        f_(f),
        pass_(pass),
        tiling_(dy.N, dy.H, dy.W),
        in_(ceil_div(f.C, panel_)),
        all_(static_cast<int64_t>(pass.windows.size()) * in_),
        out_(ceil_div(f.O, panel_)),
        tiles_(std::min(kMostTilesOfBlock, tiling_.count())),
        side_(kBlockChannels / panel_),
        slices_(std::clamp<int64_t>(tiling_.count() / kMostTilesOfBlock, 1,
                                    ceil_div(kFewBlocks, out_ * all_))) {
    while (side_ > 1 && slices_ * blocks() < 2 * omp_get_max_threads()) side_ /= 2;
    v_step_ = spaced(side_ * tiles_ * panel_);
    du_step_ = spaced(side_ * side_ * panel_ * panel_);
  }

  void run(Tensor& dweight) {
    Tensor scratch({omp_get_max_threads(), f_.points * (2 * v_step_ + du_step_)});
    Tensor sliced = slices_ == 1 ? dweight : Tensor({slices_, dweight.numel()});
    const Tensor zeros = zero_pixel<T>(std::max(f_.C, f_.O));
    zeros_ = zeros.data<T>();
#pragma omp parallel for schedule(dynamic)
    for (int64_t item = 0; item < slices_ * blocks(); ++item) {
      const int64_t slice = item / blocks(), i = item % blocks();
      const int64_t across = ceil_div(all_, side_), q = i / across * side_, p = i % across * side_;
      float* const v = scratch.data<float>() + omp_get_thread_num() * scratch.dim(1);
      const Block block{q,
                        std::min(side_, out_ - q),
                        p,
                        std::min(side_, all_ - p),
                        v,
                        v + f_.points * v_step_,
                        v + f_.points * 2 * v_step_};
      const int64_t first = tiling_.count() * slice / slices_;
      const int64_t end = tiling_.count() * (slice + 1) / slices_;
      for (int64_t begin = first; begin < end; begin += tiles_) {
        const int64_t count = std::min(tiles_, end - begin);
        for (int64_t t = 0; t < count; ++t) transform_tile(block, t, tiling_.at(begin + t));
        multiply(block, count, begin > first);
      }
      write_filters(block, sliced.data<float>() + slice * dweight.numel());
    }
    if (slices_ == 1) return;
    Tensor flat = dweight.reshape({dweight.numel()});
    flat.backend().sum_axis0(flat, sliced);
  }

 private:
  struct Block {
    int64_t q, qs, p, ps;  // first panel and number of panels, of outputs and of inputs
    float *v, *dv, *du;
  };

  int64_t blocks() const {
    return ceil_div(out_, side_) * ceil_div(all_, side_);
  }

  void transform_tile(const Block& block, int64_t t, const Tile& tile) const {
    const T* pixels[kMostPoints];
    for (int64_t p = block.p; p < block.p + block.ps;) {
      const int64_t phase = p / in_, c = p % in_ * panel_;
      const int64_t end = std::min(block.p + block.ps, (phase + 1) * in_);
      x_.from(c).pixels(pixels, f_.n, tile, pass_.windows[phase], zeros_);
      transform_.input(block.v + ((p - block.p) * tiles_ + t) * panel_, v_step_, tiles_ * panel_,
                       pixels, std::min((end - p) * panel_, f_.C - c));
      p = end;
    }
    const int64_t o = block.q * panel_;
    dy_.from(o).pixels(pixels, kTile, tile, pass_.place, zeros_);
    transform_.gradient(block.dv + t * panel_, v_step_, tiles_ * panel_, pixels,
                        std::min(block.qs * panel_, f_.O - o));
  }

  void multiply(const Block& block, int64_t count, bool add) const {
    for (int64_t point = 0; point < f_.points; ++point)
      for (int64_t q = 0; q < block.qs; ++q)
        for (int64_t p = 0; p < block.ps; ++p)
          kernels_.product_transposed(
              {.c = block.du + point * du_step_ + (q * side_ + p) * panel_ * panel_,
               .a = block.dv + point * v_step_ + q * tiles_ * panel_,
               .b = block.v + point * v_step_ + p * tiles_ * panel_,
               .rows = panel_,
               .segments = 1,
               .segment = 0,
               .depth = count,
               .add = add});
  }

  void write_filters(const Block& block, float* dweight) const {
    float copy[kMostTaps * kMostPanel];  // [tap][c]
    for (int64_t i = 0; i < std::min(block.qs * panel_, f_.O - block.q * panel_); ++i)
      for (int64_t p = 0; p < block.ps; ++p) {
        const int64_t c = (block.p + p) % in_ * panel_;
        const Taps& taps = pass_.taps[(block.p + p) / in_];
        kernels_.filter_gradient[f_.r - 2](
            copy, block.du + ((i / panel_ * side_ + p) * panel_ + i % panel_) * panel_, du_step_);
        for (int64_t t = 0; t < f_.r * f_.r; ++t)
          std::copy_n(copy + t * panel_, std::min(panel_, f_.C - c),
                      dweight + f_.at(block.q * panel_ + i, taps, t) + c);
      }
  }

  const Kernels& kernels_;
  const Transforms<T>& transform_;
  const int64_t panel_ = kernels_.panel;
  Images<const T> x_, dy_;
  Filters f_;
  Pass pass_;
  Tiling tiling_;
  int64_t in_, all_, out_;  // panels: of channels, of phases and channels, of outputs
  int64_t tiles_, side_, slices_, v_step_, du_step_;
  const T* zeros_ = nullptr;
};

// Calls body(zero of the element type of images).
template <class Body>
void with_type(const Tensor& images, const Body& body) {
  if (images.dtype() == DType::bf16) return body(bf16());
  body(float());
}

}  // namespace

void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
            const Conv2dParams& params, const Kernels& kernels) {
  if (y.numel() == 0) return;
  const Filters f(weight, params);
  with_type(x, [&]<class T>(T) {
    ImagePass<T>(images<T>(y), images<T>(x), f, forward_pass(f, params.padding), kernels)
        .run(weight.data<T>(), epilogue);
  });
}

void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight, const Epilogue& epilogue,
                       const Conv2dParams& params, const Kernels& kernels) {
  if (dx.numel() == 0) return;
  const Filters f(weight, params);
  with_type(dy, [&]<class T>(T) {
    for (int64_t b_h = 0; b_h < std::min(f.stride, dx.dim(1)); ++b_h)
      for (int64_t b_w = 0; b_w < std::min(f.stride, dx.dim(2)); ++b_w)
        ImagePass<T>(images<T>(dx), images<T>(dy), f,
                     input_gradient_pass(f, params.padding, b_h, b_w), kernels)
            .run(weight.data<T>(), epilogue);
  });
}

void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params, const Kernels& kernels) {
  if (dy.numel() == 0) return dweight.backend().fill(dweight, 0.f);
  const Filters f(dweight, params);
  with_type(x, [&]<class T>(T) {
    WeightGradient<T>(images<T>(x), images<T>(dy), f, forward_pass(f, params.padding), kernels)
        .run(dweight);
  });
}

}  // namespace versor::cpu::winograd
