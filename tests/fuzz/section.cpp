// A section of the report, as JSON: what was read is shown on the page, written as Markdown and
// CSV, and is the same after writing and reading it again.
#include "experiments/report/section.h"

#include "experiments/report/page.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static MemoryFile file, copy;
  file.set(input);
  Section section;
  if (!accepts(file.path(), [&] { section = read_section(file.path()); })) return;
  std::erase_if(section.pictures, [](const Picture& p) { return !p.plot; });  // other files
  const std::string page = report_page("nowhere", {section, section}, {}).html;
  require(page.ends_with("</html>\n"), "the page is whole");
  for (const Table& table : section.tables)
    require(table.markdown().size() >= table.title.size() && !table.csv().empty(),
            "tables are shown");
  copy.set(section_text(section));
  require(section_text(read_section(copy.path())) == section_text(section), "it comes back");
}

}  // namespace

FUZZ_TARGET(section, read)

}  // namespace versor::fuzzing
