// One or more training steps from given weights on a given batch, with every result written out:
// the proof against PyTorch, tensor by tensor (tests/golden/compare_one_step.py).
//   bin/one_step --weights W --batch X --out O --estimator rotation --steps 5
#include "experiments/run/one_step.h"

#include "experiments/cli/program.h"
#include "experiments/run/option_table.h"

using namespace versor;

int main(int argc, char** argv) {
  Options app("Training steps from given weights and batch (safetensors in, safetensors out).");
  std::string weights, batch, out;
  OneStepOptions options;
  RunOptions run;
  run.precision = Precision::fp32;
  app.add_option("--weights", weights, "parameters and buffers, PyTorch's shapes")->required();
  app.add_option("--batch", batch, "images [N,C,H,W] in [-1,1]")->required();
  app.add_option("--out", out, "file to write")->required();
  app.add_option("--steps", options.steps)
      ->check(in_range(1, int64_t{1} << 30))
      ->capture_default_str();
  add_step_options(app, run);
  return run_program(app, argc, argv, [&] {
    resolve(run);
    options.estimator = *run.estimator;
    options.estimator.origin = run.rotation_origin;
    options.learning = *run.learning;
    options.beta = *run.beta;
    options.decay = *run.decay;
    options.lr = *run.lr;
    options.activations = activations_of(run.precision);
    const SafetensorsFile result = one_step(read_safetensors(weights), weights,
                                            read_safetensors(batch), batch, options, run.device);
    write_safetensors(out, result);
    return 0;
  });
}
