// Training steps against PyTorch: every case of tests/golden (a float64 twin's, see its README)
// tensor by tensor, through one_step() on the device under test, and through bin/one_step with
// oneDNN and with the reference kernels. The rules are those of tests/golden/compare_one_step.py.
#include <map>
#include <nlohmann/json.hpp>

#include "experiments/run/one_step.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"
#include "vq/names.h"

namespace versor::testing {
namespace {

using nlohmann::json;

// From the root of the repository, where `make test` runs.
std::string golden(const std::string& name) {
  return std::filesystem::absolute("tests/golden/" + name).string();
}

bool is_loss(const std::string& name) {
  return name == "loss" || name == "reconstruction_loss" || name == "codebook_loss" ||
         name == "commitment_loss";
}

bool is_network(const std::string& name) {
  return name.starts_with("encoder.") || name.starts_with("decoder.");
}

double relative_error(const ref::Array& a, const ref::Array& b, double scale = 0) {
  return ref::norm(ref::sub(a, b)) / std::max({ref::norm(b), scale, 1e-30});
}

// The error of w_after - w_before, less what float32 cannot resolve beside w.
double change_error(const ref::Array& before, const ref::Array& a, const ref::Array& b,
                    double steps) {
  const double wrong = ref::norm(ref::sub(a, b)) - 1e-7 * steps * ref::norm(before);
  return wrong <= 0 ? 0 : wrong / ref::norm(ref::sub(b, before));
}

// 3 % of (2/RD) ||s||, s [K,D] the sums of e per code: the codebook's gradient is (2/RD)(n c - s),
// and where the two cancel, what is left is the rounding of s.
double codebook_gradient_scale(const SafetensorsFile& truth) {
  const Tensor &z_e = truth.tensors.at("z_e"), &index = truth.tensors.at("indices");
  const auto e = z_e.to_vector<float>();
  const auto code = index.to_vector<int32_t>();
  const int64_t latent = z_e.dim(1), places = z_e.dim(2) * z_e.dim(3);
  std::map<std::pair<int32_t, int64_t>, double> sums;
  for (size_t i = 0; i < e.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t row = at / (latent * places) * places + at % places;
    sums[{code[static_cast<size_t>(row)], at / places % latent}] += e[i];
  }
  double squares = 0;
  for (const auto& [key, sum] : sums) squares += sum * sum;
  return 3e-2 * 2 / static_cast<double>(e.size()) * std::sqrt(squares);
}

struct Golden {
  json all;
  double values, change;

  Golden() : all(json::parse(read_file(golden("cases.json")))) {
    values = all.at("tolerance").at("values");
    change = all.at("tolerance").at("change");
    REQUIRE(values <= 1e-4);
    REQUIRE(change <= 2e-2);
    REQUIRE(all.at("cases").size() >= 17);
  }

  void compare(const json& c, const SafetensorsFile& found) const {
    const SafetensorsFile truth = read_safetensors(golden(c.at("output")));
    const SafetensorsFile before = read_safetensors(golden(c.at("weights")));
    const double steps = c.at("options").at("steps");
    REQUIRE(truth.tensors.size() > 30);
    for (const auto& [name, expected] : truth.tensors) {
      CAPTURE(name);
      const Tensor& value = found.at(name, "what was found");
      REQUIRE(value.shape() == expected.shape());
      REQUIRE(value.dtype() == expected.dtype());
      const ref::Array a = to_array(value), b = to_array(expected);
      if (name == "indices")
        CHECK((bits_of(value) == bits_of(expected)));
      else if (!is_network(name))
        CHECK(relative_error(a, b,
                             name == "grad.codebook.weight" ? codebook_gradient_scale(truth) : 0) <=
              values);
      if (is_network(name) || name == "codebook.weight")
        CHECK(change_error(to_array(before.at(name, "weights")), a, b, steps) <= change);
      // Not only in norm: a scalar has its own bound, and the total is the sum of its parts.
      if (is_loss(name)) CHECK(a.data[0] == doctest::Approx(b.data[0]).epsilon(values));
    }
    CHECK(found.tensors.size() == truth.tensors.size());
  }
};

OneStepOptions options_of(const json& o) {
  const std::map<std::string, CodebookLearning> owners = {{"ema", CodebookLearning::ema},
                                                          {"gradient", CodebookLearning::gradient},
                                                          {"both", CodebookLearning::both}};
  OneStepOptions options;
  options.estimator = parse_name<Estimator>(o.at("estimator"));
  options.learning = owners.at(o.at("owner"));
  options.beta = o.at("beta");
  options.decay = o.at("decay");
  options.lr = o.at("lr");
  options.steps = o.at("steps");
  if (const json origin = o.value("rotation-origin", json(0.0)); origin == "mean")
    options.estimator.origin = {.mean = true};
  else
    options.estimator.origin = {.coordinate = origin};
  return options;
}

std::string command_of(const json& c, const std::string& out) {
  std::string command = "one_step --threads 1 --precision fp32 --out " + out + " --weights " +
                        golden(c.at("weights")) + " --batch " + golden(c.at("batch"));
  for (const auto& [option, value] : c.at("options").items())
    command += " --" + option + " " + (value.is_string() ? value.get<std::string>() : value.dump());
  return command;
}

}  // namespace

TEST_CASE("golden: one_step() agrees with PyTorch in every case") {
  const Golden cases;
  for (const json& c : cases.all.at("cases")) {
    CAPTURE(c.at("name").get<std::string>());
    const std::string weights = golden(c.at("weights")), batch = golden(c.at("batch"));
    cases.compare(c, one_step(read_safetensors(weights), weights, read_safetensors(batch), batch,
                              options_of(c.at("options")), test_device()));
  }
}

TEST_CASE("golden: bin/one_step agrees with PyTorch in every case" * cpu_only() *
          doctest::skip(without_programs())) {
  const Golden cases;
  const TemporaryFolder folder;
  const std::string out = folder / "out.safetensors";
  for (const char* onednn : {"VERSOR_ONEDNN=1", "VERSOR_ONEDNN=0"}) {
    CAPTURE(onednn);
    for (const json& c : cases.all.at("cases")) {
      CAPTURE(c.at("name").get<std::string>());
      const Ended ended = run(command_of(c, out), {onednn});
      CAPTURE(ended.err);
      REQUIRE(ended.code == 0);
      CHECK(ended.err.empty());
      cases.compare(c, read_safetensors(out));
      std::filesystem::remove(out);
    }
  }
}

// If an option were not passed on, a case that uses the option's default could not show it.
TEST_CASE("golden: bin/one_step hands every option on" * cpu_only() *
          doctest::skip(without_programs())) {
  const Golden cases;
  const TemporaryFolder folder;
  const json* found = nullptr;
  for (const json& c : cases.all.at("cases"))
    if (c.at("name") == "oblong-rotation-ema-5") found = &c;
  REQUIRE(found != nullptr);
  const std::string weights = golden(found->at("weights")), batch = golden(found->at("batch"));
  const std::pair<const char*, json> changes[] = {{"beta", 2.0},
                                                  {"decay", 0.5},
                                                  {"lr", 0.01},
                                                  {"steps", 2},
                                                  {"owner", "gradient"},
                                                  {"estimator", "reflection"},
                                                  {"rotation-origin", -0.5},
                                                  {"rotation-origin", "mean"}};
  for (const auto& [option, value] : changes) {
    CAPTURE(option);
    json c = *found;
    c["options"][option] = value;
    const std::string out = folder / option;
    REQUIRE(run(command_of(c, out)).code == 0);
    const ThreadCount one(1);
    const SafetensorsFile ours =
        one_step(read_safetensors(weights), weights, read_safetensors(batch), batch,
                 options_of(c.at("options")), {});
    const SafetensorsFile theirs = read_safetensors(out);
    REQUIRE(theirs.tensors.size() == ours.tensors.size());
    for (const auto& [name, tensor] : ours.tensors) {
      CAPTURE(name);
      CHECK((bits_of(tensor) == bits_of(theirs.at(name, out))));
    }
  }
}

}  // namespace versor::testing
