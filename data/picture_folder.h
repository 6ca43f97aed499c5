// Folders of PNG and JPEG pictures of any size, told apart by their content.
//   pictures/                          pictures/
//     cats/1.png 2.jpg more/3.png        train/cats/1.png ...
//     dogs/1.png                         test/cats/2.png ...
// Subfolders are classes: the first folder below the pictures' own, or below train/, validation/ or
// val/, and test/, which are the parts if there is a train/ with one of the others. Everything else
// in the folder is then left alone. Without these the pictures have no parts yet.
#pragma once

#include "data/picture.h"

namespace versor {

// Files and folders are taken in the order of their names as bytes, so that every machine has the
// same pictures in the same order; names that begin with a point are skipped. Links are followed.
// What is no picture is counted. Without parts all pictures are in `train`; with train/ and
// validation/ but without test/ the latter's are test images.
// Throws Error, naming the folder, if it cannot be read or has no picture.
PictureSet find_pictures(const std::string& folder);

// A single picture, in `train`.
PictureSet find_picture(const std::string& file);

}  // namespace versor
