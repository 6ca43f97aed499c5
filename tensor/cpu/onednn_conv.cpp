// Convolution by oneDNN on plain NHWC tensors. Primitives are built once per shape and kept; the
// weights [O,kh,kw,I] are reordered to and from the library's own blocked format at each use.
#include <omp.h>

#include <map>
#include <unordered_map>

#include "tensor/cpu/matmul.h"
#include "tensor/cpu/onednn.h"

namespace versor::cpu::onednn {
namespace {

using dnnl::memory;

memory wrap(const memory::desc& desc, const Tensor& t) {
  return {desc, engine(), t.address()};
}

Tensor bytes_from_pool(size_t bytes) {
  return Tensor({static_cast<int64_t>(bytes)}, DType::u8);
}

memory::desc plain_weight(const ConvSizes& s, DType type) {
  const auto element = type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  return {{s.O, s.C, s.kh, s.kw}, element, memory::format_tag::ohwi};
}

ConvSizes sizes_of(const Tensor& x, const Tensor& weight, const Conv2dParams& p) {
  return {x.dim(0),      x.dim(1),      x.dim(2), x.dim(3),  weight.dim(0),
          weight.dim(1), weight.dim(2), p.stride, p.padding, x.dtype()};
}

// A convolution primitive and the reorder of its weights, ready to run.
template <class Desc, class Primitive>
struct Prepared {
  Prepared(Desc desc_, const memory::desc& library_weight_, const memory::desc& plain_weight_,
           bool from_library)
      : desc(std::move(desc_)),
        primitive(desc),
        library_weight(library_weight_),
        plain(plain_weight_),
        needs_reorder(library_weight != plain) {
    if (!needs_reorder) return;
    const auto& source = from_library ? library_weight : plain;
    const auto& target = from_library ? plain : library_weight;
    reorder = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), source, engine(), target));
  }

  // The weights in the library's format: the tensor itself, or a reordered copy in `storage`.
  memory weights_for_library(const Tensor& weight, Tensor& storage) const {
    if (!needs_reorder) return wrap(plain, weight);
    storage = bytes_from_pool(library_weight.get_size());
    memory target = wrap(library_weight, storage), source = wrap(plain, weight);
    reorder.execute(stream(), source, target);
    return target;
  }

  void execute(std::unordered_map<int, memory> arguments) const {
    const Tensor scratch = bytes_from_pool(desc.scratchpad_desc().get_size());
    arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(desc.scratchpad_desc(), scratch));
    primitive.execute(stream(), arguments);
    stream().wait();
  }

  Desc desc;
  Primitive primitive;
  memory::desc library_weight, plain;
  bool needs_reorder;
  dnnl::reorder reorder;
};

using PreparedForward = Prepared<Forward, dnnl::convolution_forward>;
using PreparedGradInput = Prepared<GradInput, dnnl::convolution_backward_data>;
using PreparedGradWeight = Prepared<GradWeight, dnnl::convolution_backward_weights>;

// The key of a primitive. A primitive divides its work among threads when it is made, so the number
// of threads is part of the key.
struct Key {
  ConvSizes sizes;
  bool bias = false, relu = false;
  int threads = omp_get_max_threads();
  auto operator<=>(const Key&) const = default;
};

}  // namespace

void conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
            const Conv2dParams& params) {
  if (y.numel() == 0) return;
  static PrimitiveCache<Key, PreparedForward> cache;
  const Key key{sizes_of(x, weight, params), epilogue.bias.defined(), epilogue.relu};
  const PreparedForward& p = cache.get(key, [&] {
    Forward desc = describe_forward(key.sizes, Format::plain, key.bias, key.relu);
    const memory::desc library = desc.weights_desc();
    return PreparedForward(std::move(desc), library, plain_weight(key.sizes, key.sizes.type),
                           false);
  });
  Tensor storage;
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, wrap(p.desc.src_desc(), x)},
      {DNNL_ARG_WEIGHTS, p.weights_for_library(weight, storage)},
      {DNNL_ARG_DST, wrap(p.desc.dst_desc(), y)}};
  if (key.bias) arguments.emplace(DNNL_ARG_BIAS, wrap(p.desc.bias_desc(), epilogue.bias));
  p.execute(std::move(arguments));
}

void conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Conv2dParams& params) {
  if (dx.numel() == 0) return;
  static PrimitiveCache<Key, PreparedGradInput> cache;
  Key key{sizes_of(dx, weight, params)};
  key.sizes.wide_grad_input = dx.dtype() != dy.dtype();
  key.sizes.type = dy.dtype();
  const PreparedGradInput& p = cache.get(key, [&] {
    GradInput desc = describe_grad_input(key.sizes, Format::plain);
    const memory::desc library = desc.weights_desc();
    return PreparedGradInput(std::move(desc), library, plain_weight(key.sizes, key.sizes.type),
                             false);
  });
  Tensor storage;
  p.execute({{DNNL_ARG_DIFF_DST, wrap(p.desc.diff_dst_desc(), dy)},
             {DNNL_ARG_WEIGHTS, p.weights_for_library(weight, storage)},
             {DNNL_ARG_DIFF_SRC, wrap(p.desc.diff_src_desc(), dx)}});
}

void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params) {
  if (dy.numel() == 0) return dweight.backend().fill(dweight, 0.f);
  static PrimitiveCache<Key, PreparedGradWeight> cache;
  const Key key{sizes_of(x, dweight, params)};
  const PreparedGradWeight& p = cache.get(key, [&] {
    GradWeight desc = describe_grad_weight(key.sizes, Format::plain);
    const memory::desc library = desc.diff_weights_desc();
    return PreparedGradWeight(std::move(desc), library, plain_weight(key.sizes, DType::f32), true);
  });
  const Tensor storage = p.needs_reorder ? bytes_from_pool(p.library_weight.get_size()) : dweight;
  memory library_memory = wrap(p.library_weight, storage);
  p.execute({{DNNL_ARG_SRC, wrap(p.desc.src_desc(), x)},
             {DNNL_ARG_DIFF_DST, wrap(p.desc.diff_dst_desc(), dy)},
             {DNNL_ARG_DIFF_WEIGHTS, library_memory}});
  if (!p.needs_reorder) return;
  memory plain_memory = wrap(p.plain, dweight);
  p.reorder.execute(stream(), library_memory, plain_memory);
  stream().wait();
}

}  // namespace versor::cpu::onednn
