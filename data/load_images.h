// Sets of images from files, in one form and cut into parts: the one way in for programs.
#pragma once

#include <functional>

#include "data/dataset.h"
#include "data/image_source.h"
#include "data/picture.h"

namespace versor {

// The images of a source other than DataKind::synthetic. `folder` is where the files of a kind that
// has a name lie. Where the files have no test images, as many of all images as form.test_fraction
// says become test images, evenly spread: every tenth in order for 0.1.
// `say`, if given, gets a sentence on what the user cannot see otherwise: a split that was made
// here, files that were skipped, and that decoding many pictures begins.
// Throws Error, naming the file or folder, for whatever is missing, damaged or of another size.
DatasetPair load_images(const ImageSource& source, const std::string& folder,
                        const ImageForm& form = {},
                        const std::function<void(const std::string&)>& say = {});

// What load_images decodes: the pictures of a source, found but not read.
PictureSet find_images(const ImageSource& source, const std::string& folder);

// A set in memory, brought into another form.
Dataset in_form(const Dataset& set, const ImageForm& form);

}  // namespace versor
