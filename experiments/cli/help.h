// What a program says about its options: --help in groups, a manual page (--man-page), and the
// completion of its command line in bash and zsh (--completion), all from one list.
#pragma once

#include <string>
#include <vector>

namespace versor {

struct OptionHelp {
  std::string names = {};  // "--batch,--batch-size", or "run" for a positional argument
  std::string value = {};  // "N", "FILE"; "": a flag
  std::vector<std::string> choices = {};  // the words it takes, if these are all
  std::string usual = {};                 // its default; "": none
  std::string help = {};
  std::string group = {};  // a heading of the list
  bool required = false;

  bool positional() const { return !names.starts_with("-"); }
};

struct ProgramHelp {
  std::string program;  // "train"
  std::string command;  // "bin/train", or "versor-train" where it is installed
  std::string summary;
  std::vector<OptionHelp> options;  // those of a group need not be adjacent
};

std::string help_text(const ProgramHelp& program);  // at most 80 columns
std::string manual_page(const ProgramHelp& program, const std::string& version);  // roff
std::string completion_script(const ProgramHelp& program);

// "; did you mean --epochs?" if a candidate is so close to the word that it was probably meant,
// else
// "".
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace versor
