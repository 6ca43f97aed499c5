// Where images come from and in which form they are wanted: what load_images.h needs to know.
#pragma once

#include <string>

#include "tensor/names.h"

namespace versor {

enum class DataKind { cifar10, cifar100, mnist, stl10, synthetic, folder };

// The kinds that have a name; a folder of pictures has its path.
template <>
struct EnumNames<DataKind> {
  static constexpr Named<DataKind> all[] = {{DataKind::cifar10, "cifar10"},
                                            {DataKind::cifar100, "cifar100"},
                                            {DataKind::mnist, "mnist"},
                                            {DataKind::stl10, "stl10"},
                                            {DataKind::synthetic, "synthetic"}};
};

struct ImageSource {
  DataKind kind = DataKind::cifar10;
  std::string folder = {};  // of DataKind::folder: its path; else empty

  bool operator==(const ImageSource&) const = default;
};

// The name of the kind, or the path of the folder.
inline std::string text_of(const ImageSource& source) {
  return source.kind == DataKind::folder ? source.folder : name_of(source.kind);
}

// The kind of this name; any other text is taken as the path of a folder.
inline ImageSource parse_source(const std::string& text) {
  for (const Named<DataKind>& entry : EnumNames<DataKind>::all)
    if (text == entry.name) return {entry.value};
  return {DataKind::folder, text};
}

// The form that images are brought to.
struct ImageForm {
  int64_t size = 0;           // side of the square that they are cropped and resized to; 0: as is
  int64_t channels = 0;       // 1 grey, 3 colour; 0: grey if all of them are grey
  double test_fraction = .1;  // of the images that become the test set if the files have none
};

}  // namespace versor
