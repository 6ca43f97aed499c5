// Descriptors, and a convolution as a graph of operations: see cudnn.h.
#include "tensor/cuda/cudnn.h"

#include <algorithm>

namespace versor::cuda {

// --- descriptors ---------------------------------------------------------------------------------

void Descriptor::set_attribute(Name name, cudnnBackendAttributeType_t type, size_t count,
                               const void* values) {
  CUDNN_CHECK(cudnnBackendSetAttribute(handle_, name, type, static_cast<int64_t>(count), values));
}

int64_t Descriptor::get_attribute(Name name, cudnnBackendAttributeType_t type, int64_t most,
                                  void* values) const {
  int64_t count = 0;
  CUDNN_CHECK(cudnnBackendGetAttribute(handle_, name, type, most, &count, values));
  return std::min(count, most);
}

void Descriptor::set(Name name, std::span<const Descriptor> values) {
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& value : values) handles.push_back(value.get());
  set_attribute(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, handles.size(), handles.data());
}

int64_t Descriptor::count_of(Name name) const {
  int64_t count = 0;
  CUDNN_CHECK(
      cudnnBackendGetAttribute(handle_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  return count;
}

std::vector<Descriptor> Descriptor::get_descriptors(Name name, cudnnBackendDescriptorType_t type,
                                                    int64_t count) const {
  std::vector<Descriptor> values;  // made by us, filled by cuDNN
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < count; ++i) handles.push_back(values.emplace_back(type).get());
  const int64_t filled = get_attribute(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, handles.data());
  while (static_cast<int64_t>(values.size()) > filled) values.pop_back();
  return values;
}

namespace {

// --- the graph of operations ---------------------------------------------------------------------

struct Dims {
  int64_t n, c, h, w;
};

// cuDNN always lists dimensions in the order N,C,H,W; the strides say that channels are innermost
// in memory (NHWC, or [O,kh,kw,I] for weights).
Descriptor describe_tensor(int64_t uid, const Dims& d, cudnnDataType_t type, bool aligned) {
  const int64_t dims[] = {d.n, d.c, d.h, d.w};
  const int64_t strides[] = {d.h * d.w * d.c, 1, d.w * d.c, d.c};
  const int64_t element = type == CUDNN_DATA_BFLOAT16 ? 2 : 4;
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, uid);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, aligned ? kFullAlignment : element);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(dims));
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(strides));
  tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, uid >= kVirtual);
  tensor.finalize();
  return tensor;
}

Descriptor describe_window(const ConvKey& key) {
  const int64_t strides[] = {key.stride, key.stride}, paddings[] = {key.padding, key.padding};
  const int64_t dilations[] = {1, 1};
  Descriptor window(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  window.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2});
  window.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);  // no flipped kernel
  window.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);         // f32 sums
  window.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span<const int64_t>(strides));
  window.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span<const int64_t>(paddings));
  window.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span<const int64_t>(paddings));
  window.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span<const int64_t>(dilations));
  window.finalize();
  return window;
}

// The three kinds of convolution are three types of operation, each with its own names for the
// same attributes.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t window, x, weight, y, alpha, beta;
};

OperationNames names_of(ConvKind kind) {
  switch (kind) {
    case ConvKind::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvKind::grad_input:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvKind::grad_weight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  fail("conv2d", "unknown kind of convolution");
}

Descriptor describe_convolution(const ConvKey& key, const Descriptor& x, const Descriptor& weight,
                                const Descriptor& y) {
  const OperationNames names = names_of(key.kind);
  Descriptor operation(names.type);
  operation.set(names.window, describe_window(key));
  operation.set(names.x, x);
  operation.set(names.weight, weight);
  operation.set(names.y, y);
  operation.set(names.alpha, 1.f);  // result = alpha * convolution + beta * result
  operation.set(names.beta, 0.f);
  operation.finalize();
  return operation;
}

// y = mode(x, b), element by element in f32; a bias b [1,C,1,1] is the same for all positions.
Descriptor describe_pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b,
                              const Descriptor& y) {
  Descriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (mode == CUDNN_POINTWISE_RELU_FWD)  // see acceptable()
    function.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
  function.finalize();
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  operation.finalize();
  return operation;
}

// What is done to the f32 sums before they are stored. The gradient of bf16 weights is stored as
// f32: cuDNN 9 has no engine for that as a plain convolution, but it has some for a convolution
// whose f32 result passes through the identity.
std::vector<cudnnPointwiseMode_t> steps_after(const ConvKey& key) {
  std::vector<cudnnPointwiseMode_t> steps;
  if (key.bias) steps.push_back(CUDNN_POINTWISE_ADD);
  if (key.relu) steps.push_back(CUDNN_POINTWISE_RELU_FWD);
  if (key.kind == ConvKind::grad_weight && key.dtype == DType::bf16)
    steps.push_back(CUDNN_POINTWISE_IDENTITY);
  return steps;
}

}  // namespace

// Convolution -> virtual f32 tensor -> step -> ... -> result.
Descriptor describe_graph(const ConvKey& key, const PlanTarget& target) {
  const auto type = key.dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const auto tensor = [&](int64_t uid, const Dims& dims, cudnnDataType_t t) {
    return describe_tensor(uid, dims, t, key.aligned);
  };
  const Dims x{key.N, key.I, key.H, key.W}, weight{key.O, key.I, key.kh, key.kw};
  const Dims y{key.N, key.O, key.out_h(), key.out_w()};
  const bool of_weight = key.kind == ConvKind::grad_weight;
  const Dims& result = key.kind == ConvKind::forward ? y : of_weight ? weight : x;
  const Descriptor inputs_and_result[] = {
      tensor(kX, x, type), tensor(kWeight, weight, of_weight ? CUDNN_DATA_FLOAT : type),
      tensor(kY, y, type)};
  const Descriptor bias = tensor(kBias, {1, result.c, 1, 1}, CUDNN_DATA_FLOAT);
  const int result_index = key.kind == ConvKind::grad_input ? 0 : of_weight ? 1 : 2;

  // value(i) is what step i works on; the last one is the result.
  const std::vector<cudnnPointwiseMode_t> steps = steps_after(key);
  std::vector<Descriptor> between;
  for (size_t i = 0; i < steps.size(); ++i)
    between.push_back(tensor(kVirtual + static_cast<int64_t>(i), result, CUDNN_DATA_FLOAT));
  const auto value = [&](size_t i) -> const Descriptor& {
    return i < steps.size() ? between[i] : inputs_and_result[result_index];
  };
  const auto operand = [&](int i) -> const Descriptor& {
    return i == result_index ? value(0) : inputs_and_result[i];
  };

  std::vector<Descriptor> operations;
  operations.push_back(describe_convolution(key, operand(0), operand(1), operand(2)));
  for (size_t i = 0; i < steps.size(); ++i) {
    const Descriptor* b = steps[i] == CUDNN_POINTWISE_ADD ? &bias : nullptr;
    operations.push_back(describe_pointwise(steps[i], value(i), b, value(i + 1)));
  }
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const Descriptor>(operations));
  if (target.handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  return graph;
}

}  // namespace versor::cuda
