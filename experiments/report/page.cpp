// The report's page: see page.h.
#include "experiments/report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "experiments/cli/version.h"
#include "experiments/report/gallery.h"
#include "experiments/report/inference.h"
#include "experiments/report/page_style.h"

namespace versor {
namespace {

std::string paragraph(const std::string& text, const char* style = "") {
  return fmt::format("<p{}>{}</p>\n", style, html_escape(text));
}

std::string folded(const std::string& summary, const std::string& html) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", html_escape(summary), html);
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

// Whether it shows a part of the paper.
bool is_part(const Section& section) {
  return section.name != "errata" && section.name != "sweep" && section.name != kOwnRuns;
}

// The verdicts of each part.
Table verdict_table(const std::vector<Section>& sections, const std::vector<PagePart>& missing) {
  constexpr const char* kVerdicts[] = {kEquivalent, kCompatible, kDiffers, kContradictory};
  Table table{.file = "", .title = "Part by part, in cells of the paper's tables"};
  table.columns = {"part", "state"};
  for (const char* verdict : kVerdicts) table.columns.push_back(verdict);
  for (const Section& s : sections) {
    if (!is_part(s)) continue;
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
  return table;
}

// The first sentence: how much of the paper is reproduced.
std::string summary(const std::vector<Section>& sections) {
  std::map<std::string, int> cells;
  int compared = 0;
  for (const Section& s : sections)
    for (const auto& [verdict, count] : s.verdicts) {
      cells[verdict] += count;
      compared += count;
    }
  if (compared == 0) return "Nothing on this page has been compared with the paper's figures.";
  return fmt::format(
      "Of {} figures of the paper that were compared, {} are equivalent to ours, {} are compatible "
      "with ours, too wide to say more, {} differ, and {} belong to rows that contradict "
      "themselves.",
      compared, cells[kEquivalent], cells[kCompatible], cells[kDiffers], cells[kContradictory]);
}

// How the runs on the page were made.
std::string runs_sentence(const std::vector<Section>& sections) {
  const auto runs = all_runs(sections);
  const std::string made =
      fmt::format("This page was made by versor {}, commit {}.", version(), commit());
  if (runs.empty()) return "No training run is on this page. " + made;
  std::set<std::string> hardware, commits, precisions;
  for (const auto& [folder, run] : runs) {
    hardware.insert(run.hardware.empty() ? run.device : run.hardware);
    commits.insert(run.commit);
    precisions.insert(run.precision);
  }
  return fmt::format(
      "{} training run{}, {} of training and evaluation, on {} in {}; the runs' commit: {}. {}{}",
      runs.size(), runs.size() == 1 ? "" : "s", duration_of(runs), joined(hardware),
      joined(precisions), joined(commits), made,
      commits.size() > 1 ? " Warning: the runs were made by different commits." : "");
}

// "Table 3" of "Table 3: the weight of the commitment loss".
std::string short_title(const std::string& title) {
  return title.substr(0, title.find(':'));
}

// The table of the first screen: what testing showed, of table 3 or else of own runs, the best of
// many. Null if there is neither.
std::optional<Table> key_table(const std::vector<Section>& sections) {
  const Section* from = nullptr;
  for (const char* name : {kOwnRuns, "table3"})
    for (const Section& s : sections)
      if (s.name == name && !s.tables.empty()) from = &s;
  if (from == nullptr) return {};
  Table key = from->tables.front();
  key.title = short_title(from->title) + ": " + key.title;
  std::vector<size_t> kept;
  for (size_t c = 0; c < key.columns.size(); ++c)
    if (c < 2 || (key.columns[c].starts_with("Test ") && key.columns[c] != "Test Loss"))
      kept.push_back(c);
  const auto reduce = [&](std::vector<std::string>& cells) {
    std::vector<std::string> some;
    for (size_t c : kept)
      if (c < cells.size()) some.push_back(cells[c]);
    cells = some;
  };
  reduce(key.columns);
  for (auto& row : key.rows) reduce(row);
  if (constexpr size_t kMost = 10; from->name == kOwnRuns && key.rows.size() > kMost) {
    const auto recon = [](const auto& row) { return row.size() > 2 ? row[2] : std::string(); };
    std::stable_sort(key.rows.begin(), key.rows.end(),
                     [&](const auto& a, const auto& b) { return recon(a) < recon(b); });
    key.title += fmt::format(" (the best {} of {})", kMost, key.rows.size());
    key.rows.resize(kMost);
  }
  return key;
}

std::string opening(const std::vector<Section>& sections, const std::vector<PagePart>& missing,
                    const PageHead& head, const std::vector<std::string>& damaged,
                    const std::vector<Strips>& strips) {
  std::string html = "<section class=\"verdict\" id=\"verdict\"><h2>Verdict</h2>\n";
  html += paragraph(head.verdict.empty() ? summary(sections) : head.verdict, " class=\"lead\"");
  std::vector<const Section*> scaled;
  for (const Section& s : sections)
    if (!s.scale.empty()) scaled.push_back(&s);
  const auto parts = std::count_if(sections.begin(), sections.end(), is_part) +
                     static_cast<int64_t>(missing.size());
  if (!scaled.empty())
    html += paragraph(
        fmt::format("Scaled down: {} of the {} parts on this page are not compared with the "
                    "paper; each says how it differs.",
                    scaled.size(), parts),
        " class=\"scale\"");
  if (!missing.empty())
    html += paragraph(fmt::format("{} of the {} parts {} not been run.", missing.size(), parts,
                                  missing.size() == 1 ? "has" : "have"),
                      " class=\"soft\"");
  for (const std::string& message : damaged) html += damage_html(message);
  if (!strips.empty()) {
    const Strips& s = sections.front().name == kOwnRuns ? strips.front() : strips.back();
    html +=
        fmt::format("<div class=\"strips\"><span>originals</span>{}<span>ours, {}</span>{}</div>\n",
                    s.row(0, "the original images"), html_escape(s.picture->label),
                    s.row(1, s.picture->caption));
  }
  if (const auto key = key_table(sections))
    html += "<h3>" + html_escape(key->title) + "</h3>\n" + key->html();
  html += paragraph(runs_sentence(sections), " class=\"soft\"");
  std::string more;
  for (const Section& s : sections)
    for (const std::string& finding : s.findings) more += paragraph(finding);
  if (head.verdict.empty()) {
    if (!more.empty()) html += folded("What each part found", more);
    const Table by_part = verdict_table(sections, missing);
    html += folded(by_part.title, by_part.html());
  }
  return html + "</section>\n";
}

std::string table_html(const Table& table, bool open) {
  std::string notes;
  for (const std::string& note : table.notes) notes += paragraph(note, " class=\"soft\"");
  if (open) return "<h3>" + html_escape(table.title) + "</h3>\n" + notes + table.html();
  return folded(table.title, notes + table.html());
}

// Its first table and all pictures are open; how it was made and further tables are folded.
std::string section_html(const std::string& results, const Section& s,
                         std::vector<std::string>& damaged, std::vector<Strips>& strips) {
  std::string html =
      fmt::format("<section>\n<h2 id=\"{}\">{}</h2>\n", html_escape(s.name), html_escape(s.title));
  if (!s.scale.empty()) html += paragraph(s.scale, " class=\"scale\"");
  for (const std::string& message : s.damaged) html += damage_html(message);
  damaged.insert(damaged.end(), s.damaged.begin(), s.damaged.end());
  std::string notes;
  for (const std::string& note : s.notes)
    (note.starts_with("failed") || note.starts_with("warning") ? html : notes) += paragraph(note);
  if (!notes.empty()) html += folded("How this was made", notes);
  for (size_t i = 0; i < s.tables.size(); ++i) html += table_html(s.tables[i], i == 0);
  return html + pictures_html(results, s, damaged, strips) + "</section>\n";
}

}  // namespace

Page report_page(const std::string& results, const std::vector<Section>& sections,
                 const std::vector<PagePart>& missing, const PageHead& head) {
  Page page;
  std::vector<Strips> strips;
  std::string nav = "<nav aria-label=\"Sections\"><a href=\"#verdict\">Verdict</a> ", body;
  for (const Section& s : sections) {
    nav += fmt::format("<a href=\"#{}\">{}</a> ", html_escape(s.name),
                       html_escape(short_title(s.title)));
    body += section_html(results, s, page.damaged, strips);
  }
  for (const PagePart& part : missing)
    body += fmt::format("<section>\n<h2>{}</h2>\n{}</section>\n", html_escape(part.title),
                        paragraph(fmt::format("Not run yet: make {}", part.target)));
  page.html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}</style></head>\n<body data-reload=\"{2}\">\n{3}</nav>\n"
      "<main>\n<h1>{0}</h1>\n{4}{5}</main>\n<script>{6}</script>\n</body></html>\n",
      html_escape(head.title), kPageStyle, head.reload_seconds, nav,
      opening(sections, missing, head, page.damaged, strips), body, kPageScript);
  return page;
}

}  // namespace versor
