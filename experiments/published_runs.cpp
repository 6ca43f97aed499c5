// The authors' training curves: see published_runs.h.
#include "experiments/published_runs.h"

#include <algorithm>
#include <filesystem>
#include <regex>

namespace versor {

std::vector<PublishedRun> read_published_runs(const std::string& folder) {
  namespace fs = std::filesystem;
  static const std::regex beta("beta_?([0-9.]*[0-9])"), codes("k_?([0-9]+)");
  std::vector<PublishedRun> runs;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().stem().string();
    std::smatch b, k;
    if (entry.path().extension() != ".csv" || !std::regex_search(name, b, beta) ||
        !std::regex_search(name, k, codes))
      continue;
    runs.push_back({name, std::stod(b[1]), std::stoll(k[1]), read_metrics(entry.path().string())});
  }
  std::sort(runs.begin(), runs.end(),
            [](const PublishedRun& a, const PublishedRun& b) { return a.file < b.file; });
  return runs;
}

}  // namespace versor
