// Measured plans (tensor/cuda/plan_table.h) and the search for them (plan_search.h); no GPU is
// needed.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "tensor/cuda/plan_search.h"
#include "tensor/file.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using cuda::ConvKey;
using cuda::ConvKind;
using cuda::EngineChoice;
using cuda::PlanTable;

const std::string kCard = "NVIDIA H100 80GB HBM3";
const std::string kHead = "card " + kCard + "\ncudnn 91900\n";
const std::string kConv = "conv grad_weight bf16 128 8 8 256 256 3 3 1 1 none";

ConvKey block(ConvKind kind = ConvKind::grad_weight) {
  ConvKey key{kind, 128, 8, 8, 256, 256, 3, 3, 1, 1};
  key.dtype = DType::bf16;
  return key;
}

TEST_CASE("plan table: what is written is found again, for this key alone" * cpu_only()) {
  PlanTable written(kCard, 91900);
  const EngineChoice choice{9, {{17, 4}, {24, 130}}};
  written.set(block(), choice, "18.3 us");
  ConvKey forward = block(ConvKind::forward);
  forward.dtype = DType::f32;
  forward.bias = forward.relu = forward.tf32 = true;
  written.set(forward, {3, {}});
  CHECK(written.file_name() == "nvidia-h100-80gb-hbm3-cudnn91900.txt");
  CHECK(contains(written.text(), kConv + " 9 17=4 24=130  # 18.3 us\n"));
  CHECK(contains(written.text(), "forward tf32 128 8 8 256 256 3 3 1 1 bias+relu 3\n"));
  const PlanTable read("file", written.text());
  CHECK(read.text() == written.text());
  CHECK(read.is_for(kCard, 91900));
  CHECK_FALSE(read.is_for(kCard, 91901));
  CHECK_FALSE(read.is_for("NVIDIA H200", 91900));
  REQUIRE(read.find(block()) != nullptr);
  CHECK(*read.find(block()) == choice);
  CHECK(*read.find(forward) == EngineChoice{3, {}});
  ConvKey other[6];
  std::fill(std::begin(other), std::end(other), block());
  other[0].N = 80;
  other[1].kind = ConvKind::grad_input;
  other[2].dtype = DType::f32;
  other[3].aligned = false;
  other[4].deterministic = false;
  other[5].padding = 0;
  for (const ConvKey& key : other) CHECK(read.find(key) == nullptr);
  ConvKey small = block();
  small.may_compile = false;  // whether the engine may be used is decided where the plan is made
  CHECK(read.find(small) != nullptr);
}

TEST_CASE("plan table: a wrong line is an error with file and line" * cpu_only()) {
  const std::string wrong[] = {"con",
                               "card another",
                               "cudnn 91900",
                               "conv",
                               "conv sideways bf16 128 8 8 256 256 3 3 1 1 none 9",
                               "conv forward fp16 128 8 8 256 256 3 3 1 1 none 9",
                               "conv forward bf16 0 8 8 256 256 3 3 1 1 none 9",
                               "conv forward bf16 128 8 8 256 256 3 3 1 -1 none 9",
                               "conv forward bf16 128 8 8 256 256 3 3 1 1 gelu 9",
                               "conv forward bf16 128 8 8 256 256 3 3 1 1 none",
                               "conv forward bf16 128 8 8 256 256 3 3 1 1 none 9x",
                               "conv forward bf16 128 8 8 256 256 3 3 1 1 none 9 17",
                               "conv forward bf16 128 8 8 256 256 3 3 1 1 none 9 =4",
                               "conv forward bf16 128 8 8 256 256 3 3 1 1 none 9 17=",
                               "conv forward bf16 128 8 8 256 256 3 3 1 1 none 9 17=4 17=8",
                               kConv + " 10"};
  for (const std::string& line : wrong) {
    CAPTURE(line);
    const std::string text = kHead + "\n# a comment\n" + kConv + " 9\n" + line + "\n";
    CHECK(error_of([&] { PlanTable("a/file.txt", text); }).starts_with("[plans] a/file.txt:6: "));
  }
  CHECK(contains(error_of([] { PlanTable("file", kConv + " 9\n"); }), "[plans] file:1: "));
}

TEST_CASE("plan table: the table of the card, or the file that the environment names" *
          cpu_only()) {
  const std::string other = "card NVIDIA H200\ncudnn 91900\n";
  const std::vector<cuda::PlanFile> files{{"other", other}, {"this", kHead + kConv + " 9\n"}};
  CHECK(cuda::plans_for(kCard, 91900, files).find(block()) != nullptr);
  CHECK(cuda::plans_for(kCard, 91800, files).find(block()) == nullptr);
  CHECK(cuda::plans_for("NVIDIA H200", 91900, files).find(block()) == nullptr);
  const TemporaryFolder folder;
  write_file(folder / "plans", kHead + kConv + " 7\n");
  {
    const EnvironmentVariable set("VERSOR_PLANS", (folder / "plans").c_str());
    CHECK(cuda::plans_for(kCard, 91900, files).find(block())->engine == 7);
    CHECK(contains(error_of([&] { cuda::plans_for("NVIDIA H200", 91900, files); }),
                   "is not for NVIDIA H200 with cuDNN 91900"));
  }
  const EnvironmentVariable set("VERSOR_PLANS", "0");
  CHECK(cuda::plans_for(kCard, 91900, files).find(block()) == nullptr);
}

TEST_CASE("plan table: the files of tensor/cuda/plans are the ones that are built in" *
          cpu_only()) {
  size_t count = 0;
  if (std::filesystem::exists("tensor/cuda/plans"))
    for (const auto& entry : std::filesystem::directory_iterator("tensor/cuda/plans"))
      count += entry.path().extension() == ".txt";
  CHECK(cuda::built_in_plans().size() == count);
  for (const cuda::PlanFile& file : cuda::built_in_plans()) {
    const PlanTable table(file.name, file.text);
    CHECK(file.name == "tensor/cuda/plans/" + table.file_name());
    CHECK(file.text == read_file(file.name));
  }
}

TEST_CASE("plan search: values of a knob, far apart first" * cpu_only()) {
  using Values = std::vector<int64_t>;
  CHECK(cuda::values_of({24, 0, 9, 1}) == Values{0, 8, 4, 2, 6, 1, 3, 5, 7, 9});
  CHECK(cuda::values_of({24, 4, 12, 4}) == Values{4, 12, 8});
  CHECK(cuda::values_of({24, 0, 0, 1}) == Values{0});
  CHECK(cuda::values_of({17, 1, 128, 1}) == Values{1, 2, 4, 8, 16, 32, 64, 128});
  CHECK(cuda::values_of({12, 0, 2047, 1}).size() == 11);
  CHECK(cuda::values_of({24, 0, 263, 1}).size() == 264);
}

// Three engines: 0 is as the heuristics say, 1 gets faster with its knobs, 2 must be compiled.
struct FakeEngines {
  cuda::PlanOptions options{{{0, {{2, 1}}}},
                            {{2, true, {{24, 0, 7, 1}}},
                             {0, false, {{2, 0, 3, 1}}},
                             {1, false, {{2, 0, 3, 1}, {17, 1, 8, 1}}}}};
  std::vector<EngineChoice> tried;
  std::optional<double> measure(const EngineChoice& c) {
    tried.push_back(c);
    const auto knob = [&](int64_t type, int64_t otherwise) {
      return c.knobs.contains(type) ? c.knobs.at(type) : otherwise;
    };
    if (c.engine == 0) return knob(2, 1) == 1 ? std::optional(3.0) : std::nullopt;
    if (c.engine == 2) return 9.0;
    // best by knob 2 = 3 together with knob 17 = 4
    return 2.0 - 0.1 * static_cast<double>(knob(2, 0)) +
           0.1 * std::abs(static_cast<double>(knob(17, 1) - 4));
  }
  void search(double most) {
    cuda::search_plans(
        options, [&](const EngineChoice& c) { return measure(c); },
        [&] { return (most - static_cast<double>(tried.size())) / std::max(most, 1.0); });
  }
};

TEST_CASE("plan search: heuristics, engines as they are, then knobs of the fastest" * cpu_only()) {
  FakeEngines all;
  all.search(1000);
  const std::vector<EngineChoice> first{{0, {{2, 1}}}, {1, {}}, {1, {{2, 0}}}, {1, {{2, 2}}}};
  REQUIRE(all.tried.size() > first.size());
  for (size_t i = 0; i < first.size(); ++i) CHECK(all.tried[i] == first[i]);
  const EngineChoice best{1, {{2, 3}, {17, 4}}};
  CHECK(std::ranges::count(all.tried, best) == 1);
  const std::set<EngineChoice> different(all.tried.begin(), all.tried.end());
  CHECK(different.size() == all.tried.size());
  // what must be compiled comes last
  const auto compiled = [](const EngineChoice& c) { return c.engine == 2; };
  const auto begin = std::ranges::find_if(all.tried, compiled);
  CHECK(std::all_of(begin, all.tried.end(), compiled));
  CHECK(all.tried.end() - begin == 9);
}

TEST_CASE("plan search: half of the time is kept for what must be compiled" * cpu_only()) {
  for (double most : {0, 1, 2, 6, 9}) {
    FakeEngines some;
    some.search(most);
    CHECK(some.tried.size() == most);
    if (most < 2) continue;
    CHECK(some.tried[static_cast<size_t>(most / 2 + 0.5)] == EngineChoice{2, {}});
  }
  FakeEngines ready;  // nothing to compile: all of the time
  std::erase_if(ready.options.engines, [](const auto& e) { return e.compiled_at_run_time; });
  ready.search(9);
  CHECK(ready.tried.size() == 9);
}

TEST_CASE("plan search: exact elements are those of the reference" * cpu_only()) {
  ref::Random random(7);
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.name);
    const ref::Array x = random_array(random, c.input()), w = random_array(random, c.weight());
    const ref::Array y = random_array(random, c.output());
    for (ConvKind kind : {ConvKind::forward, ConvKind::grad_input, ConvKind::grad_weight}) {
      ConvKey key{kind, c.N, c.H, c.W, c.I, c.O, c.kh, c.kw, c.stride, c.padding};
      key.bias = key.relu = kind != ConvKind::grad_weight;
      const ref::Array bias = random_array(random, {kind == ConvKind::forward ? c.O : c.I});
      const ref::Array sums = kind == ConvKind::forward ? ref::conv2d(x, w, {}, c.stride, c.padding)
                              : kind == ConvKind::grad_input
                                  ? ref::conv2d_grad_input(y, w, x.shape, c.stride, c.padding)
                                  : ref::conv2d_grad_weight(x, y, w.shape, c.stride, c.padding);
      const Tensor tx = to_tensor(x, {}), tw = to_tensor(w, {}), ty = to_tensor(y, {});
      const Tensor tb = to_tensor(bias, {});
      const cuda::ConvOperands operands{tx.data<float>(), tw.data<float>(), ty.data<float>(),
                                        tb.data<float>()};
      double difference = 0, whole = 1e-30;
      for (int64_t i = 0; i < sums.count(); ++i) {
        const double expected =
            key.relu ? std::max(sums[i] + bias[i % bias.count()], 0.0) : sums[i];
        difference += std::pow(cuda::exact_element(key, operands, i) - expected, 2);
        whole += expected * expected;
      }
      CHECK(std::sqrt(difference / whole) <= 1e-12);
    }
  }
}

}  // namespace
}  // namespace versor::testing
