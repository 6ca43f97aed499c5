// Every function of a Communicator, on all ranks (tests/thread_communicator.h has one of threads).
#include <doctest/doctest.h>
#include <omp.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tensor/rng.h"
#include "tests/arrays.h"
#include "tests/data/temporary_folder.h"
#include "tests/ranks/ranks.h"

namespace versor::testing {

namespace {

// The value of element i on a rank: of every size and sign, so that sums depend on how they round.
float value_at(int rank, int64_t i) {
  const Rng rng(17);
  return std::ldexp(rng.split(static_cast<uint64_t>(rank)).uniform(static_cast<uint64_t>(i)) - 0.5f,
                    static_cast<int>((i + 5 * rank) % 37) - 18);
}

Tensor values_of(int rank, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = value_at(rank, i);
  return Tensor::from(values, {n});
}

// As all_reduce() promises: in the order of the ranks, in f64.
std::vector<float> sums(int64_t n) {
  std::vector<double> total(static_cast<size_t>(n));
  for (int r = 0; r < world().size(); ++r)
    for (int64_t i = 0; i < n; ++i) total[static_cast<size_t>(i)] += value_at(r, i);
  return {total.begin(), total.end()};
}

std::vector<int64_t> sizes() {
  const int64_t n = world().size();
  return {1, 2, 3, n - 1, n, n + 1, 17, 511 * n + 1, 4097, 65537, 1048583};
}

void check_equal_on_all_ranks(const std::string& bytes) {
  const auto all = world().all_gather(bytes);
  for (const std::string& other : all) CHECK((other == bytes));
}

}  // namespace

TEST_CASE("ranks: sums are exact to the last bit, whatever their size") {
  for (const int64_t n : sizes()) {
    CAPTURE(n);
    Tensor x = values_of(world().rank(), n);
    world().all_reduce(x);
    CHECK((x.to_vector<float>() == sums(n)));
    check_equal_on_all_ranks(bits_of(x));
  }
}

TEST_CASE("ranks: sums that go on while others are asked for") {
  std::vector<Tensor> all;
  for (const int64_t n : sizes()) {
    all.push_back(values_of(world().rank(), n));
    world().start_all_reduce(all.back());
    world().progress();
    CHECK(world().largest(world().rank() == 0 ? n : -n) == n);
    Tensor count = Tensor::from(std::vector<int32_t>{1}, {1});
    world().all_reduce(count);
    CHECK(count.to_vector<int32_t>()[0] == world().size());
  }
  world().finish();
  for (const Tensor& x : all) CHECK((x.to_vector<float>() == sums(x.numel())));
  world().finish();  // with nothing to do
}

TEST_CASE("ranks: whole numbers, the largest, and what is not finite") {
  const int rank = world().rank(), size = world().size();
  Tensor counts = Tensor::from(std::vector<int32_t>{rank + 1, -rank, 1 << 24, 7, rank * 1000}, {5});
  world().all_reduce(counts);
  const int32_t pairs = size * (size - 1) / 2;
  CHECK((counts.to_vector<int32_t>() ==
         std::vector<int32_t>{pairs + size, -pairs, size << 24, 7 * size, pairs * 1000}));

  const float infinity = std::numeric_limits<float>::infinity();
  Tensor x = Tensor::from(std::vector<float>{static_cast<float>(rank), -static_cast<float>(rank),
                                             rank == size - 1 ? infinity : 0.f, -infinity,
                                             rank == 0 ? NAN : 1.f, rank == 0 ? 1.f : NAN},
                          {6});
  Tensor sum = ops::clone(x);
  world().all_reduce(x, Reduction::max);
  const auto largest = x.to_vector<float>();
  CHECK(largest[0] == static_cast<float>(size - 1));
  CHECK(largest[1] == 0.f);
  CHECK(largest[2] == infinity);
  CHECK(largest[3] == -infinity);
  CHECK(std::isnan(largest[4]));
  CHECK(std::isnan(largest[5]) == (size > 1));
  world().all_reduce(sum);
  CHECK(std::isnan(sum.to_vector<float>()[4]));
  CHECK(sum.to_vector<float>()[2] == infinity);
}

TEST_CASE("ranks: the guard keeps the first finding") {
  const int rank = world().rank(), last = world().size() - 1;
  const auto first_of = [&](int32_t tag, int32_t step) {
    Tensor guard = Tensor::from(std::vector<int32_t>{tag, step}, {2});
    world().all_reduce_guard(guard);
    return guard.to_vector<int32_t>();
  };
  using Pair = std::vector<int32_t>;
  CHECK((first_of(kNothingFound, kNothingFound) == Pair{kNothingFound, kNothingFound}));
  const auto on_last = [&](int32_t value) { return rank == last ? value : kNothingFound; };
  CHECK((first_of(on_last(5), on_last(12)) == Pair{5, 12}));
  CHECK((first_of(9 - rank, 3 + rank) == Pair{9, 3}));  // the step decides
  CHECK((first_of(9 - rank, 3) == Pair{9 - last, 3}));  // then the tag
}

TEST_CASE("ranks: broadcast of every type and root") {
  for (int root = 0; root < world().size(); ++root)
    for (const DType dtype : {DType::f32, DType::bf16, DType::i32, DType::u8}) {
      CAPTURE(root);
      Tensor x({1001, 3}, dtype);
      const std::string sent(x.bytes(), static_cast<char>(root + 1));
      x.copy_from_host(world().rank() == root ? sent.data() : std::string(x.bytes(), 'x').data());
      world().broadcast(x, root);
      CHECK((bits_of(x) == sent));
      CHECK(world().broadcast(str("from ", world().rank()), root) == str("from ", root));
    }
  const std::string large(3 << 20, 'y');
  CHECK((world().broadcast(world().is_root() ? large : "", 0) == large));
  CHECK(error_of([] {
          Tensor x({1});
          world().broadcast(x, 99);
        }).find("[broadcast]") == 0);
}

TEST_CASE("ranks: rows of all, in order, also of ranks that have none") {
  const int rank = world().rank(), size = world().size();
  for (const int64_t few : {0, 1, 5000}) {
    const auto rows_of = [&](int r) { return r % 2 == 1 ? few : r + 2; };
    std::vector<int32_t> mine(static_cast<size_t>(rows_of(rank) * 3), rank), wanted;
    for (int r = 0; r < size; ++r) wanted.insert(wanted.end(), rows_of(r) * 3, r);
    const Tensor all = world().all_gather_rows(Tensor::from(mine, {rows_of(rank), 3}));
    CHECK((all.to_vector<int32_t>() == wanted));
  }
  CHECK(world().all_gather_rows(Tensor({0, 4})).shape() == Shape{0, 4});
  std::vector<std::string> wanted;
  for (int r = 0; r < size; ++r) wanted.push_back(std::string(static_cast<size_t>(r * 7), 'a'));
  CHECK(world().all_gather(wanted[static_cast<size_t>(rank)]) == wanted);
}

// For failures.sh, which ends it from outside.
TEST_CASE("ranks: wait for what happens" * doctest::skip()) {
  static volatile sig_atomic_t asked = 0;
  signal(SIGUSR1, [](int) { asked = 1; });
  const double end = omp_get_wtime() + 60;
  std::cout << world().name_of(world().rank()) << std::endl;
  while (world().largest(asked || omp_get_wtime() > end) == 0) usleep(1000);
}

TEST_CASE("ranks: names, and the ranks of a host") {
  for (int r = 0; r < world().size(); ++r)
    CHECK(world().name_of(r).find(str("rank ", r, " (process ")) == 0);
  CHECK(world().name_of(world().rank()).find(str(getpid())) != std::string::npos);
  CHECK(0 <= world().local_rank());
  CHECK(world().local_rank() < world().local_size());
  CHECK(world().local_size() <= world().size());
  CHECK(world().size() == launched_processes());
  int64_t largest = -7 - world().rank();
  largest = world().largest(largest);
  CHECK(largest == -7);
}

}  // namespace versor::testing
