// Options of a program: see options.h.
#include "experiments/cli/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <limits>
#include <optional>

#include "experiments/cli/version.h"
#include "tensor/device.h"
#include "tensor/error.h"

namespace versor {
namespace {

// Wraps one of CLI11's own checks.
Check check_of(const CLI::Validator& validator) {
  return {validator.get_description(), validator};
}

template <class Parse>
void parse_with(const Parse& parse) {
  try {
    parse();
  } catch (const CLI::Success&) {  // --help, --version
    throw;
  } catch (const CLI::ParseError& e) {
    throw UsageError(e.what());
  }
}

}  // namespace

Check in_range(int64_t low, int64_t high) {
  return check_of(CLI::Range(low, high));
}

Check one_of(const std::vector<std::string>& words) {
  return check_of(CLI::IsMember(words));
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

const Check kNotNegative = number_in(0, std::numeric_limits<double>::max(), "FLOAT >= 0");
const Check kFraction = number_in(0, 1, "FLOAT in [0 - 1]");

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
  return *this;
}
Option Option::capture_default_str() const {
  option_->capture_default_str();
  return *this;
}
Option Option::delimiter(char separator) const {
  option_->delimiter(separator);
  return *this;
}
Option Option::required() const {
  option_->required();
  return *this;
}

Options::Options(const std::string& summary) : app_(std::make_unique<CLI::App>(summary)) {}
Options::~Options() = default;

template <class T>
Option Options::add_option(const std::string& name, T& value, const std::string& help) {
  return Option(app_->add_option(name, value, help));
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
  return Option(app_->add_flag(name, value, help));
}

Option Options::add_text(const std::string& name,
                         const std::function<void(const std::string&)>& take,
                         const std::string& shown, const std::string& help) {
  CLI::Option* option = app_->add_option_function<std::string>(name, take, help);
  if (!shown.empty()) option->default_str(shown);
  return Option(option);
}

bool Options::parse(int argc, char** argv) {
  app_->set_version_flag("--version", version() + " (commit " + commit() + ")");
  try {
    parse_with([&] { app_->parse(argc, argv); });
  } catch (const CLI::Success& e) {
    app_->exit(e);
    return false;
  }
  return true;
}

void Options::parse(const std::string& line) {
  parse_with([&] { app_->parse(line); });
}

bool Options::given(const std::string& name) const {
  const CLI::Option* option = app_->get_option_no_throw(name);
  return option != nullptr && option->count() > 0;
}

void Options::parse_complete_callback(const std::function<void()>& callback) {
  app_->parse_complete_callback(callback);
}

}  // namespace versor
