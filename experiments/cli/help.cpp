// Help, manual pages and completion: see help.h.
#include "experiments/cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>
#include <sstream>
#include <utility>

namespace versor {
namespace {

constexpr size_t kWidth = 80, kIndent = 24;

std::vector<std::string> names_of(const OptionHelp& option) {
  std::vector<std::string> names;
  std::istringstream parts(option.names);
  for (std::string name; std::getline(parts, name, ',');) names.push_back(name);
  return names;
}

// "-h, --help" or "--codes N"
std::string usage_of(const OptionHelp& option) {
  return fmt::format("{}{}{}", fmt::join(names_of(option), ", "),
                     option.value.empty() || option.positional() ? "" : " ",
                     option.positional() ? "" : option.value);
}

// "K, size of the codebook [1024]"
std::string explanation_of(const OptionHelp& option) {
  std::string text = option.help;
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : " ") + more; };
  if (!option.choices.empty()) add(fmt::format("({})", fmt::join(option.choices, ", ")));
  if (!option.usual.empty()) add("[" + option.usual + "]");
  if (option.required) add("(required)");
  return text;
}

// The text in lines of kWidth, all but the first indented.
std::string wrapped(const std::string& text, size_t begin, size_t indent) {
  std::string out;
  size_t column = begin;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > indent && column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::vector<std::string> groups_of(const ProgramHelp& program) {
  std::vector<std::string> groups;
  for (const OptionHelp& option : program.options)
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end())
      groups.push_back(option.group);
  return groups;
}

std::string arguments_of(const ProgramHelp& program) {
  std::string line;
  for (const OptionHelp& option : program.options)
    if (option.positional())
      line += " " + option.names;
    else if (option.required)
      line += " " + usage_of(option);
  return line + " [OPTIONS]";
}

std::string installed_name(const ProgramHelp& program) {
  std::string name = "versor-" + program.program;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// roff gives these a meaning; at the start of a line, so do . and '.
std::string roff(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out.starts_with(".") || out.starts_with("'") ? "\\&" + out : out;
}

// The number of insertions, deletions, replacements and exchanges of neighbours that turn one word
// into the other (Damerau and Levenshtein, each letter moved once).
size_t edits_between(const std::string& a, const std::string& b) {
  std::vector<size_t> before, row(b.size() + 1), next;
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    next.assign(1, i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = row[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      size_t least = std::min({replaced, row[j] + 1, next[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        least = std::min(least, before[j - 2] + 1);
      next.push_back(least);
    }
    before = std::exchange(row, next);
  }
  return row[b.size()];
}

}  // namespace

std::string help_text(const ProgramHelp& program) {
  std::string text =
      wrapped(program.summary, 0, 0) + "\nUsage: " + program.command + arguments_of(program) + "\n";
  for (const std::string& group : groups_of(program)) {
    text += "\n" + group + ":\n";
    for (const OptionHelp& option : program.options) {
      if (option.group != group) continue;
      std::string line = "  " + usage_of(option);
      if (line.size() + 2 > kIndent)
        line += "\n" + std::string(kIndent, ' ');
      else
        line.resize(kIndent, ' ');
      line += wrapped(explanation_of(option), kIndent, kIndent);
      line.erase(line.find_last_not_of(" \n") + 1);
      text += line + "\n";
    }
  }
  return text;
}

std::string manual_page(const ProgramHelp& program, const std::string& version) {
  const std::string name = installed_name(program);
  std::string page = fmt::format(
      ".TH {} 1 \"\" \"versor {}\" \"Versor\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n{}\n",
      name, roff(version), roff(name), roff(program.summary), roff(name),
      roff(arguments_of(program).substr(1)));
  for (const std::string& group : groups_of(program)) {
    std::string title = group;
    std::transform(title.begin(), title.end(), title.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    page += ".SH " + roff(title) + "\n";
    for (const OptionHelp& option : program.options)
      if (option.group == group)
        page += ".TP\n.B " + roff(usage_of(option)) + "\n" + roff(explanation_of(option)) + "\n";
  }
  return page;
}

// One function for each program: after an option with choices it offers these, after one with a
// value files, and else the options.
std::string completion_script(const ProgramHelp& program) {
  std::string function = "_versor_" + program.program, cases, all = "--help --version";
  for (const OptionHelp& option : program.options) {
    if (option.positional()) continue;
    const std::vector<std::string> names = names_of(option);
    if (names[0] != "-h") all += fmt::format(" {}", fmt::join(names, " "));
    if (!option.choices.empty())
      cases += fmt::format("    {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;;\n",
                           fmt::join(names, "|"), fmt::join(option.choices, " "));
    else if (!option.value.empty())
      cases += fmt::format("    {}) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n",
                           fmt::join(names, "|"));
  }
  return fmt::format(
      "{0}() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}}\n"
      "  case ${{COMP_WORDS[COMP_CWORD-1]}} in\n{1}  esac\n"
      "  case $word in\n"
      "    -*) COMPREPLY=($(compgen -W '{2}' -- \"$word\")) ;;\n"
      "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
      "  esac\n}}\n"
      "complete -o filenames -F {0} {3} bin/{3} {4}\n",
      function, cases, all, program.program, installed_name(program));
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t fewest = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    size_t edits = edits_between(word, candidate);
    // A word that was not finished: --est for --estimator.
    if (word.size() >= 3 && candidate.starts_with(word)) edits = std::min<size_t>(edits, 1);
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best.empty() ? "" : "; did you mean " + best + "?";
}

}  // namespace versor
