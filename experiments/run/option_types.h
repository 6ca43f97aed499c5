// The types of options: from the text on a command line, and to the value in config.json. For
// option_table.cpp, which defines the options.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "experiments/cli/help.h"
#include "experiments/run/option_table.h"

namespace versor {

using Json = nlohmann::ordered_json;

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

// Parses "8,5,5,5"; nothing if the text has another form.
inline std::optional<std::vector<int64_t>> parse_levels(const std::string& text) {
  std::vector<int64_t> levels;
  std::istringstream parts(text + ",");  // the comma turns an empty last part into a part
  for (std::string part; std::getline(parts, part, ',');) {
    int64_t level = 0;
    const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), level);
    if (error != std::errc() || stop != part.data() + part.size()) return {};
    levels.push_back(level);
  }
  return levels;
}
inline const Check kLevels = {"LEVELS", [](const std::string& text) {
                                return parse_levels(text) ? "" : text + " is no list like 8,5,5,5";
                              }};

inline const Check kOrigin = {"NUMBER|mean", [](const std::string& text) {
                                return parse_origin(text) ? ""
                                                          : text + " is neither a number nor mean";
                              }};

// A path must lead to a folder: anything else is more likely a misspelt kind.
inline const Check kSource = {
    "KIND|FOLDER", [](const std::string& text) {
      const bool known =
          parse_source(text).kind != DataKind::folder || std::filesystem::is_directory(text);
      const auto kinds = names_of<DataKind>();
      return known ? ""
                   : fmt::format("{} is neither a folder of pictures nor one of {}{}", text,
                                 fmt::join(kinds, ", "), did_you_mean(text, kinds));
    }};

// Parses "10:1e-4,20:1e-5"; nothing if the text has another form or the epochs do not increase.
inline std::optional<std::vector<LrChange>> parse_lr_changes(const std::string& text) {
  std::vector<LrChange> changes;
  std::istringstream parts(text + ",");
  for (std::string part; std::getline(parts, part, ',');) {
    LrChange change{};
    const char* end = part.data() + part.size();
    const auto epoch = std::from_chars(part.data(), end, change.epoch);
    if (epoch.ec != std::errc() || epoch.ptr == end || *epoch.ptr != ':') return {};
    const auto lr = std::from_chars(epoch.ptr + 1, end, change.lr);
    if (lr.ec != std::errc() || lr.ptr != end || !(change.lr >= 0) || !std::isfinite(change.lr))
      return {};
    if (change.epoch <= (changes.empty() ? 1 : changes.back().epoch)) return {};
    changes.push_back(change);
  }
  return changes;
}
inline const Check kLrChanges = {
    "EPOCH:LR,...", [](const std::string& text) {
      return parse_lr_changes(text) ? ""
                                    : text +
                                          " is no list like 10:1e-4,20:1e-5 of epochs from "
                                          "2 on, in order, and their rates";
    }};

template <class T>
Json json_of(const T& value) {
  if constexpr (IsOptional<T>::value)
    return value ? json_of(*value) : Json();
  else if constexpr (std::is_enum_v<T>)
    return name_of(value);
  else
    return value;
}
// The first GPU is always written "cuda", even if it was given as "cuda:0".
inline Json json_of(const Device& device) {
  return device == Device{DeviceType::cuda, 0} ? "cuda" : str(device);
}
inline Json json_of(const std::vector<int64_t>& levels) {
  return fmt::format("{}", fmt::join(levels, ","));
}
inline Json json_of(const ImageSource& source) {
  return text_of(source);
}
inline Json json_of(const std::vector<LrChange>& changes) {
  std::string text;
  for (const LrChange& c : changes)
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", c.epoch, c.lr);
  return text;
}
inline Json json_of(const RotationOrigin& origin) {
  return origin.mean ? Json("mean") : Json(origin.coordinate);
}

template <class T>
void set_from(const std::string& text, T& value) {
  value = parse_name<T>(text);
}
template <class T>
void set_from(const std::string& text, std::optional<T>& value) {
  value = parse_name<T>(text);
}
inline void set_from(const std::string& text, ImageSource& source) {
  source = parse_source(text);
}
inline void set_from(const std::string& text, Device& device) {
  device = parse_device(text);
}
inline void set_from(const std::string& text, std::vector<int64_t>& levels) {
  levels = *parse_levels(text);
}
inline void set_from(const std::string& text, std::vector<LrChange>& changes) {
  changes = *parse_lr_changes(text);
}
inline void set_from(const std::string& text, RotationOrigin& origin) {
  origin = *parse_origin(text);
}

template <class T>
struct Inner {
  using type = T;
};
template <class T>
struct Inner<std::optional<T>> {
  using type = T;
};

// The command line itself parses numbers and texts; all other types are parsed here.
template <class T>
void add_to(Options& app, const std::string& name, T& value, const Check& check,
            const std::string& help, bool show_default) {
  using Value = typename Inner<T>::type;
  if constexpr (std::is_same_v<T, bool>) {
    app.add_flag(name, value, help);
  } else if constexpr (std::is_arithmetic_v<Value> || std::is_same_v<Value, std::string>) {
    const Option option = app.add_option(name, value, help);
    if (check.wrong) option.check(check);
    if (show_default) option.capture_default_str();
  } else {
    const std::string shown = show_default ? text_of(json_of(value)) : "";
    const Option option = app.add_text(
        name, [&value](const std::string& text) { set_from(text, value); }, shown, help);
    if constexpr (std::is_enum_v<Value>)
      option.check(one_of(names_of<Value>()));
    else
      option.check(check);
  }
}

}  // namespace versor
