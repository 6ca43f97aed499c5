// The extent of a tensor along each axis, outermost first: [N,H,W,C] for images, [R,D] for rows.
// Tensors are contiguous and row-major, so a shape is all there is to know about a layout.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>

#include "tensor/error.h"

namespace versor {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;  // rank 0: a scalar, one element
  Shape(std::initializer_list<int64_t> extents)
      : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents) : rank_(static_cast<int>(extents.size())) {
    check(rank_ <= kMaxRank, "shape", "rank ", rank_, " exceeds ", kMaxRank);
    for (int i = 0; i < rank_; ++i) {
      check(extents[i] >= 0, "shape", "extent ", extents[i], " of axis ", i, " is negative");
      extents_[i] = extents[i];
      // So that neither numel() nor a size in bytes can overflow.
      check(extents[i] == 0 || numel_ <= kMostElements / extents[i], "shape",
            "a tensor of so many elements cannot be");
      numel_ *= extents[i];
    }
  }

  int rank() const { return rank_; }
  // Extent of an axis; negative axes count from the end.
  int64_t operator[](int axis) const {
    const int i = axis < 0 ? axis + rank_ : axis;
    check(i >= 0 && i < rank_, "shape", "axis ", axis, " is out of range for rank ", rank_);
    return extents_[i];
  }
  int64_t numel() const { return numel_; }
  const int64_t* begin() const { return extents_.data(); }
  const int64_t* end() const { return extents_.data() + rank_; }
  bool operator==(const Shape& other) const = default;

 private:
  static constexpr int64_t kMostElements = int64_t{1} << 48;

  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
  int64_t numel_ = 1;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? "," : "") << shape[i];
  return out << ']';
}

}  // namespace versor
