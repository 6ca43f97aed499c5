// A convolution as cuDNN runs it. cuDNN's "graph API" describes a computation as a small graph of
// operations on tensors, asks heuristics which of its engines (kernels, with settings) suit it best
// on this GPU, and turns one of them into an execution plan. A ConvPlan is such a plan for one
// convolution, with what follows it: bias and ReLU where one kernel can do it all.
// Everything in that API is a "descriptor": an object with numbered attributes that is filled in,
// finalized, and from then on read-only. Read next: cudnn.cpp, then conv.cpp, which uses plans.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <vector>

#include "tensor/cuda/context.h"

namespace versor::cuda {

// The tag by which cuDNN knows a C++ type among the values of attributes.
template <class T>
inline constexpr auto attribute_type = [] { static_assert(sizeof(T) == 0, "no such type"); }();
template <>
inline constexpr auto attribute_type<int64_t> = CUDNN_TYPE_INT64;
template <>
inline constexpr auto attribute_type<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr auto attribute_type<float> = CUDNN_TYPE_FLOAT;
template <>
inline constexpr auto attribute_type<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr auto attribute_type<void*> = CUDNN_TYPE_VOID_PTR;
template <>
inline constexpr auto attribute_type<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr auto attribute_type<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr auto attribute_type<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr auto attribute_type<cudnnPointwiseMode_t> = CUDNN_TYPE_POINTWISE_MODE;
template <>
inline constexpr auto attribute_type<cudnnNanPropagation_t> = CUDNN_TYPE_NAN_PROPOGATION;
template <>
inline constexpr auto attribute_type<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr auto attribute_type<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr auto attribute_type<cudnnBackendBehaviorNote_t> = CUDNN_TYPE_BEHAVIOR_NOTE;

// Owns one descriptor.
class Descriptor {
 public:
  using Name = cudnnBackendAttributeName_t;

  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    CUDNN_CHECK(cudnnBackendCreateDescriptor(type, handle_.address()));
  }

  template <class T>
  void set(Name name, const T& value) {
    set(name, std::span<const T>(&value, 1));
  }
  template <class T>
  void set(Name name, std::span<const T> values) {
    set_attribute(name, attribute_type<T>, values.size(), values.data());
  }
  void set(Name name, const Descriptor& value) { set(name, std::span(&value, 1)); }
  void set(Name name, std::span<const Descriptor> values);

  // The value, or as many values as there are, up to `most`.
  template <class T>
  T get(Name name) const {
    T value{};
    get_attribute(name, attribute_type<T>, 1, &value);
    return value;
  }
  template <class T>
  std::vector<T> get_all(Name name, int64_t most) const {
    std::vector<T> values(most);
    values.resize(get_attribute(name, attribute_type<T>, most, values.data()));
    return values;
  }
  // The first `count` descriptors, of the given type; count_of() says how many there are.
  std::vector<Descriptor> get_descriptors(Name name, cudnnBackendDescriptorType_t type,
                                          int64_t count) const;
  int64_t count_of(Name name) const;

  // False if cuDNN cannot do what the attributes ask for.
  bool try_finalize() { return cudnnBackendFinalize(handle_) == CUDNN_STATUS_SUCCESS; }
  void finalize() { CUDNN_CHECK(cudnnBackendFinalize(handle_)); }

  cudnnBackendDescriptor_t get() const { return handle_; }

 private:
  void set_attribute(Name name, cudnnBackendAttributeType_t type, size_t count, const void* values);
  int64_t get_attribute(Name name, cudnnBackendAttributeType_t type, int64_t most,
                        void* values) const;

  Handle<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor> handle_;
};

// Kernels that read 16 bytes at once, the fast ones, need addresses that are multiples of it.
constexpr int64_t kFullAlignment = 16;

// Which of the three tensors of a convolution is computed from the other two.
enum class ConvKind { forward, grad_input, grad_weight };

// What a plan is made for: x [N,H,W,I], weight [O,kh,kw,I], y [N,H',W',O].
struct ConvKey {
  ConvKind kind;
  int64_t N, H, W, I, O, kh, kw, stride, padding;
  // Of x, weight and y. The sums are f32 always, and so are a bias and the gradient of the weights.
  DType dtype = DType::f32;
  bool bias = false, relu = false;  // what follows; not with grad_weight
  bool tf32 = false;                // f32 products may be rounded to TF32
  bool deterministic = true;
  bool aligned = true;      // all addresses are multiples of kFullAlignment
  bool may_compile = true;  // kernels that cuDNN compiles at run time, which takes about a second
  auto operator<=>(const ConvKey&) const = default;

  int64_t out_h() const { return (H + 2 * padding - kh) / stride + 1; }
  int64_t out_w() const { return (W + 2 * padding - kw) / stride + 1; }
};

// The GPU that a plan is for: a handle; or, to look at plans on a machine without a GPU
// (cuDNN 9.8), a finalized CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR. The latter cannot be executed.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

// What cuDNN says about an engine: how it computes, and whether it is compiled for each graph.
struct Engine {
  std::set<cudnnBackendNumericalNote_t> notes;
  bool compiled_at_run_time = false;
  bool has(cudnnBackendNumericalNote_t note) const { return notes.contains(note); }
};

class ConvPlan {
 public:
  // The plan that cuDNN's heuristics rank first among those that keep our rules (acceptable() in
  // cudnn.cpp); null if there is none.
  static std::unique_ptr<ConvPlan> build(const ConvKey& key, const PlanTarget& target,
                                         size_t most_workspace = Context::kMostConvWorkspace);

  // Enqueues the convolution. key.kind says which of x, weight and y is written.
  struct Addresses {
    void *x, *weight, *y, *bias;  // on the device; bias: null without one
  };
  void execute(cudnnHandle_t handle, const Addresses& addresses, void* workspace) const;

  size_t workspace_bytes() const { return workspace_bytes_; }
  const Engine& engine() const { return engine_; }

 private:
  ConvPlan(Descriptor plan, size_t workspace_bytes, Engine engine)
      : plan_(std::move(plan)), workspace_bytes_(workspace_bytes), engine_(std::move(engine)) {}

  Descriptor plan_;
  size_t workspace_bytes_;
  Engine engine_;
};

}  // namespace versor::cuda
