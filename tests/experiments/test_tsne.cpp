// bin/tsne: both kinds of input give the library's layout, and what is wrong is said in one line.
// The layout itself is tested in test_embedding.cpp.
#include "nn/safetensors.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

Tensor points_of(const std::vector<float>& values, int64_t d) {
  return Tensor::from(values, {static_cast<int64_t>(values.size()) / d, d});
}

}  // namespace

TEST_CASE("t-SNE: bin/tsne reads both kinds of files" * doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::vector<float> values = {0, 0, 1.5f, -2, 0, 0, 3e-4f, 1, 1e20f, 7, 5, 5};
  write_safetensors(folder / "p.safetensors",
                    {{{"codebook.weight", points_of(values, 2)}, {"w", points_of(values, 3)}}, {}});
  write_file(folder / "p.csv", "a, b\r\n0,0\n1.5,-2\n\n-0,0\n 3e-4, 1\n1e20,7\n5,5");
  const auto text = [&](const std::string& options) {
    const Ended ended = run("tsne --iterations 20 --out " + (folder / "y.csv ") + options);
    CAPTURE(ended.err);
    REQUIRE(ended.code == 0);
    CHECK(lines(ended.out).size() == 1);
    return ended.out + read_file(folder / "y.csv");
  };
  const std::string y = text("--threads 1 --input " + (folder / "p.csv"));
  CHECK(contains(y, "6 points, 5 distinct, perplexity 1.33333, largest entropy error "));
  CHECK(contains(y, "\nx,y,copy_of\n"));
  REQUIRE(lines(y).size() == 8);
  CHECK(lines(y)[4] == lines(y)[2]);  // point 2 has point 0's place, and says so
  CHECK(lines(y)[2].ends_with(",0"));
  CHECK(lines(y)[5].ends_with(",3"));
  const auto table = [](const std::string& all) { return all.substr(all.find("x,y")); };
  CHECK(table(text("--threads 2 --input " + (folder / "p.safetensors"))) == table(y));
  CHECK(table(text("--seed 2 --input " + (folder / "p.csv"))) != table(y));
  CHECK(contains(text("--tensor w --input " + (folder / "p.safetensors")), "4 points, 4 distinct"));
}

TEST_CASE("t-SNE: bin/tsne says in one line what is wrong" * doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const auto refused = [&](int code, const std::string& options, const std::string& part) {
    CAPTURE(options);
    const Ended ended = run("tsne " + options, {}, folder / "here");
    CHECK(ended.code == code);
    CHECK(contains(error_line(ended), part));
    CHECK(ended.out.empty());
  };
  const std::string there = " --out y.csv --input p.csv ";
  for (const char* wrong : {"--perplexity 0.5", "--perplexity nan", "--learning-rate 0",
                            "--learning-rate inf", "--iterations -1", "--seed -1", "--threads 0"})
    refused(2, wrong + there, words(wrong)[0]);
  refused(2, "--out y.csv", "--input");
  refused(2, "--input p.csv", "--out");
  refused(2, "--input p.txt --out y.csv", "--input");
  refused(2, "--tensor w" + there, "--tensor");
  refused(1, there, "p.csv");
  refused(1, "--out y.csv --input p.safetensors", "p.safetensors");
  const std::pair<const char*, const char*> contents[] = {
      {"", "p.csv has no points"},   {"x,y\n", "p.csv has no points"},
      {"1,2\n3\n", "p.csv, line 2"}, {"1,2\n3,x\n", "line 2: \"x\" is not a number"},
      {"x,2\n", "line 1: \"x\""},    {"1,1e39\n", "line 1: \"1e39\""},
      {"1,nan\n", "not finite"},     {"1,2\n,3\n", "line 2: \"\""}};
  for (const auto& [content, part] : contents) {
    write_file(folder / "here/p.csv", content);
    refused(1, there, part);
  }
  write_file(folder / "here/p.csv", "1,2\n");
  refused(1, "--input p.csv --out none/y.csv", "none/y.csv");
  write_safetensors(folder / "here/p.safetensors",
                    {{{"w", Tensor::from(std::vector<int32_t>{1}, {1})}}, {}});
  refused(1, "--out y.csv --input p.safetensors", "no tensor \"codebook.weight\"");
  refused(1, "--out y.csv --input p.safetensors --tensor w", "i32 [1] (p.safetensors)");
}

}  // namespace versor::testing
