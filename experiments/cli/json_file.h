// JSON that may have been written by anybody. nlohmann's parser takes any depth, but to copy or to
// print a value it calls itself once for each level, and a parsed value has many times its text's
// size: so both are limited here, far beyond what we write.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace versor {

// Json: nlohmann::json or nlohmann::ordered_json. `path` is for errors. Throws nlohmann's exception
// where the text is no JSON, Error where it is nested too deeply or the file cannot be read.
template <class Json>
Json parse_json(const std::string& text, const std::string& path);
template <class Json>
Json read_json(const std::string& path);

// A whole number from 0 to 2^53, so that no sum of some of them overflows; nlohmann's own get()
// casts whatever number there is. Throws Error naming `where`.
int64_t count_in(const nlohmann::json& value, const std::string& where);

}  // namespace versor
