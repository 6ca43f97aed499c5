// The examples: each ends well, and prints and draws what it promises.
#include <cmath>

#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// Runs an example in a folder of its own and returns what it printed.
std::string printed(const std::string& name, const TemporaryFolder& folder) {
  const Ended ended = run("examples/" + name + " " + folder.path().string());
  CAPTURE(ended.err);
  CHECK(ended.code == 0);
  return ended.out;
}

// The number that follows a text in an output.
double number_after(const std::string& text, const std::string& output) {
  const size_t at = output.rfind(text);
  CAPTURE(text);
  CAPTURE(output);
  REQUIRE(at != std::string::npos);
  return std::stod(output.substr(at + text.size()));
}

}  // namespace

TEST_CASE("examples: a line is fitted" * doctest::skip(without_programs())) {
  const std::string output = printed("fit_line", {});
  CHECK(number_after("y = ", output.substr(0, output.find(';'))) ==
        doctest::Approx(2).epsilon(0.02));
  CHECK(number_after(" x + ", output.substr(0, output.find(';'))) ==
        doctest::Approx(1).epsilon(0.05));
}

TEST_CASE("examples: k-means and moving averages halve the error" *
          doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string output = printed("cells", folder);
  const double first = number_after("first codes              error ", output);
  CHECK(number_after("10 rounds           error ", output) < 0.6 * first);
  CHECK(number_after("200 batches error ", output) < 0.6 * first);
  CHECK(read_file(folder / "cells.svg").ends_with("</svg>\n"));
}

TEST_CASE("examples: the estimators' gradients as arrows" * doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string output = printed("gradient_fields", folder);
  // |g| is the same for all latents of a cell with ste. Rotation and reflection keep |g| |q| / |e|.
  CHECK(number_after("ste         longest gradient ", output) ==
        doctest::Approx(6.25).epsilon(0.01));
  CHECK(number_after("rotation    longest gradient ", output) ==
        number_after("reflection  longest gradient ", output));
  CHECK(contains(read_file(folder / "gradient_fields.svg"), "marker-end"));
}

TEST_CASE("examples: an operation and a quantizer of one's own" *
          doctest::skip(without_programs())) {
  CHECK(number_after("largest relative difference ", printed("own_operation", {})) < 1e-3);
  const std::string output = printed("own_quantizer", {});
  CHECK(number_after("epoch 4  reconstruction loss ", output) <
        0.8 * number_after("epoch 1  reconstruction loss ", output));
}

TEST_CASE("examples: classifiers of points and of images" * doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  CHECK(number_after("accuracy ", printed("spirals", folder)) > 0.97);
  CHECK(read_file(folder / "spirals.svg").ends_with("</svg>\n"));
  CHECK(number_after("test accuracy ", printed("digits", folder)) > 0.95);
}

TEST_CASE("examples: the tutorial's twelve steps" * doctest::skip(without_programs())) {
  const std::string output = printed("tutorial", {});
  CHECK(lines(output).size() == 12);
  // The rotation scales the gradient with |q| / |e|.
  CHECK(number_after(", ratio ", output) ==
        doctest::Approx(number_after("|q|/|e| ", output)).epsilon(1e-3));
  const double latents = number_after("11  ", output);
  CHECK(number_after("its N was ", output) == 1);
  CHECK(number_after(" and is ", output) == doctest::Approx(0.8 + 0.2 * latents).epsilon(0.01));
  CHECK(number_after("reconstruction loss is ", output) <
        0.3 * number_after("of which reconstruction ", output));
}

}  // namespace versor::testing
