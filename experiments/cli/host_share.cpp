// A rank's share of its host: see host_share.h.
#include "experiments/cli/host_share.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "tensor/environment.h"

namespace versor {
namespace {

using CoreSet = std::set<int>;

CoreSet cores_of(pid_t process) {
  cpu_set_t mask;
  CoreSet cores;
  if (sched_getaffinity(process, sizeof mask, &mask) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &mask)) cores.insert(core);
  return cores;
}

void move_to(const CoreSet& cores) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (int core : cores) CPU_SET(core, &mask);
  sched_setaffinity(0, sizeof mask, &mask);  // if it fails, the threads share what there is
}

// The cores of this host that its ranks may share, and this rank's place among them.
struct HostCores {
  CoreSet cores;
  size_t place = 0, ranks = 0;
};

HostCores host_cores(Communicator& ranks) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  CoreSet own = cores_of(0);
  // the launcher is itself not bound to cores
  if (launcher_is_parent()) own.merge(cores_of(getppid()));
  std::string text = host.data();
  for (int core : own) text += str(" ", core);
  HostCores all;
  int rank = 0;
  for (const std::string& theirs : ranks.all_gather(text)) {
    std::istringstream in(theirs);
    std::string name;
    in >> name;
    if (name == host.data()) {
      for (int core = 0; in >> core;) all.cores.insert(core);
      if (rank < ranks.rank()) ++all.place;
      ++all.ranks;
    }
    ++rank;
  }
  return all;
}

// Each rank's share, of consecutive cores.
CoreSet share_of(const HostCores& host) {
  CoreSet share;
  size_t at = 0;
  for (int core : host.cores)
    if (at++ * host.ranks / host.cores.size() == host.place) share.insert(core);
  return share;
}

// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.
std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  if (const auto given = environment("CUDA_VISIBLE_DEVICES")) {
    std::istringstream in(*given);
    for (std::string gpu; std::getline(in, gpu, ',');) gpus.push_back(gpu);
    return gpus;
  }
  std::error_code none;
  const std::filesystem::directory_iterator driver("/proc/driver/nvidia/gpus", none), end;
  const auto count = std::distance(driver, end);
  for (long gpu = 0; gpu < count; ++gpu) gpus.push_back(std::to_string(gpu));
  return gpus;
}

}  // namespace

Cores share_cores(Communicator& ranks, int threads) {
  const HostCores host = host_cores(ranks);
  const bool asked = threads > 0, counted = !asked && !environment("OMP_NUM_THREADS");
  if (!asked) threads = omp_get_max_threads();
  if (ranks.is_alone() && !launcher_is_parent()) return {threads, threads};
  if (counted) threads = static_cast<int>(host.cores.size());
  const int at_root = std::stoi(ranks.broadcast(std::to_string(threads), 0));
  const int share = std::max(1, threads / static_cast<int>(host.ranks));
  const Cores cores = {asked ? threads : at_root, counted ? share : threads};
  const CoreSet own = share_of(host);
  if (cores_of(0).size() < static_cast<size_t>(cores.rank) && !own.empty()) move_to(own);
  return cores;
}

void take_gpu(const Communicator& ranks) {
  const std::vector<std::string> gpus = visible_gpus();
  if (ranks.local_size() == 1 || gpus.empty()) return;
  const std::string& own = gpus[static_cast<size_t>(ranks.local_rank()) % gpus.size()];
  setenv("CUDA_VISIBLE_DEVICES", own.c_str(), 1);
}

}  // namespace versor
