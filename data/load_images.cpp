// Sets of images from files: see load_images.h.
#include "data/load_images.h"

#include <algorithm>
#include <cmath>

#include "data/cifar.h"
#include "data/formed_pictures.h"
#include "data/idx.h"
#include "data/image_cache.h"
#include "data/picture_folder.h"
#include "data/resize.h"
#include "data/stl10.h"

namespace versor {
namespace {

constexpr int64_t kMany = 10'000;  // pictures, whose decoding takes a while

// Moves the pictures i with a whole number between i f and (i + 1) f from training to test.
void split(PictureSet& set, double fraction) {
  std::vector<int64_t> train;
  for (size_t i = 0; i < set.train.size(); ++i) {
    const bool test = std::floor(static_cast<double>(i + 1) * fraction) >
                      std::floor(static_cast<double>(i) * fraction);
    (test ? set.test : train).push_back(set.train[i]);
  }
  check(!train.empty() && !set.test.empty(), "data", "of ", set.train.size(), " ", set.name,
        ", none of which are for testing, --test-fraction ", fraction, " leaves ", train.size(),
        " to train and ", set.test.size(), " to test with");
  set.train = std::move(train);
}

// The images of the three parts in `pixels`, which has them in this order.
DatasetPair parts_of(const PictureSet& set, const Tensor& pixels) {
  Dataset all{pixels, {}, set.name, false, set.folder, set.classes};
  for (const auto* part : {&set.train, &set.test, &set.validation})
    for (int64_t i : *part) all.labels.push_back(set.labels[static_cast<size_t>(i)]);
  const auto train = static_cast<int64_t>(set.train.size());
  const auto tested = train + static_cast<int64_t>(set.test.size());
  DatasetPair pair{part(all, 0, train), part(all, train, tested)};
  if (!set.validation.empty()) pair.validation = part(all, tested, all.size());
  return pair;
}

}  // namespace

PictureSet find_images(const ImageSource& source, const std::string& folder) {
  switch (source.kind) {
    case DataKind::cifar10:
      return find_cifar10(folder);
    case DataKind::cifar100:
      return find_cifar100(folder);
    case DataKind::mnist:
      return find_mnist(folder);
    case DataKind::stl10:
      return find_stl10(folder);
    case DataKind::folder:
      return find_pictures(source.folder);
    case DataKind::synthetic:
      break;
  }
  fail("data", "synthetic images are in no files");
}

DatasetPair load_images(const ImageSource& source, const std::string& folder, const ImageForm& form,
                        const std::function<void(const std::string&)>& say) {
  PictureSet set = find_images(source, folder);
  std::string note;
  if (set.test.empty()) {
    split(set, form.test_fraction);
    note = str("the files have no test images: ", set.test.size(), " of ", set.labels.size(),
               ", evenly spread, are test images");
  }
  if (set.skipped > 0)
    note += str(note.empty() ? "" : "; ", set.skipped, " other files were skipped");
  if (say && set.encoded && static_cast<int64_t>(set.labels.size()) >= kMany)
    say(str(set.labels.size(), " pictures, decoded if they are not in the cache"));
  DatasetPair images = parts_of(set, pixels_of(set, form));
  if (say && !note.empty()) say(images.train.title() + ": " + note);
  return images;
}

Dataset in_form(const Dataset& set, const ImageForm& form) {
  const Shape shape = set.images.shape();
  const PictureShape from{shape[1], shape[2], shape[3]};
  const PictureShape to{form.size > 0 ? form.size : from.height,
                        form.size > 0 ? form.size : from.width,
                        form.channels > 0 ? form.channels : from.channels};
  if (from == to) return set;
  Dataset formed = set;
  formed.images = Tensor({set.size(), to.height, to.width, to.channels}, DType::u8);
  const uint8_t* pixels = set.images.data<uint8_t>();
  uint8_t* out = formed.images.data<uint8_t>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < set.size(); ++i) {
    const uint8_t* image = pixels + i * from.bytes();
    const Bitmap picture =
        brought_to({from, {image, image + from.bytes()}}, form.size, to.channels);
    std::copy(picture.pixels.begin(), picture.pixels.end(), out + i * to.bytes());
  }
  return formed;
}

}  // namespace versor
