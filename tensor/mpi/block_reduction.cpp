#include "tensor/mpi/block_reduction.h"

#include <algorithm>
#include <climits>

#include "tensor/mpi/mpi.h"

namespace versor::mpi {

BlockReduction::BlockReduction(const Tensor& x, Reduction reduction, MPI_Comm ranks, int tag)
    : x_(x),
      reduction_(reduction),
      ranks_(ranks),
      type_(x.dtype() == DType::f32 ? MPI_FLOAT : MPI_INT32_T),
      tag_(tag) {
  MPI_Comm_rank(ranks, &rank_);
  MPI_Comm_size(ranks, &size_);
  check(x.numel() / size_ < INT_MAX, "all_reduce", x.shape(), " is too large for ", size_,
        " ranks");
  received_ = Tensor({size_, block_of(rank_).length}, x.dtype());
  for (int i = 1; i < size_; ++i) {  // all begin with different ones
    const int other = (rank_ + i) % size_;
    exchange(block_of(other), received_from(other), other, tag_);
  }
}

bool BlockReduction::advance() {
  int done = 0;
  check_call(
      MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE),
      "sum over ranks");
  if (!done || combined_) return done;
  if (x_.dtype() == DType::f32)
    combine<float, double>();
  else
    combine<int32_t, int64_t>();
  combined_ = true;
  requests_.clear();
  for (int i = 1; i < size_; ++i) {
    const int other = (rank_ + i) % size_;
    exchange(block_of(rank_), block_of(other), other, tag_ + 1);
  }
  return false;
}

BlockReduction::Part BlockReduction::block_of(int rank) {
  const int64_t begin = x_.numel() * rank / size_, end = x_.numel() * (rank + 1) / size_;
  const int64_t offset = begin * static_cast<int64_t>(size_of(x_.dtype()));
  return {static_cast<char*>(x_.address()) + offset, static_cast<int>(end - begin)};
}

BlockReduction::Part BlockReduction::received_from(int rank) {
  if (rank == rank_) return block_of(rank);
  return {static_cast<char*>(received_.rows(rank, rank + 1).address()), block_of(rank_).length};
}

void BlockReduction::exchange(Part outgoing, Part incoming, int rank, int tag) {
  MPI_Request request;
  if (incoming.length > 0) {
    check_call(MPI_Irecv(incoming.address, incoming.length, type_, rank, tag, ranks_, &request),
               "sum over ranks");
    requests_.push_back(request);
  }
  if (outgoing.length > 0) {
    check_call(MPI_Isend(outgoing.address, outgoing.length, type_, rank, tag, ranks_, &request),
               "sum over ranks");
    requests_.push_back(request);
  }
}

// A NaN of any rank makes the sum and the largest NaN.
template <class T, class Wide>
void BlockReduction::combine() {
  constexpr int64_t kChunk = 512;  // stays in the first cache
  const auto [mine, length] = block_of(rank_);
  for (int64_t begin = 0; begin < length; begin += kChunk) {
    const int64_t n = std::min(kChunk, length - begin);
    Wide total[kChunk] = {};
    for (int r = 0; r < size_; ++r) {
      const T* part = reinterpret_cast<const T*>(received_from(r).address) + begin;
      for (int64_t i = 0; i < n; ++i) {
        const Wide value = part[i];
        if (reduction_ == Reduction::sum)
          total[i] += value;
        else if (r == 0 || !(value <= total[i] || total[i] != total[i]))
          total[i] = value;
      }
    }
    for (int64_t i = 0; i < n; ++i)
      reinterpret_cast<T*>(mine)[begin + i] = static_cast<T>(total[i]);
  }
}

}  // namespace versor::mpi
