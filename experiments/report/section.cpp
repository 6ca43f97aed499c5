// Sections: see section.h.
#include "experiments/report/section.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/cli/json_file.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {

// nlohmann's way to map a struct's fields to an object's.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Table, file, title, notes, columns, rows)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Picture, file, caption)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunRecord, folder, commit, hardware, precision, device,
                                   continues, continues_epochs, seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Section, name, title, scale, notes, findings, tables, pictures,
                                   runs, verdicts)

namespace {

constexpr int64_t kMostCells = 1'000'000;  // of a section: the page's sum fits into an int

std::string markdown(const Section& section) {
  std::string text = "# " + section.title + "\n\n";
  if (!section.scale.empty()) text += "**" + section.scale + "**\n\n";
  for (const std::string& note : section.notes) text += note + "  \n";
  for (const std::string& finding : section.findings) text += "\n- " + finding;
  if (!section.findings.empty()) text += "\n";
  for (const Table& table : section.tables) text += "\n" + table.markdown();
  for (const Picture& picture : section.pictures)
    text += fmt::format("\n![{0}]({1})\n\n{0}\n", picture.caption, picture.file);
  return text;
}

}  // namespace

void write_section(const std::string& results, const Section& section) {
  std::filesystem::create_directories(results);
  for (const Table& table : section.tables)
    write_file(results + "/" + table.file + ".csv", table.csv());
  write_file(results + "/" + section.name + ".md", markdown(section));
  write_file(results + "/" + section.name + ".json", section_text(section));
}

std::string section_text(const Section& section) {
  return nlohmann::json(section).dump(1) + "\n";
}

Section read_section(const std::string& path) {
  try {
    const auto json = read_json<nlohmann::json>(path);
    int64_t cells = 0;
    for (const auto& verdict : json.at("verdicts")) {
      cells += count_in(verdict, path);
      check(cells <= kMostCells, "report", path, " is malformed: too many cells");
    }
    for (const auto& run : json.at("runs")) count_in(run.at("continues_epochs"), path);
    return json.get<Section>();
  } catch (const nlohmann::json::exception& e) {
    fail("report", path, " is malformed: ", e.what());
  }
}

}  // namespace versor
