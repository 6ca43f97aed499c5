// The report as one HTML page that needs no other file: pictures are inside.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/section.h"

namespace versor {

// A part of the paper and its place on the page, whether it has been run or not.
struct PagePart {
  const char* name;    // of the section's file
  const char* title;   // shown where the section is missing
  const char* target;  // the make target that makes it
};

// `sections` in the order of the page, those that are there; `missing` the parts that are not.
std::string report_page(const std::string& results, const std::vector<Section>& sections,
                        const std::vector<PagePart>& missing);

std::string base64(const std::string& bytes);

}  // namespace versor
