// Feeds a set of images to training and evaluation. All images are copied to the device once, and
// each batch is gathered there by index.
//   Batcher batcher(set, 128, device);
//   const Epoch epoch = batcher.shuffled(rng, e);
//   for (int64_t b = 0; b < epoch.batches(); ++b) step(epoch.batch(b));   // f32 [n,H,W,C]
// The last batch holds the remainder: 50,000 images make 391 batches, the last one of 80.
#pragma once

#include "data/dataset.h"
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

// One pass over all images: an order, cut into batches. Copies share the images and the order.
class Epoch {
 public:
  int64_t batches() const;
  // The indices of the images of batch b: a view, i32 [n] on the device. n is the batch size, or
  // less in the last batch.
  Tensor indices(int64_t b) const;
  // The images of batch b, f32 [n,H,W,C], byte p as p * 2/255 - 1 in [-1,1], augmented.
  Tensor batch(int64_t b) const;
  // The same for b = number[0] (i32 [1]), read on the device, for a step that is recorded once and
  // replayed with other numbers. `count` is the number of images in the batch.
  Tensor batch_at(const Tensor& number, int64_t count) const;
  // The number of images in batch b.
  int64_t batch_count(int64_t b) const;
  const Tensor& order() const { return order_; }  // i32 [M]
  // Takes over the order and the changes of another epoch of the same batcher. The addresses that
  // batch_at() reads stay the same.
  void take(const Epoch& other);

 private:
  friend class Batcher;
  Epoch(Tensor images, Tensor order, Tensor moves, int64_t batch_size)
      : images_(std::move(images)),
        order_(std::move(order)),
        moves_(std::move(moves)),
        batch_size_(batch_size) {}

  Tensor images_;  // u8 [M,H,W,C]
  Tensor order_;   // i32 [M], a permutation of 0..M-1
  Tensor moves_;   // i32 [M,3] for each place in the order (ops::move_images); undefined: none
  int64_t batch_size_;
};

class Batcher {
 public:
  // Throws unless 1 <= batch_size <= set.size() and the shift is smaller than the images.
  Batcher(const Dataset& set, int64_t batch_size, Device device = {},
          const Augmentation& augmentation = {});

  int64_t size() const { return images_.dim(0); }  // M
  int64_t batch_size() const { return batch_size_; }
  int64_t batches() const { return (size() + batch_size_ - 1) / batch_size_; }

  // Every image once, augmented, in an order that depends on rng and epoch alone, so that a resumed
  // run sees the same order as one that was never interrupted. How an image is changed depends on
  // rng, epoch and the image.
  Epoch shuffled(Rng rng, int64_t epoch) const;
  // Every image once as it is, in the order of the set.
  Epoch in_order() const;

 private:
  Epoch epoch_of(const std::vector<int32_t>& order, const std::vector<int32_t>& moves) const;

  Tensor images_;  // u8 [M,H,W,C] on the device
  int64_t batch_size_;
  Augmentation augmentation_;
};

}  // namespace versor
