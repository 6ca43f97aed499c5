// Feeds a set of images to training and evaluation. All images are copied to the device once, and
// each batch is gathered there by index:
//   Batcher batcher(set, 128, device);
//   const Epoch epoch = batcher.shuffled(rng, e);
//   for (int64_t b = 0; b < epoch.batches(); ++b) step(epoch.batch(b));   // f32 [n,H,W,C]
// The last batch holds the remainder: 50,000 images make 391 batches, the last one of 80.
// Images that would take more than half of the device's free memory stay on the host and are
// streamed from there (image_stream.h), with the same bits.
#pragma once

#include "data/dataset.h"
#include "data/image_stream.h"
#include "tensor/names.h"
#include "tensor/rng.h"

namespace versor {

// Random changes to each image, drawn anew in each epoch: mirrored (left and right exchanged) with
// probability 1/2, and shifted by up to `shift` pixels in each direction, all shifts equally
// likely. What moves in at a border is the image reflected there.
struct Augmentation {
  bool mirror = false;
  int64_t shift = 0;

  bool none() const { return !mirror && shift == 0; }
};

// Where the batches of a set come from: `resident` from the device's memory, `streamed` from the
// host's; `automatic` decides by the size of the set.
enum class Feeding { automatic, resident, streamed };
template <>
struct EnumNames<Feeding> {
  static constexpr Named<Feeding> all[] = {{Feeding::automatic, "auto"},
                                           {Feeding::resident, "resident"},
                                           {Feeding::streamed, "streamed"}};
};

// One pass over all images: an order, cut into batches. Copies share the images and the order, and
// of a streamed set the batch that was fetched last.
class Epoch {
 public:
  int64_t batches() const;
  // The indices of the images of batch b: a view, i32 [n] on the device. n is the batch size, or
  // less in the last batch.
  Tensor indices(int64_t b) const;
  // The images of batch b, f32 [n,H,W,C], byte p as p * 2/255 - 1 in [-1,1], augmented.
  Tensor batch(int64_t b) const;
  // The labels of batch b, i32 [n] on the device.
  Tensor labels(int64_t b) const;
  // The images for b = number[0] (i32 [1]), read on the device, for a step that is recorded once
  // and replayed with other numbers: all of the batch, which has `count`, or `count` from its image
  // `first` on. fetch(b) comes before each such step, outside of what is recorded: it brings the
  // images of a streamed set to where the step reads them.
  void fetch(int64_t b) const;
  Tensor batch_at(const Tensor& number, int64_t count, int64_t first = 0) const;
  // The number of images in batch b.
  int64_t batch_count(int64_t b) const;
  const Tensor& order() const { return order_; }  // i32 [M]
  // Takes over the order and the changes of another epoch of the same batcher. The addresses that
  // batch_at() reads stay the same.
  void take(const Epoch& other);

 private:
  friend class Batcher;
  Epoch() = default;

  Tensor images_;                        // u8 [M,H,W,C] on the device; undefined: streamed
  std::shared_ptr<ImageStream> stream_;  // null: resident
  std::shared_ptr<const std::vector<int32_t>> labels_;  // [M]
  ImageOrder indices_;                                  // [M], on the host as on the device:
  Tensor order_;                                        // i32 [M], a permutation of 0..M-1
  Tensor moves_;  // i32 [M,3] for each place in the order (ops::move_images); undefined: none
  int64_t batch_size_ = 0;
};

class Batcher {
 public:
  // Throws unless 1 <= batch_size <= set.size() and the shift is smaller than the images.
  Batcher(const Dataset& set, int64_t batch_size, Device device = {},
          const Augmentation& augmentation = {}, Feeding feeding = Feeding::automatic);

  int64_t size() const { return images_.dim(0); }  // M
  int64_t batch_size() const { return batch_size_; }
  int64_t batches() const { return (size() + batch_size_ - 1) / batch_size_; }
  bool streamed() const { return streamed_; }
  // "12 GiB of images, streamed: more than half of the 15 GiB that cuda has free", for users.
  const std::string& feeding() const { return feeding_; }

  // Every image once, augmented, in an order that depends on rng and epoch alone, so that a resumed
  // run sees the same order as one that was never interrupted. How an image is changed depends on
  // rng, epoch and the image.
  Epoch shuffled(Rng rng, int64_t epoch) const;
  // Every image once as it is, in the order of the set.
  Epoch in_order() const;

 private:
  Epoch epoch_of(std::vector<int32_t> order, const std::vector<int32_t>& moves) const;

  Tensor images_;  // u8 [M,H,W,C] on the device, or where the set has them if they are streamed
  std::shared_ptr<const std::vector<int32_t>> labels_;
  int64_t batch_size_;
  Device device_;
  Augmentation augmentation_;
  bool streamed_ = false;
  std::string feeding_;
};

}  // namespace versor
