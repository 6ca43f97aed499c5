// metrics.csv and its like: every row has the heading's columns, and every whole line is a row.
#include "experiments/run/metrics.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static MemoryFile file;
  file.set(input);
  MetricsTable table;
  if (!accepts(file.path(), [&] { table = read_metrics(file.path()); })) return;
  const auto breaks = std::count(input.begin(), input.end(), '\n');
  require(static_cast<int64_t>(table.rows.size()) == std::max<int64_t>(breaks - 1, 0),
          "every whole line is a row");
  for (const auto& row : table.rows)
    require(row.size() == table.columns.size(), "a row has the heading's columns");
  for (const std::string& column : {table.columns.front(), table.columns.back()})
    accepts(file.path(), [&] {
      require(table.column(column).size() == table.rows.size(), "a value in each row");
    });
}

}  // namespace

FUZZ_TARGET(metrics, read)

}  // namespace versor::fuzzing
