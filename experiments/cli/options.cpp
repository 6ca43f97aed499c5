// Options of a program: see options.h.
#include "experiments/cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <optional>
#include <type_traits>

#include "experiments/cli/version.h"
#include "tensor/device.h"
#include "tensor/error.h"

namespace versor {
namespace {

template <class T>
const char* value_name() {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::optional<bool>>)
    return "0|1";
  else if constexpr (std::is_same_v<T, std::string>)
    return "TEXT";
  else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>>)
    return "X";
  else if constexpr (std::is_integral_v<T> || std::is_same_v<T, std::optional<int64_t>>)
    return "N";
  else
    return "LIST";
}

}  // namespace

Check in_range(int64_t low, int64_t high) {
  const bool narrow = high < (int64_t{1} << 16);
  return {narrow ? std::to_string(low) + ".." + std::to_string(high) : "N", CLI::Range(low, high)};
}

Check one_of(const std::vector<std::string>& words) {
  return {"WORD",
          [=](const std::string& text) {
            if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
            std::string all;
            for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
            return text + " is none of " + all + did_you_mean(text, words);
          },
          words};
}

// CLI::Range would accept NaN.
Check number_in(double low, double high, const std::string& name) {
  return {name, [=](const std::string& text) {
            double value = 0;
            if (!CLI::detail::lexical_cast(text, value)) return text + " is not a number";
            return value >= low && value <= high ? "" : text + " is out of range";
          }};
}

const Check kDeviceName = {"DEVICE", [](const std::string& text) {
                             try {
                               parse_device(text);
                               return std::string();
                             } catch (const Error& e) {
                               return std::string(e.what());
                             }
                           }};

const Check kNotNegative = number_in(0, std::numeric_limits<double>::max(), "X");
const Check kFraction = number_in(0, 1, "0..1");

std::optional<uint64_t> parse_bytes(const std::string& text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || end - stop > 1) return {};
  const size_t power = stop == end ? 0 : std::string("KMGT").find(*stop) + 1;  // 0: no suffix
  if (stop != end && power == 0) return {};
  const uint64_t unit = uint64_t{1} << (10 * power);
  if (value == 0 || value > std::numeric_limits<uint64_t>::max() / unit) return {};
  return value * unit;
}

const Check kMemorySize = {"SIZE", [](const std::string& text) {
                             return parse_bytes(text) ? "" : text + " is no size like 500M or 4G";
                           }};

const Check kSeedNumber = {"SEED", [](const std::string& text) {
                             uint64_t seed = 0;
                             const char* end = text.data() + text.size();
                             const auto [stop, error] = std::from_chars(text.data(), end, seed);
                             return stop == end && error == std::errc()
                                        ? std::string()
                                        : text + " is not a number from 0 to 2^64 - 1";
                           }};

Option Option::check(const Check& check) const {
  option_->check(check.wrong, check.name);
  help_->value = check.name;
  help_->choices = check.choices;
  return *this;
}
Option Option::capture_default_str() const {
  option_->capture_default_str();
  help_->usual = option_->get_default_str();
  return *this;
}
Option Option::delimiter(char separator) const {
  option_->delimiter(separator);
  return *this;
}
Option Option::required() const {
  option_->required();
  help_->required = true;
  return *this;
}

Options::Options(const std::string& summary)
    : app_(std::make_unique<CLI::App>(summary)), summary_(summary) {}
Options::~Options() = default;

// CLI11 writes "!--no-graph" as "--no-graph{false}".
Option Options::added(CLI::Option* option, const std::string& value, const std::string& help) {
  const std::string names =
      option->get_positional() ? option->get_name() : option->get_name(false, true);
  helps_.push_back(
      {.names = names.substr(0, names.find('{')), .value = value, .help = help, .group = group_});
  return {option, &helps_.back()};
}

template <class T>
Option Options::add_option(const std::string& name, T& value, const std::string& help) {
  return added(app_->add_option(name, value, help), value_name<T>(), help);
}

using Text = const std::string&;
template Option Options::add_option(Text, std::string&, Text);
template Option Options::add_option(Text, int&, Text);
template Option Options::add_option(Text, int64_t&, Text);
template Option Options::add_option(Text, uint64_t&, Text);
template Option Options::add_option(Text, double&, Text);
template Option Options::add_option(Text, std::optional<double>&, Text);
template Option Options::add_option(Text, std::optional<int64_t>&, Text);
template Option Options::add_option(Text, std::optional<bool>&, Text);
template Option Options::add_option(Text, std::vector<std::string>&, Text);
template Option Options::add_option(Text, std::vector<int64_t>&, Text);
template Option Options::add_option(Text, std::vector<uint64_t>&, Text);
template Option Options::add_option(Text, std::vector<double>&, Text);

Option Options::add_flag(const std::string& name, bool& value, const std::string& help) {
  return added(app_->add_flag(name, value, help), "", help);
}

Option Options::add_text(const std::string& name,
                         const std::function<void(const std::string&)>& take,
                         const std::string& shown, const std::string& help) {
  const Option option =
      added(app_->add_option_function<std::string>(name, take, help), "TEXT", help);
  helps_.back().usual = shown;
  return option;
}

void Options::show_default(const std::string& name, std::function<std::string()> usual) {
  usual_later_.emplace_back(name, std::move(usual));
}

ProgramHelp Options::program_help(const std::string& command) const {
  std::string program = command.substr(command.rfind('/') + 1);
  const bool installed = program.starts_with("versor-");
  if (installed) program = program.substr(7);
  std::replace(program.begin(), program.end(), '-', '_');
  ProgramHelp all = {program,
                     (installed ? command.substr(command.rfind('/') + 1) : "bin/" + program),
                     summary_,
                     {}};
  for (OptionHelp help : helps_) {
    for (const auto& [name, usual] : usual_later_)
      if (name == help.names) help.usual = usual();
    all.options.push_back(std::move(help));
  }
  for (const auto& [name, text] :
       {std::pair("-h,--help", "this list"), std::pair("--version", "the version"),
        std::pair("--man-page", "a manual page, for man -l -"),
        std::pair("--completion", "for bash: source <(... --completion)")})
    all.options.push_back({.names = name, .help = text, .group = "About the program"});
  return all;
}

bool Options::parse(int argc, char** argv) {
  const std::string first = argc == 2 ? argv[1] : "";
  const auto print = [](const std::string& text) { std::fputs(text.c_str(), stdout); };
  if (first == "--man-page") return print(manual_page(program_help(argv[0]), version())), false;
  if (first == "--completion") return print(completion_script(program_help(argv[0]))), false;
  app_->set_version_flag("--version", version() + " (commit " + commit() + ")");
  try {
    app_->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print(help_text(program_help(argv[0])));
    return false;
  } catch (const CLI::Success& e) {  // --version
    app_->exit(e);
    return false;
  } catch (const CLI::ParseError& e) {
    const std::string misspelt = first_misspelt(app_->remaining());
    throw UsageError(misspelt.empty() ? e.what() : "there is no option " + misspelt);
  }
  return true;
}

// The first of the arguments that were not expected, if it is an option, with what was probably
// meant by it.
std::string Options::first_misspelt(const std::vector<std::string>& unexpected) const {
  std::vector<std::string> names;
  for (const OptionHelp& help : helps_)
    if (!help.positional()) names.push_back(help.names);
  for (std::string word : unexpected) {
    word = word.substr(0, word.find('='));
    if (word.starts_with("--")) return word + did_you_mean(word, names);
  }
  return "";
}

void Options::parse(const std::string& line) {
  try {
    app_->parse(line);
  } catch (const CLI::ParseError& e) {
    throw UsageError(e.what());
  }
}

bool Options::given(const std::string& name) const {
  const CLI::Option* option = app_->get_option_no_throw(name);
  return option != nullptr && option->count() > 0;
}

void Options::parse_complete_callback(const std::function<void()>& callback) {
  app_->parse_complete_callback(callback);
}

}  // namespace versor
