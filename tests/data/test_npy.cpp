// .npy files: numpy's own bytes, and what is refused. Hostile files: tests/fuzz/npy.cpp.
#include "data/npy.h"
#include "tensor/file.h"
#include "tests/data/temporary_folder.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using namespace std::string_literals;

// What numpy 2 writes: the header is padded with blanks, so that the data begin at byte 128.
std::string saved_by_numpy(const std::string& descr, const std::string& shape,
                           const std::string& data) {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  header.resize(117, ' ');
  return "\x93NUMPY\x01\x00v\x00"s + header + "\n" + data;
}

std::string refusal(const std::string& path, const std::string& content) {
  write_file(path, content);
  const std::string what = error_of([&] { read_npy(path); });
  CHECK(contains(what, path));
  return what;
}

}  // namespace

TEST_CASE("npy: the bytes are numpy's") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.npy";
  write_npy(path, Tensor::from(std::vector<int32_t>{1, -2, 3}, {1, 3}));
  CHECK(read_file(path) ==
        saved_by_numpy("<i4", "(1, 3)", "\x01\0\0\0\xfe\xff\xff\xff\x03\0\0\0"s));
  write_npy(path, Tensor::from(std::vector<int32_t>{5}, {1}));
  CHECK(read_file(path) == saved_by_numpy("<i4", "(1,)", "\x05\0\0\0"s));
}

TEST_CASE("npy: what was written comes back, and other integers too") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.npy";
  for (const Shape& shape : {Shape{}, Shape{6}, Shape{2, 3}, Shape{2, 1, 3, 1}, Shape{0, 3}}) {
    CAPTURE(shape);
    std::vector<int32_t> values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i) * 1000 - 7;
    write_npy(path, Tensor::from(values, shape));
    CHECK(read_npy(path).shape() == shape);
    CHECK(read_npy(path).to_vector<int32_t>() == values);
  }
  const std::string minus_two_and_five = "\xfe\xff\xff\xff\xff\xff\xff\xff\x05\0\0\0\0\0\0\0"s;
  const std::vector<int32_t> expected = {-2, 5};
  write_file(path, saved_by_numpy("<i8", "(2,)", minus_two_and_five));
  CHECK(read_npy(path).to_vector<int32_t>() == expected);
  write_file(path, saved_by_numpy("|i1", "(2,)", "\xfe\x05"));
  CHECK(read_npy(path).to_vector<int32_t>() == expected);
  write_file(path, saved_by_numpy("<u2", "(1,)", "\xfe\xff"));
  CHECK(read_npy(path).to_vector<int32_t>() == std::vector<int32_t>{65534});
}

TEST_CASE("npy: what is refused, and why") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.npy", data(24, '\1');
  CHECK(contains(refusal(path, saved_by_numpy("<f4", "(6,)", data)), "'<f4'"));
  CHECK(contains(refusal(path, saved_by_numpy(">i4", "(6,)", data)), "'>i4'"));
  CHECK(contains(refusal(path, saved_by_numpy("<i4", "(7,)", data)), "24 bytes of data"));
  CHECK(contains(refusal(path, saved_by_numpy("<i4", "(5,)", data)), "24 bytes of data"));
  CHECK(contains(refusal(path, saved_by_numpy("<i8", "(3,)", data)), "no 32-bit integer"));
  CHECK(contains(refusal(path, saved_by_numpy("<i4", "(1, 1, 1, 2, 3)", data)), "5 axes"));
  CHECK(contains(refusal(path, saved_by_numpy("<i4", "(4294967296, 4294967296)", data)),
                 "24 bytes of data"));
  std::string fortran = saved_by_numpy("<i4", "(2, 3)", data);
  fortran.replace(fortran.find("False"), 5, "True ");
  CHECK(contains(refusal(path, fortran), "Fortran order"));
  CHECK(contains(refusal(path, "PNG"), "is not a .npy file"));
  CHECK(contains(refusal(path, saved_by_numpy("<i4", "(6,)", data).substr(0, 60)), "truncated"));
}

}  // namespace versor::testing
