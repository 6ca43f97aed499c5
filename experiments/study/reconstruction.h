// All test images through the model of a finished run: how similar the reconstructions are (SSIM),
// and the reconstructions themselves as PNG files for tools from outside, such as FID.
#pragma once

#include <string>

#include "experiments/study/runs.h"

namespace versor {

// Mean SSIM (data/ssim.h) of the test images and their reconstructions. Kept in the run's folder,
// and read from there the next time.
double test_ssim(const Run& run, const Dataset& test);

// The same images as folder/00000.png, 00001.png, ... in the order of the test set; does nothing if
// the folder is there already, since it appears whole.
void write_reconstructions(const Run& run, const Dataset& test, const std::string& folder);
// And the originals.
void write_originals(const Dataset& test, const std::string& folder);

}  // namespace versor
