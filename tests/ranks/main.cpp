// Runs the tests of this folder on all ranks. Each prints its failures; rank 0 prints last "N
// passed, N failed", where a test that fails on any rank has failed.
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS  // a rank that the launcher ends has not crashed
#include <doctest/doctest.h>

#include <iostream>

#include "tests/ranks/ranks.h"

namespace versor::testing {

namespace {

std::unique_ptr<Communicator> joined;
int64_t passed = 0, failed = 0;  // tests
bool left_early = false;         // a test, on this rank

struct Totals final : doctest::IReporter {
  explicit Totals(const doctest::ContextOptions&) {}
  void test_case_end(const doctest::CurrentTestCaseStats& test) override {
    if (left_early) world().abort(1);  // the others would wait for what it has not done
    if (world().largest(!test.testCaseSuccess) == 0)
      ++passed;
    else
      ++failed;
  }

  void report_query(const doctest::QueryData&) override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_exception(const doctest::TestCaseException&) override { left_early = true; }
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData& assertion) override {
    if (assertion.m_failed && (assertion.m_at & doctest::assertType::is_require)) left_early = true;
  }
  void log_message(const doctest::MessageData&) override {}
};

DOCTEST_REGISTER_LISTENER("totals", 1, Totals);

int run(int argc, char** argv) {
  joined = join_launched();
  doctest::Context context;
  context.setOption("minimal", true);
  context.setOption("no-colors", true);  // mpirun gives the ranks a terminal
  context.applyCommandLine(argc, argv);
  context.run();
  if (world().is_root() && !context.shouldExit())
    std::cout << passed << " passed, " << failed << " failed" << std::endl;
  joined.reset();
  return failed > 0;
}

}  // namespace

Communicator& world() {
  return joined ? *joined : alone();
}

}  // namespace versor::testing

int main(int argc, char** argv) {
  try {
    return versor::testing::run(argc, argv);
  } catch (const versor::Error& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
}
