// The report as one HTML page that needs no other file: pictures are inside.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/section.h"

namespace versor {

// A part of the paper on the page, whether it has been run or not.
struct PagePart {
  const char* name;    // of the section's file
  const char* title;   // shown where the section is missing
  const char* target;  // the make target that makes it
};

// `sections`: those that exist, in the order of the page; `missing`: the other parts.
std::string report_page(const std::string& results, const std::vector<Section>& sections,
                        const std::vector<PagePart>& missing);

std::string base64(const std::string& bytes);

}  // namespace versor
