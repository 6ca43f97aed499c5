// Every README: its commands are accepted, its C++ is that of a source file, and the files that it
// names exist. make's commands run in a copy where nothing is built; the programs that they start,
// and those of the README itself, run for real with small sizes (tables only list what they would
// train).
#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>

#include "tests/experiments/checkout.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

struct Readme {
  std::string path;
  std::vector<std::string> shell;    // lines of ```sh blocks, without their comments
  std::vector<std::string> cpp;      // ```cpp blocks
  std::vector<std::string> inlines;  // `code` in the text
};

bool is_source(const fs::path& path) {
  const std::string name = path.string();
  return std::regex_search(name, std::regex(R"(\.(h|cpp|cu|cuh|py|sh)$)"));
}

constexpr const char* kFolders[] = {"tensor", "autograd", "nn",    "vq",
                                    "data",   "tests",    ".make", "experiments"};

// Paths of the files below the sources' folders that `wanted` accepts.
std::vector<std::string> files_where(const std::function<bool(const fs::path&)>& wanted) {
  std::vector<std::string> all;
  for (const char* folder : kFolders)
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.is_regular_file() && wanted(entry.path())) all.push_back(entry.path().string());
  std::sort(all.begin(), all.end());
  return all;
}

std::string without_comment(const std::string& line) {
  const std::string command = line.substr(0, line.find(" # "));
  return command.substr(0, command.find_last_not_of(' ') + 1);
}

Readme read_readme(const std::string& path) {
  Readme readme{path, {}, {}, {}};
  std::string language, text;
  bool in_block = false;
  for (const std::string& line : lines(read_file(path))) {
    if (line.starts_with("```")) {
      in_block = !in_block;
      if (in_block) language = line.substr(3);
      if (in_block && language == "cpp") readme.cpp.emplace_back();
    } else if (!in_block) {
      text += line + " ";
    } else if (language == "cpp") {
      readme.cpp.back() += line + "\n";
    } else if (language == "sh" && !without_comment(line).empty()) {
      readme.shell.push_back(without_comment(line));
    }
  }
  const std::regex code("`([^`]+)`");
  for (std::sregex_iterator it(text.begin(), text.end(), code), end; it != end; ++it)
    readme.inlines.push_back((*it)[1]);
  return readme;
}

const std::vector<Readme>& readmes() {
  static const std::vector<Readme> all = [] {
    std::vector<Readme> found{read_readme("README.md")};
    for (const std::string& path :
         files_where([](const fs::path& p) { return p.filename() == "README.md"; }))
      found.push_back(read_readme(path));
    return found;
  }();
  return all;
}

// Not "--seed S", "results/runs/<name>" or "bin/train …": these are placeholders.
bool is_whole(const std::string& command) {
  return !std::regex_search(command, std::regex("<|…| [A-Z]( |$)"));
}

std::string without_launcher(const std::string& command) {
  return std::regex_replace(command, std::regex("^(bin/ranks|mpirun) .*?(?=bin/)"), "");
}

// All commands that begin with this word, in blocks and in the text.
std::vector<std::string> commands(const std::string& begin) {
  std::vector<std::string> all;
  const auto add = [&](const std::string& command) {
    if (command.starts_with(begin) && is_whole(command) &&
        std::find(all.begin(), all.end(), command) == all.end())
      all.push_back(command);
  };
  for (const Readme& readme : readmes()) {
    for (const std::string& command : readme.shell) add(without_launcher(command));
    for (const std::string& command : readme.inlines) add(without_launcher(command));
  }
  return all;
}

// Options that make a program quick. An option that the command has itself stays as it is.
std::string small_sizes(const std::string& program) {
  if (program == "bench") return "--batch 2 --latent 32 --codes 16 --repeats 1 --threads 1";
  if (program == "scaling") return "--batch-size 4 --latent 8 --codes 16 --repeats 1 --threads 1";
  if (program == "verdicts" || program == "report") return "";
  if (program == "scaling") return "--data synthetic --train-images 128";
  const std::string images = "--data synthetic --train-images 128 --test-images 16 ";
  if (program != "train") return images + "--list";
  return images + "--batch-size 64 --latent 32 --epochs 1 --threads 1 --out run";
}

// Runs a program's words with small sizes: they must not be wrong usage, and the only error allowed
// is a missing device.
void check_accepted(const std::vector<std::string>& all_words, const std::string& folder) {
  std::string command;
  for (const std::string& word : all_words) command += (command.empty() ? "" : " ") + word;
  CAPTURE(command);
  const auto given = [&](const std::string& option) {
    return std::find(all_words.begin(), all_words.end(), option) != all_words.end();
  };
  const std::vector<std::string> small = words(small_sizes(all_words[0]));
  for (size_t i = 0; i < small.size(); i += 2)
    if (!given(small[i]))
      command += " " + small[i] + (i + 1 < small.size() ? " " + small[i + 1] : "");
  // the report is of results that are there
  if (all_words[0] == "report" && all_words.size() == 3)
    std::filesystem::create_directories(folder + "/" + all_words[2]);
  const Ended ended = run(command, {}, folder);
  CAPTURE(ended.err);
  CHECK((ended.code == 0 || (ended.code == 1 && given("cuda"))));
}

// The text without blanks and line ends: layout does not count.
std::string dense(const std::string& text) {
  std::string result;
  std::copy_if(text.begin(), text.end(), std::back_inserter(result),
               [](char c) { return c != ' ' && c != '\n'; });
  return result;
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

}  // namespace

TEST_CASE("READMEs: every line of a shell block is a command that is tested, or one for later") {
  for (const Readme& readme : readmes())
    for (const std::string& line : readme.shell) {
      CAPTURE(readme.path);
      CAPTURE(line);
      CHECK(std::regex_search(line, std::regex("^(make|bin/|mpirun|python|pip install)")));
    }
}

TEST_CASE("READMEs: programs take the options that are shown" * doctest::skip(without_programs())) {
  int count = 0;
  for (const std::string& command : commands("bin/")) {
    const TemporaryFolder folder;
    std::vector<std::string> all = words(command.substr(4));
    CAPTURE(command);
    if (all[0] == "run_tests") continue;
    if (all[0] == "ranks") {  // a launcher; what it starts is a program like others
      const auto program = std::find_if(all.begin() + 1, all.end(), [](const std::string& word) {
        return word.starts_with("bin/");
      });
      if (program == all.end()) continue;  // its bare name
      all.erase(all.begin(), program);
      all[0] = all[0].substr(4);
    }
    CHECK(fs::exists(program_folder() + "/" + all[0]));
    if (all.size() == 1 || command == "bin/bench --serve") continue;  // a bare name; a dialogue
    check_accepted(all, folder.path().string());
    ++count;
  }
  CHECK(count >= 8);
}

TEST_CASE("READMEs: make has the targets and variables that are shown" *
          doctest::skip(without_programs())) {
  Checkout checkout;
  write_script(checkout.built() + "run_kernel_tests", "#!/bin/sh\n");
  for (const char* script :
       {"fuzz", "mutants", "sanitize", "soak", "verify_gpu", "bundle", "check_layers", "test",
        "install", "install_check", "docs", "gpu_pack", "gpu_unpack", "gpu_rehearsal", "network"})
    write_script(checkout.here + "/.make/" + script + ".sh", "#!/bin/sh\n");
  std::string known = read_file("Makefile");
  for (const std::string& script :
       files_where([](const fs::path& p) { return p.string().starts_with(".make/"); }))
    known += read_file(script);
  std::vector<std::string> called;
  for (const std::string& command : commands("make")) {
    if (command != "make" && !command.starts_with("make ")) continue;
    CAPTURE(command);
    for (const std::string& word : words(command))
      if (const size_t equal = word.find('='); word[0] != '-' && equal != std::string::npos) {
        const std::string name = word.substr(0, equal);
        if (!command.starts_with("make sweep "))  // bin/sweep checks them: see below
          CHECK_MESSAGE(std::regex_search(known, std::regex("\\$[({]" + name + "\\b")), name);
      }
    for (std::string& line : checkout.make(command.substr(4) + " DATA=synthetic RESULTS=here"))
      called.push_back(std::move(line));
  }
  std::sort(called.begin(), called.end());
  called.erase(std::unique(called.begin(), called.end()), called.end());
  CHECK(called.size() >= 8);
  for (const std::string& line : called) {
    const TemporaryFolder folder;
    // bench and probe would run at the paper's sizes here, and Python has nothing to run
    if (!line.starts_with("bench|") && !line.starts_with("probe|") && !line.starts_with("python3|"))
      check_accepted(split(line, "|"), folder.path().string());
  }
}

TEST_CASE("READMEs: scripts and their options are there") {
  for (const Readme& readme : readmes())
    for (const std::string& line : readme.shell) {
      if (!line.starts_with("python")) continue;
      CAPTURE(line);
      const std::vector<std::string> all = words(line);
      const std::string script = fs::path(readme.path).parent_path() / all.at(1);
      REQUIRE(fs::exists(script));
      for (const std::string& word : all)
        if (word.starts_with("--")) CHECK_MESSAGE(contains(read_file(script), word), word);
    }
}

TEST_CASE("READMEs: C++ is quoted from a source file") {
  std::vector<std::string> sources;
  for (const std::string& path : files_where(is_source)) sources.push_back(dense(read_file(path)));
  int count = 0;
  for (const Readme& readme : readmes())
    for (const std::string& block : readme.cpp)
      for (const std::string& part : split(block, "\n\n")) {
        CAPTURE(readme.path);
        CAPTURE(part);
        ++count;
        CHECK(std::any_of(sources.begin(), sources.end(), [&](const std::string& source) {
          return contains(source, dense(part));
        }));
      }
  CHECK(count >= 3);
}

TEST_CASE("READMEs: files and environment variables that are named exist") {
  std::string sources;
  std::set<std::string> names;
  for (const std::string& path : files_where(is_source)) {
    sources += read_file(path);
    names.insert(fs::path(path).filename());
  }
  const std::regex name_of_source(R"(^[\w-]+\.(h|cpp|cu|cuh|py|sh)$)");
  const std::regex path_of_source(R"(^[\w.-]+(/[\w.-]+)+\.(h|cpp|cu|cuh|py|sh|md)$)");
  int count = 0;
  for (const Readme& readme : readmes())
    for (const std::string& code : readme.inlines) {
      CAPTURE(readme.path);
      CAPTURE(code);
      if (std::regex_match(code, path_of_source)) {
        ++count;
        CHECK((fs::exists(code) || fs::exists(fs::path(readme.path).parent_path() / code)));
      }
      if (std::regex_match(code, name_of_source)) CHECK(names.contains(code));
      for (const std::string& word : words(code))
        if (word.starts_with("VERSOR_"))
          CHECK(contains(sources, "\"" + word.substr(0, word.find('=')) + "\""));
    }
  CHECK(count >= 20);
}

}  // namespace versor::testing
