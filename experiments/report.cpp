// The report: all sections of the results folder on one self-contained page, which opens with the
// verdict. Parts that have not been run are listed with the command that makes them.
//   command  make report   (make paper runs everything first)
#include <fmt/format.h>

#include "experiments/cli/program.h"
#include "experiments/report/page.h"
#include "experiments/study/errata.h"
#include "tensor/file.h"

using namespace versor;

namespace {

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
    {"table_quantizers", "Quantizers at equal bit-rate", "table_quantizers"}};

}  // namespace

int main(int argc, char** argv) {
  Options app("Puts the tables and figures that are there on one page.");
  std::string results = "results";
  app.add_option("--results", results)->capture_default_str();
  return run_program(app, argc, argv, [&] {
    std::vector<Section> sections;
    std::vector<PagePart> missing;
    for (const PagePart& part : kParts) {
      const std::string path = fmt::format("{}/{}.json", results, part.name);
      if (is_there(path))
        sections.push_back(read_section(path));
      else
        missing.push_back(part);
    }
    sections.push_back(errata());
    write_section(results, sections.back());
    const std::string page = results + "/report.html";
    write_file(page, report_page(results, sections, missing));
    fmt::print("written: {}\n", page);
    return 0;
  });
}
