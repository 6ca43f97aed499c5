// Keeps decoded images in a file that is mapped into memory, so that pictures are decoded once and
// a set may be larger than memory. The file is in $XDG_CACHE_HOME/versor or ~/.cache/versor and may
// be deleted at any time; one that is damaged, or no longer fits the pictures, is made anew. Where
// it cannot be written, the images are in memory instead. A file is the pixels of all images, then
// a trailer with their shape, a key and a checksum. The key stands for the paths, sizes and times
// of the pictures' files, their split and their form.
#pragma once

#include "data/image_source.h"
#include "data/picture.h"
#include "tensor/tensor.h"

namespace versor {

// The pixels of a set in the order training, test, validation: u8 [M,H,W,C], read-only. Images that
// are read as they are go to memory, unless they are more than half a GiB. Throws Error as
// FormedPictures does.
Tensor pixels_of(const PictureSet& set, const ImageForm& form);

// The file in the cache for this set; "" where there is no place for one.
std::string cache_file(const PictureSet& set, const ImageForm& form);

}  // namespace versor
