// The report's page: see page.h.
#include "experiments/report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "experiments/cli/version.h"
#include "experiments/report/inference.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

// Readable on a phone: one column, and tables scroll sideways on their own. 32x32 images are
// enlarged without smoothing.
constexpr const char* kStyle = R"(
body{font:16px/1.5 sans-serif;margin:0 auto;padding:0 .9em 3em;max-width:62em;color:#1a1a1a}
h1{line-height:1.2}h2{margin-top:2.5em;border-top:3px solid #0072b2;padding-top:.4em}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:14px}
th,td{border-bottom:1px solid #ccc;padding:.3em .7em;text-align:left;vertical-align:top}
th{background:#f2f5f8}
.verdict{background:#f2f5f8;border-left:6px solid #0072b2;padding:.2em 1em}
.scale{background:#fff3d6;border-left:6px solid #e69f00;padding:.5em 1em}
figure{margin:1.5em 0}figcaption{color:#444;font-size:14px}
img{max-width:100%;width:100%;height:auto}img.pixels{image-rendering:pixelated}
nav a{margin-right:1em;white-space:nowrap}
)";

std::string paragraph(const std::string& text, const char* style = "") {
  return fmt::format("<p{}>{}</p>\n", style, html_escape(text));
}

std::string picture(const std::string& results, const Picture& p) {
  // a results folder from elsewhere must not put other files of this machine onto the page
  check(!p.file.starts_with('/') && p.file.find("..") == std::string::npos, "report",
        "the picture ", p.file, " is not below ", results);
  const bool svg = p.file.ends_with(".svg");
  return fmt::format(
      "<figure><img{} alt=\"{}\" "
      "src=\"data:image/{};base64,{}\"><figcaption>{}</figcaption></figure>\n",
      svg ? "" : " class=\"pixels\"", html_escape(p.caption), svg ? "svg+xml" : "png",
      base64(read_file(results + "/" + p.file)), html_escape(p.caption));
}

std::string joined(const std::set<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// Every run once, even if several sections use it.
std::map<std::string, RunRecord> all_runs(const std::vector<Section>& sections) {
  std::map<std::string, RunRecord> runs;
  for (const Section& section : sections)
    for (const RunRecord& run : section.runs) runs[run.folder] = run;
  return runs;
}

// Time of training and evaluation; epochs that a run inherited from a shorter one count once.
std::string duration_of(const std::map<std::string, RunRecord>& runs) {
  double seconds = 0;
  for (const auto& [folder, run] : runs) {
    const int64_t taken_over = runs.contains(run.continues) ? run.continues_epochs : 0;
    for (size_t e = static_cast<size_t>(taken_over); e < run.seconds.size(); ++e)
      seconds += run.seconds[e];
  }
  return seconds < 3600 ? fmt::format("{:.0f} minutes", seconds / 60)
                        : fmt::format("{:.1f} hours", seconds / 3600);
}

// The verdicts of each part.
std::string verdict_table(const std::vector<Section>& sections,
                          const std::vector<PagePart>& missing) {
  constexpr const char* kVerdicts[] = {kEquivalent, kCompatible, kDiffers, kContradictory};
  Table table{.file = "", .title = "Part by part, in cells of the paper's tables"};
  table.columns = {"part", "state"};
  for (const char* verdict : kVerdicts) table.columns.push_back(verdict);
  for (const Section& s : sections) {
    if (s.name == "errata") continue;
    std::vector<std::string> row{s.title, !s.scale.empty()     ? "scaled down, not compared"
                                          : s.verdicts.empty() ? "shown"
                                                               : "compared"};
    for (const char* verdict : kVerdicts) {
      const auto it = s.verdicts.find(verdict);
      row.push_back(it == s.verdicts.end() || !s.scale.empty() ? "" : std::to_string(it->second));
    }
    table.rows.push_back(row);
  }
  for (const PagePart& part : missing)
    table.rows.push_back(
        {part.title, fmt::format("not run: make {}", part.target), "", "", "", ""});
  return table.html();
}

// The first sentence: how much of the paper is reproduced.
std::string summary(const std::vector<Section>& sections, const std::vector<PagePart>& missing) {
  std::map<std::string, int> cells;
  int compared = 0;
  for (const Section& s : sections)
    for (const auto& [verdict, count] : s.verdicts) {
      cells[verdict] += count;
      compared += count;
    }
  std::string text =
      compared == 0
          ? std::string("Nothing on this page has been compared with the paper's figures.")
          : fmt::format(
                "Of {} figures of the paper that were compared, {} are equivalent to ours, {} are "
                "compatible with ours, too wide to say more, {} differ, and {} belong to rows that "
                "contradict themselves.",
                compared, cells[kEquivalent], cells[kCompatible], cells[kDiffers],
                cells[kContradictory]);
  if (!missing.empty()) text += fmt::format(" {} parts have not been run.", missing.size());
  return text;
}

std::string opening(const std::vector<Section>& sections, const std::vector<PagePart>& missing) {
  std::string html;
  std::set<std::string> hardware, commits, precisions;
  std::vector<const Section*> scaled;
  for (const Section& s : sections)
    if (!s.scale.empty()) scaled.push_back(&s);
  const size_t parts = sections.size() + missing.size() - 1;  // without the errata
  const auto runs = all_runs(sections);
  for (const auto& [folder, run] : runs) {
    hardware.insert(run.hardware.empty() ? run.device : run.hardware);
    commits.insert(run.commit);
    precisions.insert(run.precision);
  }
  if (!scaled.empty())
    html +=
        paragraph(fmt::format("Scaled down: {} of the {} parts on this page are not compared with "
                              "the paper. Each says how it differs from it; the first: {}.",
                              scaled.size(), parts, scaled.front()->scale),
                  " class=\"scale\"");
  html += "<div class=\"verdict\"><h2 style=\"border:0;margin-top:.3em\">Verdict</h2>\n";
  html += paragraph(summary(sections, missing));
  for (const Section& s : sections)
    for (const std::string& finding : s.findings) html += paragraph(finding);
  html += verdict_table(sections, missing);
  html +=
      paragraph(fmt::format("{} training runs, {} of training and evaluation, on {} in "
                            "{}; the runs' commit: {}. "
                            "This page was made by versor {}, commit {}.",
                            runs.size(), duration_of(runs), joined(hardware), joined(precisions),
                            joined(commits), version(), commit()));
  if (commits.size() > 1) html += paragraph("Warning: the runs were made by different commits.");
  return html + "</div>\n";
}

}  // namespace

std::string base64(const std::string& bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= n ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::string report_page(const std::string& results, const std::vector<Section>& sections,
                        const std::vector<PagePart>& missing) {
  const std::string title = "The rotation-rescale VQ-VAE on CIFAR-10, reproduced";
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}</style></head><body>\n<h1>{0}</h1>\n",
      html_escape(title), kStyle);
  html += opening(sections, missing) + "<nav>";
  for (const Section& s : sections)
    html += fmt::format("<a href=\"#{}\">{}</a> ", html_escape(s.name), html_escape(s.title));
  html += "</nav>\n";
  for (const Section& s : sections) {
    html += fmt::format("<h2 id=\"{}\">{}</h2>\n", html_escape(s.name), html_escape(s.title));
    if (!s.scale.empty()) html += paragraph(s.scale, " class=\"scale\"");
    for (const std::string& note : s.notes) html += paragraph(note);
    for (const Table& table : s.tables) html += table.html();
    for (const Picture& p : s.pictures) html += picture(results, p);
  }
  for (const PagePart& part : missing)
    html += fmt::format("<h2>{}</h2>\n", html_escape(part.title)) +
            paragraph(fmt::format("Not run yet: make {}", part.target));
  return html + "</body></html>\n";
}

}  // namespace versor
