// One or more training steps from given weights and a given batch, everything written out: the
// proof against PyTorch, tensor by tensor (tests/golden/compare_one_step.py).
//   bin/one_step --weights W --batch X --out O --estimator rotation --steps 5
#include "experiments/run/one_step.h"

#include <omp.h>

#include "experiments/cli/program.h"

using namespace versor;

int main(int argc, char** argv) {
  Options app("Training steps from given weights and batch (safetensors in, safetensors out).");
  std::string weights, batch, out, estimator = "rotation", owner = "ema", precision = "fp32",
                                   device = "cpu";
  OneStepOptions options;
  int threads = 0;
  app.add_option("--weights", weights, "parameters and buffers, PyTorch's shapes")->required();
  app.add_option("--batch", batch, "images [N,C,H,W] in [-1,1]")->required();
  app.add_option("--out", out, "file to write")->required();
  app.add_option("--estimator", estimator)
      ->check(one_of({"ste", "rotation", "reflection", "published", "rotation_unscaled"}))
      ->capture_default_str();
  app.add_option("--owner", owner)
      ->check(one_of({"ema", "gradient", "both"}))
      ->capture_default_str();
  app.add_option("--beta", options.beta)->check(kNotNegative)->capture_default_str();
  app.add_option("--decay", options.decay)->check(kFraction)->capture_default_str();
  app.add_option("--lr", options.lr)->check(kNotNegative)->capture_default_str();
  app.add_option("--steps", options.steps)
      ->check(in_range(1, int64_t{1} << 30))
      ->capture_default_str();
  add_precision_option(app, precision);
  app.add_option("--device", device)->check(kDeviceName)->capture_default_str();
  app.add_option("--threads", threads)->check(in_range(1, 4096));
  return run_program(app, argc, argv, [&] {
    options.activations = activations_of(resolve_precision(precision, parse_device(device)));
    if (threads > 0) omp_set_num_threads(threads);
    options.estimator = parse_estimator(estimator);
    options.owner = owner == "ema" ? Owner::ema : owner == "both" ? Owner::both : Owner::gradient;
    const SafetensorsFile result =
        one_step(read_safetensors(weights), weights, read_safetensors(batch), batch, options,
                 parse_device(device));
    write_safetensors(out, result);
    return 0;
  });
}
