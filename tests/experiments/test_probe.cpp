// bin/probe as far as it goes without a GPU: its budget of time, its report, and what it says.
#include <nlohmann/json.hpp>

#include "experiments/bench/probe_report.h"
#include "tensor/backend.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

TEST_CASE("probe: a budget is shared, what is left over goes to later parts") {
  double now = 100;
  const TimeBudget all(60, [&] { return now; });
  const TimeBudget most = all.except(20);
  const TimeBudget first = most.share(4);
  CHECK(first.left() == 10);
  CHECK(first.share_left() == 1);
  now += 4;  // the first part ends early
  CHECK(most.share(3).left() == 12);
  now += 12;
  CHECK(first.is_over());
  CHECK(first.share_left() == 0);
  CHECK_FALSE(most.is_over());
  now += 24;
  CHECK(most.is_over());
  CHECK(most.share(1).is_over());
  CHECK(all.left() == 20);
}

TEST_CASE("probe: the report is a whole file after every row") {
  const TemporaryFolder folder;
  ProbeReport report(folder / "probe.json", {{"program", "probe"}});
  const auto file = [&] { return nlohmann::json::parse(read_file(folder / "probe.json")); };
  CHECK(file() == nlohmann::json{{"program", "probe"}});
  for (int row = 1; row <= 3; ++row) {
    report.add("errors", {{"us", row}});
    CHECK(file()["errors"].size() == row);
    CHECK(file()["errors"].back()["us"] == row);
  }
  report.add("plans", {{"tried", nlohmann::ordered_json::array({"9 17=4", 18.2})}});
  CHECK(file()["plans"][0]["tried"][1] == 18.2);
  CHECK_THROWS(ProbeReport(folder / "no/file", {}));
}

TEST_CASE("probe: without a GPU it says so in one line" * doctest::skip(without_programs())) {
  if (error_of([] { backend_for({DeviceType::cuda, 0}); }).empty()) return;
  for (const char* more : {"", " --items plans --seconds 5", " --device cuda:1"}) {
    const TemporaryFolder folder;
    const Ended ended = run(std::string("probe --json ") + (folder / "out.json") + " --plans " +
                            (folder / "plans") + more);
    CHECK(ended.code == 1);
    CHECK(ended.out.empty());
    REQUIRE(lines(ended.err).size() == 1);
    CHECK(contains(ended.err, "no CUDA device"));
    CHECK(std::filesystem::is_empty(folder.path()));
  }
  CHECK(run("probe --device cpu").code == 2);
  CHECK(run("probe --items errors,speed").code == 2);
}

}  // namespace
}  // namespace versor::testing
