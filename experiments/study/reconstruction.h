// Reconstructs all test images with the model of a finished run: their similarity (SSIM), and PNG
// files for external tools, such as FID.
#pragma once

#include <string>

#include "experiments/study/runs.h"

namespace versor {

// Mean SSIM (data/ssim.h) of the test images and their reconstructions. The result is stored in the
// run's folder and read from there the next time.
double test_ssim(const Run& run, const Dataset& test);

// Writes the reconstructions as folder/00000.png, 00001.png, ... in the order of the test set. Does
// nothing if the folder exists, because it is only created complete.
void write_reconstructions(const Run& run, const Dataset& test, const std::string& folder);
// The same for the originals.
void write_originals(const Dataset& test, const std::string& folder);

}  // namespace versor
