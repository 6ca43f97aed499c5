// The report: all sections of the results folder, and the runs that no section uses, on one
// self-contained page, which opens with the verdict. Parts that have not been run are listed with
// the command that makes them. With folders of runs: a page of these alone.
//   command  make report   (make paper runs everything first)
//            bin/report results/runs/A results/runs/B --watch
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "experiments/cli/program.h"
#include "experiments/report/page.h"
#include "experiments/run/trainer.h"
#include "experiments/study/errata.h"
#include "experiments/study/own_runs.h"
#include "experiments/study/run_settings.h"
#include "tensor/error.h"
#include "tensor/file.h"

using namespace versor;

namespace {

namespace fs = std::filesystem;

// In the order of the page.
constexpr PagePart kParts[] = {
    {"verdicts", "Verdicts: what our runs of full length show about the paper's figures",
     "verdicts"},
    {"table1", "Table 1: CIFAR-10", "table1"},
    {"table2", "Table 2: the size of the codebook", "table2"},
    {"table3", "Table 3: the weight of the commitment loss", "table3"},
    {"figures", "Figures 1 to 8: reconstructions, codebooks, gradient flow", "figures"},
    {"table_attribution", "What makes the difference between the presets", "table_attribution"},
    {"table_estimators", "Gradient estimators at equal everything else", "table_estimators"},
    {"table_quantizers", "Quantizers at equal bit-rate", "table_quantizers"},
    {"sweep", "A sweep of options", "sweep"},
    {"generation", "Generation: samples of a prior and of a diffusion model", "samples"}};
// They are no part of the paper, so a page without them lacks nothing.
const std::set<std::string> kOptional = {"sweep", "generation"};

constexpr int kReloadSeconds = 5;
constexpr auto kLook = std::chrono::milliseconds(1000);  // between two looks at the files

struct Request {
  std::vector<std::string> folders;
  std::string results = "results", out;
  bool watch = false;
};

Section section_of(const PagePart& part, const std::string& path) {
  try {
    return read_section(path);
  } catch (const Error& e) {
    Section section;
    section.name = part.name;
    section.title = part.title;
    section.damaged = {e.what()};
    return section;
  }
}

Page page_of_runs(const Request& request, PageHead head) {
  const Section section = own_runs_section(run_folders(request.folders), request.results);
  write_section(request.results, section);
  head.title = "Runs side by side";
  head.verdict = section.findings.empty() ? "None of the runs could be read." : section.findings[0];
  return report_page(request.results, {section}, {}, head);
}

Page page_of_results(const Request& request, const PageHead& head) {
  const std::string& results = request.results;
  check(is_there(results), "report", "there is no folder ", results);
  std::vector<Section> sections;
  std::vector<PagePart> missing;
  std::set<std::string> used;
  for (const PagePart& part : kParts) {
    const std::string path = fmt::format("{}/{}.json", results, part.name);
    if (!is_there(path)) {
      if (!kOptional.contains(part.name)) missing.push_back(part);
      continue;
    }
    sections.push_back(section_of(part, path));
    for (const RunRecord& run : sections.back().runs) used.insert({run.folder, run.continues});
  }
  if (const auto others = other_runs(results, used); !others.empty()) {
    sections.push_back(own_runs_section(others, results));
    write_section(results, sections.back());
  }
  sections.push_back(errata());
  write_section(results, sections.back());
  return report_page(results, sections, missing, head);
}

// Writes the page. Returns what was damaged, in one line; empty: nothing.
std::string write_page(const Request& request, int reload_seconds) {
  const PageHead head{.reload_seconds = reload_seconds};
  const Page page =
      request.folders.empty() ? page_of_results(request, head) : page_of_runs(request, head);
  write_file(request.out, page.html);
  std::string line;
  for (const std::string& message : page.damaged) line += (line.empty() ? "" : "; ") + message;
  return line;
}

// Size and time of every file that the page shows.
std::string state_of_files(const Request& request) {
  std::string state;
  const auto add = [&](const fs::path& folder) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder, none)) {
      const std::string ending = entry.path().extension().string();
      // not what the page itself writes
      if (entry.path().filename().string().starts_with(kOwnRuns) || entry.path().stem() == "errata")
        continue;
      if (ending == ".json" || ending == ".csv" || ending == ".png")
        state += fmt::format("{} {} {}\n", entry.path().string(), entry.file_size(none),
                             entry.last_write_time(none).time_since_epoch().count());
    }
  };
  std::vector<std::string> folders = request.folders;
  if (folders.empty()) {
    add(request.results);
    folders = {request.results + "/runs"};
  }
  for (const std::string& folder : folders) {
    std::error_code none;
    add(folder);
    for (const auto& entry : fs::directory_iterator(folder, none)) add(entry.path());
  }
  return state;
}

// Renews the page whenever files have changed, until a signal. What is damaged meanwhile is said
// once.
int watch(const Request& request) {
  const InterruptGuard guard;
  std::string state, damage;
  bool first = true;
  while (!InterruptGuard::interrupted()) {
    const std::string now = state_of_files(request);
    if (first || now != state) {
      const std::string found = write_page(request, kReloadSeconds);
      if (!found.empty() && found != damage) fmt::print(stderr, "damaged: {}\n", found);
      damage = found;
      state = now;
    }
    if (first) fmt::print("written: {}; renewed when a run goes on, until Ctrl-C\n", request.out);
    std::fflush(stdout);
    first = false;
    std::this_thread::sleep_for(kLook);
  }
  write_page(request, 0);
  return kInterrupted;
}

}  // namespace

int main(int argc, char** argv) {
  Options app(
      "Puts the tables and figures that are there on one page, or, if folders of runs are given, "
      "these runs.");
  Request request;
  app.add_option("RUN_FOLDER", request.folders,
                 "folders of runs, finished or not, or of folders of runs");
  app.add_option("--results", request.results, "folder of runs and tables")->capture_default_str();
  app.add_option("--out", request.out,
                 "the page; by default report.html in --results, or runs.html for RUN_FOLDER");
  app.add_flag("--watch", request.watch, "renew the page whenever a run has gone on, until Ctrl-C");
  return run_program(app, argc, argv, [&] {
    if (request.out.empty())
      request.out = request.results + (request.folders.empty() ? "/report.html" : "/runs.html");
    if (request.watch) return watch(request);
    const std::string damage = write_page(request, 0);
    fmt::print("written: {}\n", request.out);
    check(damage.empty(), "report", "the page is not complete: ", damage);
    return 0;
  });
}
