// A convolution as cuDNN describes it. cuDNN's "graph API" describes a computation as a small graph
// of operations on tensors, asks heuristics which of its engines (kernels, with settings) suit it
// best on this GPU, and turns one of them into an execution plan (conv_plan.h). Everything in that
// API is a "descriptor": an object with numbered attributes that is filled in, finalized, and from
// then on read-only. Read next: cudnn.cpp, then conv_plan.h.
#pragma once

#include <span>
#include <vector>

#include "tensor/cuda/context.h"
#include "tensor/cuda/plan_table.h"

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
inline constexpr auto attribute_type<cudnnBackendKnobType_t> = CUDNN_TYPE_KNOB_TYPE;
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

// The GPU that a plan is for: a handle; or, to look at plans on a machine without a GPU
// (cuDNN 9.8), a finalized CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR. The latter cannot be executed.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
  const PlanTable* tuned = nullptr;  // what was measured on this GPU, if anything
};

// The convolution with what follows it as a graph of operations, not finalized. Throws Error where
// cuDNN refuses it at once.
Descriptor describe_graph(const ConvKey& key, const PlanTarget& target);

// How a plan's arguments are named when it is executed. Tensors that only pass from one operation
// of the graph to the next ("virtual" ones, never in memory) are numbered from kVirtual on.
enum Uid : int64_t { kX = 1, kWeight, kY, kBias, kVirtual };

}  // namespace versor::cuda
