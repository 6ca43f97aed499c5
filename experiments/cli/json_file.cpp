// Reading JSON files: see json_file.h.
#include "experiments/cli/json_file.h"

#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

constexpr int kDeepest = 32;
constexpr uint64_t kLongest = uint64_t{16} << 20;

}  // namespace

template <class Json>
Json parse_json(const std::string& text, const std::string& path) {
  return Json::parse(text, [&](int depth, typename Json::parse_event_t, Json&) {
    check(depth < kDeepest, "json", path, " is nested too deeply");
    return true;
  });
}

template <class Json>
Json read_json(const std::string& path) {
  return parse_json<Json>(read_file(path, kLongest), path);
}

template nlohmann::json parse_json(const std::string&, const std::string&);
template nlohmann::json read_json(const std::string&);
template nlohmann::ordered_json parse_json(const std::string&, const std::string&);
template nlohmann::ordered_json read_json(const std::string&);

int64_t count_in(const nlohmann::json& value, const std::string& where) {
  constexpr int64_t kLargest = int64_t{1} << 53;
  const int64_t count = value.is_number_integer() ? value.get<int64_t>() : -1;  // >= 2^63: < 0
  check(count >= 0 && count <= kLargest, "json", where, " is malformed: a ", value.type_name(),
        " where a count belongs, or one beyond 2^53");
  return count;
}

template <class Json>
std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}
template std::string json_text(const nlohmann::json&, int);
template std::string json_text(const nlohmann::ordered_json&, int);

}  // namespace versor
