// Sections: see section.h.
#include "experiments/report/section.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/cli/json_file.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {

namespace {

// JSON has no NaN: nlohmann writes null.
std::vector<double> numbers_in(const nlohmann::json& list) {
  std::vector<double> all;
  for (const auto& value : list) all.push_back(value.is_null() ? NAN : value.get<double>());
  return all;
}

}  // namespace

void to_json(nlohmann::json& json, const Curve& c) {
  json = {{"name", c.name}, {"x", c.x},     {"y", c.y},      {"colour", c.colour},
          {"dash", c.dash}, {"low", c.low}, {"high", c.high}};
}
void from_json(const nlohmann::json& json, Curve& c) {
  c = {json.at("name").get<std::string>(),
       numbers_in(json.at("x")),
       numbers_in(json.at("y")),
       static_cast<int>(count_in(json.at("colour"), "a curve's colour") % 8),
       static_cast<int>(count_in(json.at("dash"), "a curve's dash") % 3),
       numbers_in(json.at("low")),
       numbers_in(json.at("high"))};
  check(c.y.size() == c.x.size() && c.high.size() == c.low.size() &&
            (c.low.empty() || c.low.size() == c.x.size()),
        "report", "the curve \"", c.name, "\" has a place without a value, or a value without one");
}

void to_json(nlohmann::json& json, const CodePoint& p) {
  json = {p.x, p.y, p.count, p.dead};
}
void from_json(const nlohmann::json& json, CodePoint& p) {
  const auto number = [](const nlohmann::json& v) { return v.is_null() ? NAN : v.get<double>(); };
  p = {number(json.at(0)), number(json.at(1)), count_in(json.at(2), "a point's count"),
       json.at(3).get<bool>()};
}

void to_json(nlohmann::json& json, const Picture& p);
void from_json(const nlohmann::json& json, Picture& p);

// nlohmann's way to map a struct's fields to an object's.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Panel, title, points)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Plot, file, title, x_label, y_label, log_y, curves, panels)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Table, file, title, notes, columns, rows)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunRecord, folder, commit, hardware, precision, device,
                                   continues, continues_epochs, seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Section, name, title, scale, notes, findings, tables, pictures,
                                   runs, verdicts)

void to_json(nlohmann::json& json, const Picture& p) {
  json = {{"file", p.file},
          {"caption", p.caption},
          {"label", p.label},
          {"originals", p.originals},
          {"images", p.images}};
  if (p.plot) json["plot"] = *p.plot;
}
// Sections of versions that knew only the file and its caption are read as well.
void from_json(const nlohmann::json& json, Picture& p) {
  p.file = json.at("file").get<std::string>();
  p.caption = json.at("caption").get<std::string>();
  p.label = json.value("label", "");
  p.originals = json.value("originals", "");
  p.images = json.contains("images") ? count_in(json["images"], "a picture's images") : 0;
  if (json.contains("plot")) p.plot = json["plot"].get<Plot>();
}

namespace {

constexpr int64_t kMostCells = 1'000'000;  // of a section: the page's sum fits into an int

Section section_in(const nlohmann::json& json, const std::string& path) {
  try {
    return json.get<Section>();
  } catch (const Error& e) {
    fail("report", path, " is malformed: ", e.what());
  }
}

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

void add_plot(Section& section, const std::string& results, const Plot& plot,
              const std::string& caption) {
  write_plot(results, plot);
  section.pictures.push_back(
      {.file = "plots/" + plot.file + ".svg", .caption = caption, .plot = plot});
}

void write_section(const std::string& results, const Section& section) {
  std::filesystem::create_directories(results);
  for (const Table& table : section.tables)
    write_file(results + "/" + table.file + ".csv", table.csv());
  write_file(results + "/" + section.name + ".md", markdown(section));
  write_file(results + "/" + section.name + ".json", section_text(section));
}

std::string section_text(const Section& section) {
  return json_text(nlohmann::json(section), 1);
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
    return section_in(json, path);
  } catch (const nlohmann::json::exception& e) {
    fail("report", path, " is malformed: ", e.what());
  }
}

}  // namespace versor
