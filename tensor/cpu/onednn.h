// The only file that knows oneDNN: its engine and stream, and how a convolution is described to it,
// for the API of 2.x (Debian 12) and of 3.x (Debian 13). bin/bench uses the same descriptions for
// the floor: the bare library calls that a training step is compared with.
#pragma once

#include <dnnl.hpp>
#include <map>
#include <mutex>

#include "tensor/backend.h"

namespace versor::cpu::onednn {

dnnl::engine& engine();
dnnl::stream& stream();

// The sizes of one convolution: x [N,H,W,C], weight [O,kh,kw,C], y [N,H',W',O], all of one type,
// f32 or bf16; the gradient of the weights and a bias are f32.
struct ConvSizes {
  int64_t N, H, W, C, O, kh, kw, stride, padding;
  DType type = DType::f32;
  bool wide_grad_input = false;  // dx in f32 whatever the type
  auto operator<=>(const ConvSizes&) const = default;
  int64_t out_h() const { return (H + 2 * padding - kh) / stride + 1; }
  int64_t out_w() const { return (W + 2 * padding - kw) / stride + 1; }
};

// Plain formats: those of our tensors. `any` lets the library choose.
enum class Format { plain, any };

// Primitive descriptors. The format of weights is always left to the library: they are small, and
// reordering them once per use costs little. `format` is that of x and y.
using Forward = dnnl::convolution_forward::primitive_desc;
using GradInput = dnnl::convolution_backward_data::primitive_desc;
using GradWeight = dnnl::convolution_backward_weights::primitive_desc;
Forward describe_forward(const ConvSizes& s, Format format, bool bias, bool relu);
GradInput describe_grad_input(const ConvSizes& s, Format format);
GradWeight describe_grad_weight(const ConvSizes& s, Format format);

// What a descriptor holds: f32 or bf16, and how many elements, without a format's padding.
DType type_of(const dnnl::memory::desc& desc);
int64_t elements_of(const dnnl::memory::desc& desc);

// What was made for a key, kept for the life of the program: oneDNN holds no reference to our
// tensors. Several threads may ask at a time, and may use what they got.
template <class Key, class Value>
class PrimitiveCache {
 public:
  template <class Make>
  const Value& get(const Key& key, const Make& make) {
    const std::lock_guard lock(mutex_);
    if (auto it = values_.find(key); it != values_.end()) return it->second;
    return values_.emplace(key, make()).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<Key, Value> values_;
};

}  // namespace versor::cpu::onednn
