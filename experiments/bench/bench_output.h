// What bin/bench prints, and the same numbers as JSON for --json.
#pragma once

#include <nlohmann/json.hpp>

#include "experiments/bench/convolution_benchmark.h"
#include "experiments/bench/nearest_benchmark.h"
#include "experiments/bench/quantizer_benchmark.h"
#include "experiments/bench/step_benchmark.h"
#include "experiments/bench/step_sweep.h"

namespace versor {

void print(const StepMeasurement& m);
nlohmann::ordered_json to_json(const StepMeasurement& m);

void print_sizes_header();
void print_sizes_row(const StepMeasurement& m);

void print_growth_header(const StepConfiguration& base);
void print_growth_row(const Growth& g);
nlohmann::ordered_json to_json(const Growth& g);

void print_convolutions_header(DType type);
void print_convolutions_row(const ConvolutionMeasurement& m);
nlohmann::ordered_json to_json(const ConvolutionMeasurement& m);

void print_nearest_header(int64_t rows);
void print_nearest_row(const NearestMeasurement& m);
nlohmann::ordered_json to_json(const NearestMeasurement& m);

void print_quantizers_header(const StepConfiguration& what);
void print_quantizers_row(const QuantizerMeasurement& m);
nlohmann::ordered_json to_json(const QuantizerMeasurement& m);

void print(const EpochMeasurement& m);
nlohmann::ordered_json to_json(const EpochMeasurement& m);

}  // namespace versor
