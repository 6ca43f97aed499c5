// Reads JSON files from untrusted sources. nlohmann's parser accepts any depth, but copying or
// printing a value recurses once per level, and a parsed value takes many times the memory of its
// text. Depth and size are therefore limited here, far above what our own files need.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace versor {

// Json: nlohmann::json or nlohmann::ordered_json. Throws nlohmann's exception if the text is not
// JSON, and Error, naming `path`, if it is nested too deeply or the file cannot be read.
template <class Json>
Json parse_json(const std::string& text, const std::string& path);
template <class Json>
Json read_json(const std::string& path);

// JSON as a text, with the given indentation. Bytes that are no UTF-8, as names of files may have,
// become U+FFFD.
template <class Json>
std::string json_text(const Json& json, int indent);

// A whole number from 0 to 2^53, so that the sum of a few cannot overflow. nlohmann's own get()
// would cast any number. Throws Error naming `where`.
int64_t count_in(const nlohmann::json& value, const std::string& where);

}  // namespace versor
