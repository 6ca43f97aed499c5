// The ranks of MPI: see communicator.h. Tensors of other devices than the CPU go through copies on
// the host.
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <deque>
#include <numeric>
#include <optional>

#include "tensor/communicator.h"
#include "tensor/mpi/block_reduction.h"
#include "tensor/mpi/heartbeat.h"
#include "tensor/mpi/mpi.h"

namespace versor {

namespace {

using mpi::check_call;

// Calls start(request), which starts a collective call, and waits for it.
template <class Start>
void complete(Start start, const char* what) {
  MPI_Request request;
  check_call(start(&request), what);
  mpi::wait_until([&] {
    int done = 0;
    check_call(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    return done != 0;
  });
}

// Calls work with x, or with a copy of it on the host which it may change.
template <class Work>
void on_host(Tensor& x, Work work) {
  if (x.device() == Device{}) return work(x);
  Tensor host = x.to(Device{});
  work(host);
  x.copy_from_host(host.address());
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator() {
    int provided = 0;
    check_call(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided),
               "MPI_Init_thread");
    check(provided == MPI_THREAD_MULTIPLE, "mpi", "this MPI does not support several threads");
    check_call(MPI_Comm_dup(MPI_COMM_WORLD, &ranks_), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(ranks_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(ranks_, &rank_);
    MPI_Comm_size(ranks_, &size_);
    MPI_Comm host;
    check_call(MPI_Comm_split_type(ranks_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host),
               "MPI_Comm_split_type");
    MPI_Comm_rank(host, &local_rank_);
    MPI_Comm_size(host, &local_size_);
    MPI_Comm_free(&host);
    char name[HOST_NAME_MAX + 1] = "";
    gethostname(name, sizeof(name) - 1);
    names_ = all_gather(str("rank ", rank_, " (process ", getpid(), " on host ", name, ")"));
    if (size_ > 1) heartbeat_.emplace(ranks_, names_);
  }
  ~MpiCommunicator() override {
    try {
      largest(0);             // returns when all are here: nobody waits for another from now on
    } catch (const Error&) {  // there is nothing left to do for it
    }
    heartbeat_.reset();
    MPI_Comm_free(&ranks_);
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  std::string name_of(int rank) const override { return names_[static_cast<size_t>(rank)]; }
  bool is_capturable() const override { return false; }  // the host takes part

  void progress() override {
    for (mpi::BlockReduction& reduction : started_) reduction.advance();
    while (!started_.empty() && started_.front().advance()) started_.pop_front();
  }
  void finish() override {
    mpi::wait_until([&] {
      progress();
      return started_.empty();
    });
  }

  std::vector<std::string> all_gather(const std::string& text) override {
    const int64_t length = std::ssize(text);
    std::vector<int64_t> lengths(static_cast<size_t>(size_));
    complete(
        [&](MPI_Request* request) {
          return MPI_Iallgather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, ranks_,
                                request);
        },
        "gather texts");
    std::string all(static_cast<size_t>(std::accumulate(lengths.begin(), lengths.end(), 0l)), '\0');
    gather_rows(all.data(), text.data(), lengths, 1);
    std::vector<std::string> texts;
    for (size_t begin = 0; const int64_t n : lengths) {
      texts.push_back(all.substr(begin, static_cast<size_t>(n)));
      begin += static_cast<size_t>(n);
    }
    return texts;
  }
  std::string broadcast(const std::string& text, int root) override {
    int64_t length = std::ssize(text);
    send_bytes(&length, sizeof(length), root);
    std::string copy = rank_ == root ? text : std::string(static_cast<size_t>(length), '\0');
    send_bytes(copy.data(), copy.size(), root);
    return copy;
  }
  int64_t largest(int64_t value) override { return reduce_integer(value, MPI_MAX); }
  [[noreturn]] void abort(int exit_code) override {
    MPI_Abort(ranks_, exit_code);
    std::_Exit(exit_code);
  }

 protected:
  void reduce(Tensor& x, Reduction reduction) override {
    on_host(x, [&](Tensor& host) {
      mpi::BlockReduction work(host, reduction, ranks_, next_tag());
      mpi::wait_until([&] {
        progress();
        return work.advance();
      });
    });
  }
  void start(const Tensor& x) override {
    Tensor same = x;
    if (x.device() != Device{}) return reduce(same, Reduction::sum);
    started_.emplace_back(x, Reduction::sum, ranks_, next_tag());
  }
  void reduce_guard(Tensor& guard) override {
    on_host(guard, [&](Tensor& host) {
      auto* value = host.data<int32_t>();
      const int64_t tag_mask = 0xffffffff;
      const int64_t first =
          reduce_integer(int64_t{value[1]} << 32 | (value[0] & tag_mask), MPI_MIN);
      value[0] = static_cast<int32_t>(first & tag_mask);
      value[1] = static_cast<int32_t>(first >> 32);
    });
  }
  void send_to_all(Tensor& x, int root) override {
    on_host(x, [&](Tensor& host) { send_bytes(host.address(), host.bytes(), root); });
  }
  void gather(Tensor& all, const Tensor& x, const std::vector<int64_t>& rows) override {
    if (all.numel() == 0) return;
    const Tensor source = x.to(Device{});
    on_host(all, [&](Tensor& host) {
      gather_rows(host.address(), source.address(), rows,
                  static_cast<int64_t>(host.bytes()) / host.dim(0));
    });
  }

 private:
  // The tags of a reduction; with at most this many unfinished, they differ.
  int next_tag() {
    constexpr int kReductions = 8192;  // tags up to 32767 are always allowed
    return 2 * (number_++ % kReductions);
  }

  int64_t reduce_integer(int64_t value, MPI_Op op) {
    int64_t result = 0;
    complete(
        [&](MPI_Request* request) {
          return MPI_Iallreduce(&value, &result, 1, MPI_INT64_T, op, ranks_, request);
        },
        "compare integers");
    return result;
  }

  void send_bytes(void* address, size_t bytes, int root) {
    constexpr size_t kMost = 1 << 30;  // MPI counts by int
    for (size_t begin = 0; begin < bytes; begin += kMost)
      complete(
          [&](MPI_Request* request) {
            return MPI_Ibcast(static_cast<char*>(address) + begin,
                              static_cast<int>(std::min(kMost, bytes - begin)), MPI_BYTE, root,
                              ranks_, request);
          },
          "broadcast");
  }

  void gather_rows(void* all, const void* mine, const std::vector<int64_t>& rows,
                   int64_t row_bytes) {
    std::vector<int> counts, offsets;
    int64_t total = 0;
    for (const int64_t n : rows) {
      counts.push_back(static_cast<int>(n));
      offsets.push_back(static_cast<int>(total));
      total += n;
    }
    check(total <= INT_MAX && row_bytes <= INT_MAX, "all_gather_rows", total, " rows of ",
          row_bytes, " bytes are too many");
    MPI_Datatype row;
    check_call(MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &row), "gather rows");
    check_call(MPI_Type_commit(&row), "gather rows");
    complete(
        [&](MPI_Request* request) {
          return MPI_Iallgatherv(mine, counts[static_cast<size_t>(rank_)], row, all, counts.data(),
                                 offsets.data(), row, ranks_, request);
        },
        "gather rows");
    MPI_Type_free(&row);
  }

  MPI_Comm ranks_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  int number_ = 0;  // of the next reduction
  std::vector<std::string> names_;
  std::deque<mpi::BlockReduction> started_;
  std::optional<mpi::Heartbeat> heartbeat_;
};

}  // namespace

std::unique_ptr<Communicator> join_launched() {
  const int launched = launched_processes();
  if (launched <= 1) return nullptr;
  auto all = std::make_unique<MpiCommunicator>();
  check(all->size() == launched, "mpi", "the launcher has started ", launched,
        " processes, but MPI knows of ", all->size(), "; start them by mpirun or srun --mpi=pmix");
  return all;
}

bool has_mpi() {
  return true;
}

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text, static_cast<size_t>(length));
  // "Open MPI v4.1.4, package: Debian ...", "MPICH Version: 4.0.2\nMPICH Release date: ..."
  return all.substr(0, all.find_first_of(",\n"));
}

}  // namespace versor
