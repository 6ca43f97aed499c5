// Sections: see section.h.
#include "experiments/section.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {

// nlohmann's own way to say that a struct's fields are an object's.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Table, file, title, notes, columns, rows)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Picture, file, caption)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunRecord, folder, commit, hardware, precision, device,
                                   continues, continues_epochs, seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Section, name, title, scale, notes, findings, tables, pictures,
                                   runs, verdicts)

namespace {

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
  write_file(results + "/" + section.name + ".json", nlohmann::json(section).dump(1) + "\n");
}

Section read_section(const std::string& path) {
  try {
    return nlohmann::json::parse(read_file(path)).get<Section>();
  } catch (const nlohmann::json::exception& e) {
    fail("report", path, " is malformed: ", e.what());
  }
}

}  // namespace versor
