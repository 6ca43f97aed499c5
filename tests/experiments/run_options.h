// Options of a run from a command line, and the config that they make: for the tests of both.
#pragma once

#include <omp.h>

#include <nlohmann/json.hpp>
#include <string>

#include "data/synthetic.h"
#include "experiments/run/option_table.h"
#include "experiments/run/run_config.h"
#include "tests/support.h"

namespace versor::testing {

// Parses as a program does.
inline RunOptions parsed(const std::string& arguments) {
  Options app("");
  RunOptions options;
  add_run_options(app, options);
  app.parse(arguments);
  options.threads = omp_get_max_threads();  // resolve() would set them
  resolve(options);
  return options;
}

inline nlohmann::ordered_json config(const RunOptions& options, int64_t train = 20,
                                     int64_t test = 10) {
  return config_of(options, synthetic_images(train, test));
}

inline std::string usage_error_of(const std::string& arguments) {
  try {
    parsed(arguments);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "";
}

}  // namespace versor::testing
