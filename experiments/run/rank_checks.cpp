// What ranks compare: see rank_checks.h.
#include "experiments/run/rank_checks.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "experiments/cli/ranks.h"
#include "experiments/cli/version.h"
#include "experiments/run/run_config.h"
#include "tensor/hash.h"

namespace versor {

void check_same_start(Communicator& ranks, const RunOptions& options,
                      const nlohmann::ordered_json& config) {
  if (ranks.is_alone()) return;
  nlohmann::ordered_json own = config;
  own["accumulate"] = options.accumulate;
  own["compare_every"] = options.compare_every;
  const std::string build = version() + ", commit " + commit() + ", " + compiler_flags();
  const auto builds = ranks.all_gather(build), configs = ranks.all_gather(own.dump());
  for (size_t rank = 1; rank < builds.size(); ++rank) {
    const std::string name = ranks.name_of(static_cast<int>(rank));
    if (builds[rank] != builds[0])
      throw SharedError(str("[ranks] ", name, " runs another build than rank 0: ", builds[rank],
                            " instead of ", builds[0]),
                        1);
    if (configs[rank] != configs[0])
      throw SharedError(
          str("[ranks] ", name, " has other options than rank 0: ",
              differing_options(nlohmann::ordered_json::parse(configs[rank]),
                                nlohmann::ordered_json::parse(configs[0]), " instead of ")),
          1);
  }
}

void check_no_drift(Communicator& ranks, const std::vector<std::pair<std::string, Tensor>>& state,
                    const std::string& metrics, int64_t step) {
  if (ranks.is_alone()) return;
  std::string hashes;
  for (const auto& [name, tensor] : state) {
    const Tensor on_host = tensor.to(Device{});
    hashes += str(name, " ", hash_words(on_host.address(), on_host.bytes()), "\n");
  }
  hashes += str("metrics.csv ", hash_text(metrics), "\n");
  const auto all = ranks.all_gather(hashes);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    std::istringstream ours(all[0]), theirs(all[rank]);
    for (std::string a, b; std::getline(ours, a) && std::getline(theirs, b);)
      if (a != b)
        throw SharedError(str("[drift] ", a.substr(0, a.rfind(' ')), " differs between rank 0 and ",
                              ranks.name_of(static_cast<int>(rank)), " after step ", step),
                          1);
  }
}

}  // namespace versor
