// The pictures of a section as HTML: plots as SVG, images with their originals once.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/section.h"

namespace versor {

// A picture whose originals and reconstructions can be shown row by row, once its bytes are on the
// page (pictures_html). id: of the image there.
struct Strips {
  const Picture* picture = nullptr;
  std::string id;
  int64_t width = 0, height = 0;
  int64_t rows = 0;  // of originals, each above its reconstructions

  // Row `row` of the picture's 2 * rows, the originals first, as an SVG.
  std::string row(int64_t row, const std::string& alt) const;
};

// All pictures of a section, images read from `results`. What cannot be read becomes a box that
// names the file, and is added to `damaged`. Pictures that can be shown in rows are added to
// `strips`.
std::string pictures_html(const std::string& results, const Section& section,
                          std::vector<std::string>& damaged, std::vector<Strips>& strips);

// A box that says what could not be read.
std::string damage_html(const std::string& message);

std::string base64(const std::string& bytes);

}  // namespace versor
