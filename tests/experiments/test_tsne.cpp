// bin/tsne: both kinds of input give the library's layout, and errors are reported in one line. The
// layout itself is tested in test_embedding.cpp.
#include "experiments/tsne/embedding.h"
#include "experiments/tsne/points.h"
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
  CHECK(lines(y)[4] == lines(y)[2]);  // point 2 coincides with point 0, and the file says so
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
      {"", "p.csv has no points"},
      {"x,y\n", "p.csv has no points"},
      {"1,2\n3\n", "p.csv, line 2"},
      {"1,2\n3,x\n", "line 2: \"x\" is not a number"},
      {"x,2\n", "line 1: \"x\""},
      {"1,1e39\n", "line 1: \"1e39\""},
      {"1,nan\n", "not finite"},
      {"1,2\n,3\n", "line 2: \"\""},
      {"1,2\n1 2\n", "p.csv, line 2: \"1 2\""},
      {"1,+-2\n", "\"+-2\" is not a number"},
      {"1,2\n1;5,2;5\n", "p.csv, line 2: \"1;5\""},
      {"\xff\xfe"
       "1",
       "p.csv is UTF-16"},
      {"1 2\n1,2\n", "p.csv, line 1: \"1 2\""},
      {",x\n1\n", "p.csv, line 2: there is no number"},
      {",0,x\n1,2,3\n", "p.csv, line 1: \"\""}};
  for (const auto& [content, part] : contents) {
    write_file(folder / "here/p.csv", content);
    refused(1, there, part);
  }
  write_file(folder / "here/p.csv", "1,2\n");
  refused(1, "--input p.csv --out none/y.csv", "none/y.csv");
  write_safetensors(folder / "here/p.safetensors",
                    {{{"w", Tensor::from(std::vector<int32_t>{1}, {1})}}, {}});
  refused(1, "--out y.csv --input p.safetensors",
          "p.safetensors has no tensor \"codebook.weight\"; none of its tensors has two axes");
  refused(1, "--out y.csv --input p.safetensors --tensor w", "i32 [1] (p.safetensors)");
}

TEST_CASE("t-SNE: a model without codebook.weight is asked for one of its matrices" *
          doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.tensors["layers.0.codebook.weight"] = points_of({1, 2, 3, 4, 5, 6}, 2);
  file.tensors["layers.1.codebook.weight"] = points_of({1, 2, 3, 4, 5, 6}, 3);
  file.tensors["bias"] = Tensor::from(std::vector<float>{1}, {1});
  write_safetensors(folder / "m.safetensors", file);
  const Ended ended = run("tsne --out y.csv --input m.safetensors", {}, folder.path().string());
  CHECK(ended.code == 1);
  CHECK(
      contains(error_line(ended),
               "--tensor can name one of those with two axes: layers.0.codebook.weight f32 [3,2], "
               "layers.1.codebook.weight f32 [2,3]\n"));
  for (int i = 0; i < 30; ++i) file.tensors[str("many.", i)] = points_of({1, 2}, 1);
  write_safetensors(folder / "m.safetensors", file);
  CHECK(contains(run("tsne --out y.csv --input m.safetensors", {}, folder.path().string()).err,
                 " and 12 more\n"));
}

TEST_CASE("t-SNE: points as spreadsheets, pandas, R and NumPy write them") {
  const TemporaryFolder folder;
  const std::string path = folder / "p.csv";
  const auto read = [&](const std::string& text) {
    CAPTURE(text);
    write_file(path, text);
    return read_points(path);
  };
  const std::vector<float> expected{0.5f, -1.25f, 3e-4f, 2};
  for (const char* text :
       {"0.5,-1.25\n3e-4,2\n",  // as we write them
        "\xef\xbb\xbf"
        "0.5,-1.25\r\n3e-4,2\r\n",                           // with a byte order mark
        "+0.5,-1.25\n+3e-4,+2\n",                            // with signs
        "0.5 -1.25\n3e-4 2\n", "  0.5   -1.25 \n3e-4  2\n",  // numpy.savetxt
        "# x y\n0.5 -1.25\n3e-4 2\n", "0.5\t-1.25\n3e-4\t2\n",
        " 0.5 ,\t-1.25\n\n3e-4 , 2 ,\n",                        // blanks, a comma at the end
        "0,5;-1,25\n3e-4;2\n", "x;y\n0,5;-1,25\n0,0003;2,0\n",  // a decimal comma
        "0.5;-1.25\n3e-4;2\n", "x,y\n0.5,-1.25\n3e-4,2\n", "\xef\xbb\xbfx,y\n0.5,-1.25\n3e-4,2\n",
        "0,1\n0.5,-1.25\n3e-4,2.0\n",       // pandas: names of columns,
        ",0,1\n0,0.5,-1.25\n1,3e-4,2.0\n",  // and an index
        ",x,y\nfirst,0.5,-1.25\nsecond,3e-4,2\n", "Unnamed: 0,x,y\n0,0.5,-1.25\n1,3e-4,2\n",
        "\"\",\"V1\",\"V2\"\n\"1\",0.5,-1.25\n\"2\",3e-4,2\n"}) {  // R's write.csv
    const Tensor values = read(text).values;
    CHECK(values.shape() == Shape{2, 2});
    CHECK(values.to_vector<float>() == expected);
  }
  // A first line that counts 0, 1, ... is a heading only above decimals, which is reported.
  CHECK(read("0,1\n0.5,-1.25\n").guessed_heading);
  CHECK_FALSE(read(",0,1\n0,0.5,-1.25\n").guessed_heading);
  for (const char* points : {"0,1\n1,0\n", "0,1\n", "1,2\n0.5,0.5\n", "0.0,1.0\n0.5,0.5\n"}) {
    CHECK_FALSE(read(points).guessed_heading);
    CHECK(read(points).values.dim(0) == static_cast<int64_t>(lines(points).size()));
  }
}

TEST_CASE("t-SNE: more points than the memory holds are refused before anything is computed") {
  std::vector<float> values(1 << 22);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  CHECK(tsne_bytes(1 << 22, 1) >= size_t{8} << 44);
  const std::string message = error_of([&] { tsne(points_of(values, 1)); });
  CHECK(contains(message, "4194304 points need 128 TiB of memory, there is "));
}

}  // namespace versor::testing
