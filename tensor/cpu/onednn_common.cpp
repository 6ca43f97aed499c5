// Engine, stream and descriptors of oneDNN: see onednn.h.
#include <functional>
#include <numeric>

#include "tensor/cpu/matmul.h"
#include "tensor/cpu/onednn.h"

namespace versor::cpu::onednn {
namespace {

using dnnl::memory;
constexpr auto kF32 = memory::data_type::f32;

// Scratch memory comes from our pool, so that it is counted. f32 products stay f32 whatever the
// environment asks of the library: the nearest-code search relies on their error bound.
dnnl::primitive_attr attributes(bool relu) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_fpmath_mode(dnnl::fpmath_mode::strict);
  if (relu) {
    dnnl::post_ops ops;
#if DNNL_VERSION_MAJOR >= 3
    ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#else
    ops.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#endif
    attr.set_post_ops(ops);
  }
  return attr;
}

// The arguments that all three convolution primitives share.
struct Descriptors {
  memory::desc x, weight, weight_grad, bias, y;
  memory::dims strides, padding_low, padding_high;

  Descriptors(const ConvSizes& s, Format format, bool wide_x = false) {
    const auto images = format == Format::plain ? memory::format_tag::nhwc  //
                                                : memory::format_tag::any;
    const auto type = s.type == DType::bf16 ? memory::data_type::bf16 : kF32;
    x = {{s.N, s.C, s.H, s.W}, wide_x ? kF32 : type, images};
    weight = {{s.O, s.C, s.kh, s.kw}, type, memory::format_tag::any};
    weight_grad = {{s.O, s.C, s.kh, s.kw}, kF32, memory::format_tag::any};
    bias = {{s.O}, kF32, memory::format_tag::x};
    y = {{s.N, s.O, s.out_h(), s.out_w()}, type, images};
    strides = {s.stride, s.stride};
    padding_low = {s.padding, s.padding};
    // What is left over at the far edge may be less than the padding (if negative, it is cropped).
    padding_high = {(s.out_h() - 1) * s.stride + s.kh - s.H - s.padding,
                    (s.out_w() - 1) * s.stride + s.kw - s.W - s.padding};
  }
};

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

}  // namespace

dnnl::engine& engine() {
  static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

dnnl::stream& stream() {
  static dnnl::stream instance(engine());
  return instance;
}

Isa isa() {
  const auto has = [bits = static_cast<unsigned>(dnnl::get_effective_cpu_isa())](dnnl::cpu_isa i) {
    return (bits & static_cast<unsigned>(i)) == static_cast<unsigned>(i);
  };
  return has(dnnl::cpu_isa::avx512_core_amx)    ? Isa::amx
         : has(dnnl::cpu_isa::avx512_core_bf16) ? Isa::avx512_bf16
         : has(dnnl::cpu_isa::avx512_core)      ? Isa::avx512
                                                : Isa::other;
}

Forward describe_forward(const ConvSizes& s, Format format, bool bias, bool relu) {
  const Descriptors d(s, format);
  const auto kind = dnnl::prop_kind::forward_training;
  const memory::desc bias_desc = bias ? d.bias : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
  return Forward(engine(), kind, kDirect, d.x, d.weight, bias_desc, d.y, d.strides, d.padding_low,
                 d.padding_high, attributes(relu));
#else
  return Forward(
      {kind, kDirect, d.x, d.weight, bias_desc, d.y, d.strides, d.padding_low, d.padding_high},
      attributes(relu), engine());
#endif
}

GradInput describe_grad_input(const ConvSizes& s, Format format) {
  const Descriptors d(s, format, s.wide_grad_input);
  const Forward hint = describe_forward(s, format, false, false);
#if DNNL_VERSION_MAJOR >= 3
  return GradInput(engine(), kDirect, d.x, d.weight, d.y, d.strides, d.padding_low, d.padding_high,
                   hint, attributes(false));
#else
  return GradInput({kDirect, d.x, d.weight, d.y, d.strides, d.padding_low, d.padding_high},
                   attributes(false), engine(), hint);
#endif
}

GradWeight describe_grad_weight(const ConvSizes& s, Format format) {
  const Descriptors d(s, format);
  const Forward hint = describe_forward(s, format, false, false);
#if DNNL_VERSION_MAJOR >= 3
  return GradWeight(engine(), kDirect, d.x, d.weight_grad, d.y, d.strides, d.padding_low,
                    d.padding_high, hint, attributes(false));
#else
  return GradWeight({kDirect, d.x, d.weight_grad, d.y, d.strides, d.padding_low, d.padding_high},
                    attributes(false), engine(), hint);
#endif
}

DType type_of(const memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  const auto type = desc.get_data_type();
#else
  const auto type = desc.data_type();
#endif
  return type == memory::data_type::bf16 ? DType::bf16 : DType::f32;
}

int64_t elements_of(const memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  const memory::dims extents = desc.get_dims();
#else
  const memory::dims extents = desc.dims();
#endif
  return std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<int64_t>());
}

}  // namespace versor::cpu::onednn
