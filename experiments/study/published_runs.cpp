// The authors' training curves: see published_runs.h.
#include "experiments/study/published_runs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <string_view>

namespace versor {
namespace {

// The first number after `key` and an optional underscore; nothing if there is none. Throws Error
// if the number does not fit into T.
template <class T, class... Format>
std::optional<T> number_after(std::string_view key, const std::string& name, Format... format) {
  for (size_t at = 0; (at = name.find(key, at)) != std::string::npos;) {
    at += key.size();
    const char *begin = name.data() + at, *end = name.data() + name.size();
    if (begin < end && *begin == '_') ++begin;
    if (begin < end && *begin == '-') continue;
    T value{};
    const auto [stop, error] = std::from_chars(begin, end, value, format...);
    check(error != std::errc::result_out_of_range, "published runs", name, ": the number after ",
          key, " is too large or too small");
    if (error == std::errc()) return value;
  }
  return {};
}

}  // namespace

std::optional<PublishedName> parse_published_name(const std::string& name) {
  const auto beta = number_after<double>("beta", name, std::chars_format::fixed);
  const auto codes = number_after<int64_t>("k", name);
  if (!beta || !codes || !std::isfinite(*beta)) return {};
  return PublishedName{*beta, *codes};
}

std::vector<PublishedRun> read_published_runs(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<PublishedRun> runs;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (entry.path().extension() != ".csv") continue;
    const std::string file = entry.path().stem().string();
    if (const auto name = parse_published_name(file))
      runs.push_back({file, name->beta, name->codes, read_metrics(entry.path().string())});
  }
  std::sort(runs.begin(), runs.end(),
            [](const PublishedRun& a, const PublishedRun& b) { return a.file < b.file; });
  return runs;
}

}  // namespace versor
