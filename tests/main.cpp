// Runs all tests. Prints only failures, and last always "N passed, N failed", followed by
// ", N skipped" if a filter or a test's decorator left some out. `bin/run_tests --help` lists
// doctest's options. VERSOR_TEST_DEVICE=cuda runs the tests of tensor/, autograd/, nn/ and vq/ on a
// GPU; without one, all of them are skipped, which is not a failure.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include "tensor/backend.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// Parts of the paths of tests that do not use the device under test.
constexpr const char* kOtherFiles[] = {"tests/data/", "tests/experiments/", "tests/fuzz/",
                                       "tests/test_reference"};

// Whether a test does not apply to the device under test; such a test is not even counted as
// skipped.
bool is_for_cpu_only(const doctest::TestCaseData& test) {
  if (!on_other_device()) return false;
  for (const char* part : kOtherFiles)
    if (contains(test.m_file.c_str(), part)) return true;
  return std::string(test.m_test_suite) == kCpuSuite;
}

struct {
  unsigned run = 0, failed = 0, skipped = 0;  // test cases
} totals;

// Records the totals of the run; doctest's console reporter prints the failures.
struct Totals final : doctest::IReporter {
  explicit Totals(const doctest::ContextOptions&) {}
  void test_case_start(const doctest::TestCaseData&) override { ++totals.run; }
  void test_case_skipped(const doctest::TestCaseData& test) override {
    if (!is_for_cpu_only(test)) ++totals.skipped;
  }
  void test_run_end(const doctest::TestRunStats& stats) override {
    totals.failed = stats.numTestCasesFailed;
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
};

DOCTEST_REGISTER_LISTENER("totals", 1, Totals);

// Leaves out tests that do not apply to the device under test, or all if there is no such device.
void choose_tests(doctest::Context& context) {
  if (!on_other_device()) return;
  for (const char* part : kOtherFiles)
    context.addFilter("source-file-exclude", str("*", part, "*").c_str());
  context.addFilter("test-suite-exclude", kCpuSuite);
  const std::string missing = error_of([] { backend_for(test_device()); });
  if (missing.empty()) return;
  // If there is a GPU but it does not work, nothing is skipped.
  if (!missing.starts_with("no CUDA device")) throw Error(missing);
  std::cout << "skipped: " << missing << std::endl;
  context.addFilter("test-case-exclude", "*");
}

int run(int argc, char** argv) {
  doctest::Context context;
  context.setOption("minimal", true);
  context.applyCommandLine(argc, argv);
  choose_tests(context);
  const int status = context.run();
  if (context.shouldExit()) return status;  // --help, --list-test-cases and the like
  std::cout << totals.run - totals.failed << " passed, " << totals.failed << " failed";
  if (totals.skipped > 0) std::cout << ", " << totals.skipped << " skipped";
  std::cout << std::endl;
  return status;
}

}  // namespace
}  // namespace versor::testing

int main(int argc, char** argv) {
  try {
    return versor::testing::run(argc, argv);
  } catch (const versor::Error& error) {  // VERSOR_TEST_DEVICE is not a device
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
}
