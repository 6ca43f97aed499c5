// Brings a picture into the form in which a network gets it: square, of a given size, grey or RGB.
#pragma once

#include "data/picture.h"

namespace versor {

// Grey (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B) or RGB with three equal values; itself if it is
// that already.
Bitmap with_channels(Bitmap picture, int64_t channels);

// The middle square of the picture (an odd rest is cut at the right and the bottom), resized to
// size x size, [size,size,channels]. Each output pixel is the mean of the input pixels around its
// centre, weighted by a triangle whose half width is one pixel of the coarser of the two grids:
// bilinear interpolation upwards, antialiased downwards. Columns first, rows then, each rounded to
// a byte; weights are computed in double and rounded to 2^-22, sums are integers, so that the bytes
// are the same on every machine. Pillow's resize(BILINEAR) uses the same filter and precision.
Bitmap cropped_and_resized(const Bitmap& picture, int64_t size);

// The picture in a form: of that many channels, cropped and resized if the size is not 0.
Bitmap brought_to(Bitmap picture, int64_t size, int64_t channels);

}  // namespace versor
