// What a run keeps of some of its epochs: the codebook with the use of every code, and the first
// test images with their reconstructions. Figures 1 to 8 are made from these.
//   <run>/snapshots/epoch-0026.safetensors  codebook.weight [K,D], counts i32 [K]
//                                           (in a hierarchy those of the last level; the top
//                                           level's are top.codebook.weight and top.counts)
//   <run>/snapshots/epoch-0026.png          test images above their reconstructions
#pragma once

#include <string>
#include <vector>

#include "vq/model.h"

namespace versor {

// The state after `epoch` epochs of training; 0 is the untrained one.
struct Snapshot {
  int64_t epoch = 0;
  Tensor codebook;              // [K,D]
  std::vector<int64_t> counts;  // [K] vectors per code in that epoch's training; 0 at epoch 0
  std::string picture;          // path of the PNG
};

// Which epochs are kept: 0 to 5, then 6, 11, 16, ... (the paper's "epoch 25" is the state after
// 26), every 25th, and the last. Apart from the last they do not depend on the length of the run,
// so that a longer run can continue a shorter one.
bool is_kept(int64_t epoch, int64_t epochs);

// images [n,H,W,C], the first of the test set. Changes nothing in the model.
void write_snapshot(const std::string& run_folder, int64_t epoch, VqModel& model,
                    const std::vector<int64_t>& counts, const Tensor& images);

// The epochs of a run's snapshots, ascending; none if it has no snapshots.
std::vector<int64_t> snapshot_epochs(const std::string& run_folder);
// The files of the snapshot of an epoch: the codebook and the picture.
std::vector<std::string> snapshot_files(const std::string& run_folder, int64_t epoch);
// Throws Error naming the file if it is missing or malformed.
Snapshot read_snapshot(const std::string& run_folder, int64_t epoch);

// Writes the first of the images [n,H,W,C] as a PNG: two rows, each above its reconstructions, of
// eight small images, enlarged, or of fewer large ones. Changes nothing in the model.
void draw_reconstructions(const std::string& path, VqModel& model, const Tensor& images);

}  // namespace versor
