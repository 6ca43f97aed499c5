// The device under test, and conversion between its tensors and the arrays of the double reference.
// Values are read only through to_array(), bits_of() and to_vector(), since the host cannot address
// a GPU's memory. Does not use the test framework, so that other programs can use the table of
// cases (cases.h). Read next: support.h.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "tensor/environment.h"
#include "tensor/tensor.h"
#include "tests/reference.h"

namespace versor::testing {

namespace ref = versor::reference;

// The device on which the tests of tensor/, autograd/, nn/ and vq/ compute: VERSOR_TEST_DEVICE, or
// the CPU.
inline Device test_device() {
  static const Device device = parse_device(environment("VERSOR_TEST_DEVICE").value_or("cpu"));
  return device;
}

inline bool on_other_device() {
  return test_device().type != DeviceType::cpu;
}

inline ref::Shape ref_shape(const Shape& shape) {
  return {shape.begin(), shape.end()};
}
inline Shape to_shape(const ref::Shape& shape) {
  return Shape(std::span<const int64_t>(shape));
}

// A tensor with these values, on the device under test.
template <class T>
Tensor on_device(const std::vector<T>& values, Shape shape) {
  return Tensor::from(values, shape, test_device());
}

// Memory on the device under test, not initialised.
inline Tensor empty(Shape shape, DType dtype = DType::f32) {
  return Tensor(shape, dtype, test_device());
}

// The values rounded to f32.
inline Tensor to_tensor(const ref::Array& array, Device device = test_device()) {
  const std::vector<float> values(array.data.begin(), array.data.end());
  return Tensor::from(values, to_shape(array.shape), device);
}

// The values rounded to bf16.
inline Tensor to_bf16(const ref::Array& array) {
  std::vector<bf16> values;
  for (double value : array.data) values.emplace_back(static_cast<float>(value));
  return on_device(values, to_shape(array.shape));
}

// i32 [R]
inline Tensor index_tensor(const ref::Indices& indices, Device device = test_device()) {
  const std::vector<int32_t> values(indices.begin(), indices.end());
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
}

template <class T>
ref::Array array_of(const Tensor& tensor) {
  ref::Array array = ref::zeros(ref_shape(tensor.shape()));
  std::ranges::transform(tensor.to_vector<T>(), array.data.begin(),
                         [](T value) { return static_cast<double>(static_cast<float>(value)); });
  return array;
}

// The values as doubles; large i32 values stay exact.
inline ref::Array to_array(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32) return array_of<float>(tensor);
  if (tensor.dtype() == DType::bf16) return array_of<bf16>(tensor);
  if (tensor.dtype() == DType::u8) return array_of<uint8_t>(tensor);
  ref::Array array = ref::zeros(ref_shape(tensor.shape()));
  std::ranges::copy(tensor.to_vector<int32_t>(), array.data.begin());
  return array;
}

// A number as an array of shape [1], like a tensor of one element.
inline ref::Array one(double value) {
  return {{1}, {value}};
}

// Random values that are exact in f32, so that tensor and reference start from the same numbers.
inline ref::Array random_array(ref::Random& random, const Shape& shape, double low = -1,
                               double high = 1) {
  ref::Array array = random.array(ref_shape(shape), low, high);
  for (double& value : array.data) value = static_cast<float>(value);
  return array;
}

// The nearest bf16 numbers.
inline ref::Array rounded_to_bf16(ref::Array array) {
  for (double& value : array.data)
    value = static_cast<double>(static_cast<float>(bf16(static_cast<float>(value))));
  return array;
}

inline double error(const Tensor& value, const ref::Array& expected) {
  return ref::relative_error(to_array(value), expected);
}

inline std::string bits_of(const Tensor& tensor) {
  std::string bits(tensor.bytes(), '\0');
  tensor.copy_to_host(bits.data());
  return bits;
}

}  // namespace versor::testing
