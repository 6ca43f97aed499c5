// Pictures in one form: see formed_pictures.h.
#include "data/formed_pictures.h"

#include <algorithm>
#include <exception>

#include "data/resize.h"

namespace versor {
namespace {

// action(i) for i in 0..count-1 on all threads. Of the exceptions, that of the smallest i goes on.
template <class Action>
void for_each(int64_t count, const Action& action) {
  std::exception_ptr first;
  int64_t failed = count;
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t i = 0; i < count; ++i) {
    bool wanted = false;
#pragma omp critical(formed_pictures)
    wanted = i < failed;
    if (!wanted) continue;
    try {
      action(i);
    } catch (...) {
#pragma omp critical(formed_pictures)
      if (i < failed) {
        failed = i;
        first = std::current_exception();
      }
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace

FormedPictures::FormedPictures(const PictureSet& set, const ImageForm& form)
    : pictures_(*set.pictures), size_(form.size) {
  for (const auto* part : {&set.train, &set.test, &set.validation})
    order_.insert(order_.end(), part->begin(), part->end());
  check(!order_.empty(), "data", "there are no pictures");
  shape_ = {form.size, form.size, form.channels};
  if (form.size > 0 && form.channels > 0) return;
  std::vector<PictureShape> shapes(order_.size());
  for_each(size(), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    shapes[at] = pictures_.shape(order_[at]);
  });
  if (form.channels == 0)
    shape_.channels =
        std::max_element(shapes.begin(), shapes.end(), [](const auto& a, const auto& b) {
          return a.channels < b.channels;
        })->channels;
  if (form.size > 0) return;
  shape_.height = shapes[0].height;
  shape_.width = shapes[0].width;
  for (size_t i = 1; i < shapes.size(); ++i)
    check(shapes[i].height == shape_.height && shapes[i].width == shape_.width, "data",
          "pictures differ in size: ", pictures_.file(order_[0]), " has ", shape_.width, "x",
          shape_.height, " pixels, ", pictures_.file(order_[i]), " has ", shapes[i].width, "x",
          shapes[i].height, "; --size makes them equal");
}

void FormedPictures::read(int64_t begin, int64_t end, uint8_t* pixels) const {
  for_each(end - begin, [&](int64_t i) {
    const int64_t number = order_[static_cast<size_t>(begin + i)];
    const Bitmap picture = brought_to(pictures_.read(number), size_, shape_.channels);
    check(picture.shape == shape_, "data", pictures_.file(number), " has changed: ", picture.shape,
          " instead of ", shape_);
    std::copy(picture.pixels.begin(), picture.pixels.end(), pixels + i * shape_.bytes());
  });
}

}  // namespace versor
