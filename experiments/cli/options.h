// The options of a program: the part of CLI11 that the programs use, under the same names. CLI11
// adds three seconds to the compilation of every file that includes it, so only options.cpp does.
//   Options app("What the program does.");
//   app.add_option("--epochs", epochs, "how many")->check(in_range(1, 100))->capture_default_str();
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "experiments/cli/help.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace versor {

// Wrong usage; the message names the option.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
  UsageError(const std::string& option, const std::string& what)
      : std::runtime_error(option + ": " + what) {}
};

// Checks the text given for an option: `wrong` returns what is wrong with it, "" if nothing is.
struct Check {
  std::string name;  // of the value, in --help: "N"
  std::function<std::string(const std::string&)> wrong;
  std::vector<std::string> choices = {};  // the words that pass, if these are all
};
Check in_range(int64_t low, int64_t high);
Check one_of(const std::vector<std::string>& words);
// A number in low..high; NaN is refused.
Check number_in(double low, double high, const std::string& name);

extern const Check kDeviceName;   // cpu, cuda or cuda:N
extern const Check kSeedNumber;   // 0..2^64-1; CLI11 2.1 itself takes -1 for the largest
extern const Check kNotNegative;  // a finite number >= 0
extern const Check kFraction;     // a number in 0..1
extern const Check kMemorySize;   // bytes, as 1000000, 500M, 4G or 1T (powers of 1024)

// The number of bytes that such a text gives; nothing if it is malformed.
std::optional<uint64_t> parse_bytes(const std::string& text);

class Option {
 public:
  Option(CLI::Option* option, OptionHelp* help) : option_(option), help_(help) {}

  const Option* operator->() const { return this; }  // app.add_option(...)->check(...)
  Option check(const Check& check) const;
  Option capture_default_str() const;  // shows the default in --help
  Option delimiter(char separator) const;
  Option required() const;

 private:
  CLI::Option* option_;
  OptionHelp* help_;
};

class Options {
 public:
  explicit Options(const std::string& summary);
  ~Options();

  // T: string, int, int64_t, uint64_t, double, or an optional or a vector of one of the types that
  // options.cpp lists.
  template <class T>
  Option add_option(const std::string& name, T& value, const std::string& help = "");
  Option add_flag(const std::string& name, bool& value, const std::string& help);
  // For any other type: `take` gets the text once it has passed the option's checks. `shown` is the
  // default that --help prints; "": none.
  Option add_text(const std::string& name, const std::function<void(const std::string&)>& take,
                  const std::string& shown, const std::string& help);

  // The heading in --help of the options that are added from now on.
  void group(const std::string& heading) { group_ = heading; }
  // The default that --help shows for an option, asked for when the others have been parsed.
  void show_default(const std::string& name, std::function<std::string()> usual);

  // Adds --version, then parses. If --version, --help, --man-page or --completion was given, prints
  // it and returns false. Throws UsageError, which names the option that was probably meant.
  bool parse(int argc, char** argv);
  void parse(const std::string& line);
  // Whether the option was given on the command line.
  bool given(const std::string& name) const;
  // Sets a function to call once the command line is parsed.
  void parse_complete_callback(const std::function<void()>& callback);

 private:
  Option added(CLI::Option* option, const std::string& value, const std::string& help);
  std::string first_misspelt(const std::vector<std::string>& unexpected) const;
  ProgramHelp program_help(const std::string& command) const;

  std::unique_ptr<CLI::App> app_;
  std::string summary_, group_ = "Options";
  std::deque<OptionHelp> helps_;  // a deque: an Option points to its own
  std::vector<std::pair<std::string, std::function<std::string()>>> usual_later_;
};

}  // namespace versor
