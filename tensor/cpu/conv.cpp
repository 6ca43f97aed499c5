// Convolution on the CPU: the reference as im2col + matrix product, and the choice between it,
// fewer multiplications (winograd.h) and oneDNN. im2col writes, for every output position, the
// kh*kw*C inputs that it sees into one row:
//   columns [P, kh*kw*C],  P = N*H'*W' output positions;  weight seen as a matrix [O, kh*kw*C];
//   y = columns weight^T,   dcolumns = dy weight,   dweight = dy^T columns.
// Images are taken in chunks so that the columns stay near kChunkElements floats.
#include <cstring>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/matmul.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/winograd.h"

namespace versor {
namespace cpu::reference {
namespace {

constexpr int64_t kChunkElements = 4 << 20;

// The geometry of one convolution, and how many images make a chunk.
struct Geometry {
  int64_t N, H, W, C, O, kh, kw, out_h, out_w;
  Conv2dParams params;

  Geometry(const Tensor& x, const Tensor& weight, const Conv2dParams& p)
      : N(x.dim(0)),
        H(x.dim(1)),
        W(x.dim(2)),
        C(x.dim(3)),
        O(weight.dim(0)),
        kh(weight.dim(1)),
        kw(weight.dim(2)),
        out_h(p.out_size(H, kh)),
        out_w(p.out_size(W, kw)),
        params(p) {}
  int64_t positions() const { return out_h * out_w; }  // per image
  int64_t row() const { return kh * kw * C; }          // elements of one row of columns
  int64_t chunk() const {
    return std::clamp<int64_t>(kChunkElements / std::max<int64_t>(1, positions() * row()), 1,
                               std::max<int64_t>(1, N));
  }
};

// Calls body(inside, x offset, column offset) for each of the C-long pieces of one image's columns.
template <class Body>
void for_each_piece(const Geometry& g, const Body& body) {
  for (int64_t h = 0; h < g.out_h; ++h)
    for (int64_t w = 0; w < g.out_w; ++w)
      for (int64_t i = 0; i < g.kh; ++i)
        for (int64_t j = 0; j < g.kw; ++j) {
          const int64_t in_h = h * g.params.stride + i - g.params.padding;
          const int64_t in_w = w * g.params.stride + j - g.params.padding;
          const bool inside = in_h >= 0 && in_h < g.H && in_w >= 0 && in_w < g.W;
          body(inside, (in_h * g.W + in_w) * g.C,
               (h * g.out_w + w) * g.row() + (i * g.kw + j) * g.C);
        }
}

void im2col(float* columns, const float* x, const Geometry& g, int64_t images) {
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < images; ++n) {
    const float* image = x + n * g.H * g.W * g.C;
    float* out = columns + n * g.positions() * g.row();
    for_each_piece(g, [&](bool inside, int64_t at, int64_t column) {
      if (inside) {
        std::memcpy(out + column, image + at, sizeof(float) * g.C);
      } else {
        std::memset(out + column, 0, sizeof(float) * g.C);
      }
    });
  }
}

// The transpose of im2col: adds every column back to the input that it was read from.
void col2im(float* x, const float* columns, const Geometry& g, int64_t images) {
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < images; ++n) {
    float* image = x + n * g.H * g.W * g.C;
    const float* in = columns + n * g.positions() * g.row();
    std::memset(image, 0, sizeof(float) * g.H * g.W * g.C);
    for_each_piece(g, [&](bool inside, int64_t at, int64_t column) {
      if (!inside) return;
      for (int64_t c = 0; c < g.C; ++c) image[at + c] += in[column + c];
    });
  }
}

// Calls body(first image, number of images, columns buffer) for all chunks.
template <class Body>
void for_each_chunk(const Geometry& g, const Body& body) {
  Tensor columns({g.chunk() * g.positions(), g.row()});
  for (int64_t n = 0; n < g.N; n += g.chunk()) body(n, std::min(g.chunk(), g.N - n), columns);
}

}  // namespace

void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
            const Conv2dParams& params) {
  const Geometry g(x, weight, params);
  for_each_chunk(g, [&](int64_t n, int64_t images, Tensor& storage) {
    float* columns = storage.data<float>();
    im2col(columns, x.data<float>() + n * g.H * g.W * g.C, g, images);
    gemm(images * g.positions(), g.O, g.row(), {columns, g.row(), 1},
         {weight.data<float>(), 1, g.row()}, y.data<float>() + n * g.positions() * g.O, false);
  });
  apply_epilogue(y, y, epilogue);
}

void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Conv2dParams& params) {
  conv2d_grad_input(dx, dy, weight, params,
                    [](Tensor& columns, const Tensor& rows, const Tensor& w) {
                      matmul(columns, rows, w, false, false, {});
                    });
}

void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Conv2dParams& params, Product product) {
  const Geometry g(dx, weight, params);
  const Tensor rows = dy.flat_rows(), matrix = weight.reshape({g.O, g.row()});
  for_each_chunk(g, [&](int64_t n, int64_t images, Tensor columns) {
    const int64_t first = n * g.positions(), count = images * g.positions();
    columns = columns.rows(0, count);
    product(columns, rows.rows(first, first + count), matrix);
    col2im(dx.data<float>() + n * g.H * g.W * g.C, columns.data<float>(), g, images);
  });
}

void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params) {
  const Geometry g(x, dweight, params);
  if (g.N == 0) x.backend().fill(dweight, 0.f);
  for_each_chunk(g, [&](int64_t n, int64_t images, Tensor& storage) {
    float* columns = storage.data<float>();
    im2col(columns, x.data<float>() + n * g.H * g.W * g.C, g, images);
    gemm(g.O, g.row(), images * g.positions(), {dy.data<float>() + n * g.positions() * g.O, 1, g.O},
         {columns, g.row(), 1}, dweight.data<float>(), n > 0);
  });
}

}  // namespace cpu::reference

namespace {

// Without bf16 instructions the products are computed in f32, from widened copies, and rounded
// once.
Tensor widened(const Tensor& t) {
  if (t.dtype() == DType::f32) return t;
  Tensor wide(t.shape());
  t.backend().cast(wide, t);
  return wide;
}

bool needs_widening(const Tensor& t) {
  return t.dtype() != DType::f32 && !cpu::has_bf16_products();
}

}  // namespace

void CpuBackend::conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
                        const Conv2dParams& params) {
  using cpu::winograd::Direction;
  if (cpu::winograd::suits(Direction::forward, x.shape(), x.dtype(), weight.shape(), params))
    return cpu::winograd::conv2d(y, x, weight, epilogue, params);
  if (epilogue.residual.defined()) {  // in a second pass
    conv2d(y, x, weight, {epilogue.bias, false}, params);
    return binary(y, y, epilogue.residual, epilogue.relu ? BinaryOp::add_relu : BinaryOp::add);
  }
  if (needs_widening(x)) {
    Tensor wide(y.shape());
    conv2d(wide, widened(x), widened(weight), epilogue, params);
    return cast(y, wide);
  }
#ifdef VERSOR_ONEDNN
  if (cpu::use_onednn()) return cpu::onednn::conv2d(y, x, weight, epilogue, params);
#endif
  cpu::reference::conv2d(y, x, weight, epilogue, params);
}

// The library adds no bias in this direction. With an epilogue a bf16 result is first kept in f32,
// so that it is rounded only once.
void CpuBackend::conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                                   const Epilogue& epilogue, const Conv2dParams& params) {
  using cpu::winograd::Direction;
  if (cpu::winograd::suits(Direction::grad_input, dx.shape(), dy.dtype(), weight.shape(), params))
    return cpu::winograd::conv2d_grad_input(dx, dy, weight, epilogue, params);
  if (needs_widening(dy)) {
    Tensor wide(dx.shape());
    conv2d_grad_input(wide, widened(dy), widened(weight), {}, params);
    return cpu::apply_epilogue(dx, wide, epilogue);
  }
  const bool plain = !epilogue.bias.defined() && !epilogue.relu;
  const bool few_channels = weight.dim(3) < 8;
  Tensor sums = dx.dtype() == DType::f32 || (plain && !few_channels) ? dx : Tensor(dx.shape());
#ifdef VERSOR_ONEDNN
  // With fewer channels than a vector register has lanes the library's convolution is slow: 10 ms
  // for the decoder's last layer, which takes 3 ms as a matrix product and a sum of its columns.
  if (cpu::use_onednn() && few_channels)
    cpu::reference::conv2d_grad_input(
        sums, dy, weight, params, [](Tensor& columns, const Tensor& rows, const Tensor& matrix) {
          cpu::onednn::matmul(columns, rows, matrix, false, false, {});
        });
  else if (cpu::use_onednn())
    cpu::onednn::conv2d_grad_input(sums, dy, weight, params);
  else
#endif
    cpu::reference::conv2d_grad_input(sums, dy, weight, params);
  if (!plain || sums.address() != dx.address()) cpu::apply_epilogue(dx, sums, epilogue);
}

void CpuBackend::conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                                    const Conv2dParams& params) {
  using cpu::winograd::Direction;
  if (cpu::winograd::suits(Direction::grad_weight, x.shape(), x.dtype(), dweight.shape(), params))
    return cpu::winograd::conv2d_grad_weight(dweight, x, dy, params);
  if (needs_widening(x)) return conv2d_grad_weight(dweight, widened(x), widened(dy), params);
#ifdef VERSOR_ONEDNN
  if (cpu::use_onednn()) return cpu::onednn::conv2d_grad_weight(dweight, x, dy, params);
#endif
  cpu::reference::conv2d_grad_weight(dweight, x, dy, params);
}

}  // namespace versor
