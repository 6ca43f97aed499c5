// The report as one HTML page that needs no other file: pictures, style and script are inside.
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

// The name of the section of runs that belong to no part of the paper.
constexpr const char* kOwnRuns = "own-runs";

struct PageHead {
  std::string title = "The rotation-rescale VQ-VAE on CIFAR-10, reproduced";
  std::string verdict = {};  // one sentence; empty: how much of the paper is reproduced
  int reload_seconds = 0;    // the page loads itself again this often; 0: never
};

struct Page {
  std::string html;                  // whole, with a box in each place where something is damaged
  std::vector<std::string> damaged;  // what could not be read, each naming its file
};

// `sections`: those that exist, in the order of the page; `missing`: the other parts.
Page report_page(const std::string& results, const std::vector<Section>& sections,
                 const std::vector<PagePart>& missing, const PageHead& head = {});

}  // namespace versor
