// Runs every test. Quiet about what passes; failures are printed as they come, and the last line is
// always "N passed, N failed" (", N skipped" follows where a filter on the command line or a test's
// own decorator left some out). `bin/run_tests --help` lists doctest's options.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

namespace {

doctest::TestRunStats totals{};

// Keeps the totals of the run; the console reporter that prints failures runs beside it.
struct Totals final : doctest::IReporter {
  explicit Totals(const doctest::ContextOptions&) {}
  void test_run_end(const doctest::TestRunStats& stats) override { totals = stats; }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

DOCTEST_REGISTER_LISTENER("totals", 1, Totals);

}  // namespace

int main(int argc, char** argv) {
  doctest::Context context;
  context.setOption("minimal", true);
  context.applyCommandLine(argc, argv);
  const int status = context.run();
  if (context.shouldExit()) return status;  // --help, --list-test-cases and the like
  const unsigned run = totals.numTestCasesPassingFilters, failed = totals.numTestCasesFailed;
  const unsigned skipped = totals.numTestCases - run;
  std::cout << run - failed << " passed, " << failed << " failed";
  if (skipped > 0) std::cout << ", " << skipped << " skipped";
  std::cout << std::endl;
  return status;
}
