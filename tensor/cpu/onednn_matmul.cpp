// Matrix product by oneDNN, primitives kept by shape. A transpose is only another format tag.
#include <omp.h>

#include <map>
#include <unordered_map>

#include "tensor/cpu/matmul.h"
#include "tensor/cpu/onednn.h"

namespace versor::cpu::onednn {
namespace {

using dnnl::memory;

struct Key {
  int64_t batch, m, n, l;  // batch 0: one product, without that axis
  bool transpose_a, transpose_b, bias;
  DType type, result;                   // of a and b, and of y
  int threads = omp_get_max_threads();  // part of the key: see onednn_conv.cpp
  auto operator<=>(const Key&) const = default;
};

dnnl::matmul::primitive_desc describe(const Key& k) {
  using Tag = memory::format_tag;
  const auto matrix = [&](int64_t rows, int64_t columns, DType dtype, bool transpose) {
    const auto type = dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
    if (k.batch == 0) return memory::desc({rows, columns}, type, transpose ? Tag::ba : Tag::ab);
    return memory::desc({k.batch, rows, columns}, type, transpose ? Tag::acb : Tag::abc);
  };
  const memory::desc a = matrix(k.m, k.l, k.type, k.transpose_a);
  const memory::desc b = matrix(k.l, k.n, k.type, k.transpose_b);
  const memory::desc y = matrix(k.m, k.n, k.result, false);
  const memory::desc bias = k.bias ? matrix(1, k.n, DType::f32, false) : memory::desc();
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_fpmath_mode(dnnl::fpmath_mode::strict);
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul::primitive_desc(engine(), a, b, bias, y, attr);
#else
  return dnnl::matmul::primitive_desc({a, b, bias, y}, attr, engine());
#endif
}

}  // namespace

void matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
            const Tensor& bias) {
  const Key key{y.shape().rank() == 3 ? y.dim(0) : 0,
                y.dim(-2),
                y.dim(-1),
                a.dim(transpose_a ? -2 : -1),
                transpose_a,
                transpose_b,
                bias.defined(),
                a.dtype(),
                y.dtype()};
  if (y.numel() == 0) return;
  if (key.l == 0) {  // an empty sum
    Tensor sum(y.shape());
    sum.backend().fill(sum, 0.f);
    return apply_epilogue(y, sum, {bias, false});
  }
  struct Prepared {
    dnnl::matmul::primitive_desc desc;
    dnnl::matmul primitive;
  };
  static PrimitiveCache<Key, Prepared> cache;
  const auto& [desc, primitive] = cache.get(key, [&] {
    auto made = describe(key);
    return Prepared{made, dnnl::matmul(made)};
  });
  const auto wrap = [](const memory::desc& d, const Tensor& t) {
    return memory(d, engine(), t.address());
  };
  const Tensor scratch({static_cast<int64_t>(desc.scratchpad_desc().get_size())}, DType::u8);
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, wrap(desc.src_desc(), a)},
      {DNNL_ARG_WEIGHTS, wrap(desc.weights_desc(), b)},
      {DNNL_ARG_DST, wrap(desc.dst_desc(), y)},
      {DNNL_ARG_SCRATCHPAD, wrap(desc.scratchpad_desc(), scratch)}};
  if (key.bias) {
    const memory::desc row({1, key.n}, memory::data_type::f32, memory::format_tag::ab);
    arguments.emplace(DNNL_ARG_BIAS, wrap(row, bias));
  }
  primitive.execute(stream(), arguments);
  stream().wait();
}

}  // namespace versor::cpu::onednn
