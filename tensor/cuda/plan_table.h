// Plans that were measured on a card: for a convolution, the engine of cuDNN and the values of its
// knobs that were fastest there. `make tune-gpu` writes a file for each card and version of cuDNN
// to tensor/cuda/plans/, the build compiles these files into the library, and what is not in them
// is left to cuDNN's heuristics. Nothing is ever chosen by timing at run time, so bits stay the
// same. A file has lines of words; # begins a comment:
//   card NVIDIA H100 80GB HBM3
//   cudnn 91900
//   conv grad_weight bf16 128 8 8 256 256 3 3 1 1 none 9 17=4 24=130
// The last: pass, precision, N H W I O kh kw stride padding, what follows (none, bias, relu or
// bias+relu), engine, and knob=value for each knob that is not left to cuDNN. Needs no CUDA.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tensor/cuda/conv_key.h"

namespace versor::cuda {

// An engine by its index among those that cuDNN has for such a convolution, and its knobs by type
// (cudnnBackendKnobType_t). Both mean something to one version of cuDNN only.
struct EngineChoice {
  int64_t engine = 0;
  std::map<int64_t, int64_t> knobs;
  auto operator<=>(const EngineChoice&) const = default;
};

// "grad_weight bf16 128 8 8 256 256 3 3 1 1 none" and "9 17=4 24=130".
std::string to_text(const ConvKey& key);
std::string to_text(const EngineChoice& choice);

class PlanTable {
 public:
  PlanTable() = default;
  PlanTable(std::string card, int64_t cudnn) : card_(std::move(card)), cudnn_(cudnn) {}
  // Throws Error "[plans] FILE:LINE: ..." for a line that is not as above or is there twice.
  PlanTable(const std::string& file, const std::string& text);

  bool is_for(const std::string& card, int64_t cudnn) const {
    return card_ == card && cudnn_ == cudnn;
  }
  // Null: leave it to the heuristics. Plans are measured for deterministic kernels and aligned
  // addresses, and are not used for others.
  const EngineChoice* find(const ConvKey& key) const;
  void set(const ConvKey& key, const EngineChoice& choice, const std::string& comment = "");
  void remove(const ConvKey& key) { entries_.erase(to_text(key)); }
  std::string text() const;       // as a file
  std::string file_name() const;  // "nvidia-h100-80gb-hbm3-cudnn91900.txt"

 private:
  struct Entry {
    EngineChoice choice;
    std::string comment;
  };
  std::string card_;
  int64_t cudnn_ = 0;
  std::map<std::string, Entry> entries_;  // by the text of the key
};

struct PlanFile {
  std::string name, text;
};
std::vector<PlanFile> built_in_plans();  // the build makes it from tensor/cuda/plans/*.txt

// The table for a card: the one of `files` that is for it, or an empty one. VERSOR_PLANS=FILE in
// the environment takes that file instead (Error if it is for another card), VERSOR_PLANS=0 none.
PlanTable plans_for(const std::string& card, int64_t cudnn, const std::vector<PlanFile>& files);

}  // namespace versor::cuda
