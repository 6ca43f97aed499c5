// The pictures of a set in one form and in the order of the parts, decoded on several threads.
#pragma once

#include "data/image_source.h"
#include "data/picture.h"

namespace versor {

class FormedPictures {
 public:
  // Reads the headers where the form depends on them. Throws Error, naming two files, if pictures
  // that are not resized differ in size. The set must live as long.
  FormedPictures(const PictureSet& set, const ImageForm& form);

  int64_t size() const { return static_cast<int64_t>(order_.size()); }
  const PictureShape& shape() const { return shape_; }
  // Decodes the pictures begin..end-1 in the order training, test, validation: pixels
  // [end-begin,height,width,channels]. The same bytes for any number of threads; of several damaged
  // pictures the first is named.
  void read(int64_t begin, int64_t end, uint8_t* pixels) const;

 private:
  const Pictures& pictures_;
  int64_t size_;
  std::vector<int64_t> order_;
  PictureShape shape_;
};

}  // namespace versor
