// The safetensors format: a written file reads back equal, other element types are converted, and a
// file that is wrong in any way gives an Error with its name, never a crash. The state of modules:
// test_state_dict.cpp.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>

#include "nn/safetensors.h"
#include "tests/nn/safetensors_text.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

TEST_SUITE_BEGIN(cpu_only());

// The message of reading the file; it must name the file.
std::string reading(const std::string& path) {
  const std::string message = error_of([&] { read_safetensors(path); });
  CHECK(contains(message, path));
  return message;
}

// The same for a file with this header and this many bytes of data.
std::string reading_of(const std::string& header, size_t data_bytes = 16) {
  CAPTURE(header);
  const TemporaryFolder folder;
  write_file(folder / "bad.safetensors", file_of(header, std::string(data_bytes, '\0')));
  return reading(folder / "bad.safetensors");
}

}  // namespace

TEST_CASE("safetensors: all element types and ranks come back bit for bit") {
  const float special[] = {0.f, -0.f, 1.5f, -1e-40f, INFINITY, -INFINITY, NAN, 3.4e38f};
  SafetensorsFile file;
  file.tensors["f32"] = Tensor::from(std::span<const float>(special), {2, 4});
  file.tensors["bf16"] = ops::cast(file.tensors["f32"], DType::bf16).reshape({2, 2, 2, 1});
  file.tensors["i32"] = Tensor::from(std::vector<int32_t>{INT32_MIN, -1, 0, INT32_MAX}, {4});
  file.tensors["u8"] = Tensor::from(std::vector<uint8_t>{0, 1, 255}, {1, 3, 1});
  file.tensors["scalar"] = Tensor::from(std::vector<float>{42}, Shape{});
  file.tensors["empty"] = Tensor(Shape{3, 0});
  file.tensors["a \"quoted\" \\ name/\xc3\xa9"] = Tensor::from(std::vector<float>{7}, {1});
  file.metadata = {{"format", "pt"}, {"epoch", "12"}};
  const TemporaryFolder folder;
  const std::string path = folder / "all.safetensors";
  write_safetensors(path, file);
  const SafetensorsFile back = read_safetensors(path);
  CHECK(back.metadata == file.metadata);
  REQUIRE(back.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    CAPTURE(name);
    const Tensor& found = back.at(name, path);
    CHECK(found.dtype() == tensor.dtype());
    CHECK(found.shape() == tensor.shape());
    CHECK((bits_of(found) == bits_of(tensor)));
  }
  const std::string missing = error_of([&] { back.at("f64", path); });
  CHECK(contains(missing, path));
  CHECK(contains(missing, "\"f64\""));
}

TEST_CASE("safetensors: the file is laid out as the format says") {
  const TemporaryFolder folder;
  const std::string path = folder / "layout.safetensors";
  SafetensorsFile file;
  file.tensors["b"] = Tensor::from(std::vector<float>{1, -2}, {2});
  file.tensors["a"] = Tensor::from(std::vector<uint8_t>{9}, {1});
  write_safetensors(path, file);
  const std::string text = read_file(path);
  uint64_t header = 0;
  std::memcpy(&header, text.data(), 8);
  CHECK(header % 8 == 0);
  REQUIRE(text.size() == 8 + header + 9);
  CHECK(text[8] == '{');
  CHECK(contains(text, R"("dtype":"F32")"));
  CHECK(contains(text, R"("shape":[2])"));
  CHECK(contains(text, R"("data_offsets":[0,8])"));  // the wider type comes first: aligned
  CHECK(contains(text, R"("data_offsets":[8,9])"));
  CHECK(text.substr(8 + header) == std::string("\0\0\x80\x3f\0\0\0\xc0\x09", 9));
  // A file without tensors is valid too.
  write_safetensors(path, {});
  CHECK(read_safetensors(path).tensors.empty());
}

TEST_CASE("safetensors: F64, F16 and I64 are converted") {
  const std::vector<double> doubles = {1.1, -1e300, 5e-324, 0.1};
  const std::vector<uint16_t> halves = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x83ff,
                                        0x8000, 0x7c00, 0xfc00, 0x7e01, 0x3555};
  const std::vector<int64_t> integers = {-5, INT32_MAX, INT32_MIN};
  const std::string header = R"({"d":{"dtype":"F64","shape":[4],"data_offsets":[0,32]},)"
                             R"("h":{"dtype":"F16","shape":[10],"data_offsets":[56,76]},)"
                             R"("i":{"dtype":"I64","shape":[3],"data_offsets":[32,56]}})";
  const TemporaryFolder folder;
  const std::string path = folder / "types.safetensors";
  write_file(path, file_of(header, raw(doubles) + raw(integers) + raw(halves)));
  const SafetensorsFile file = read_safetensors(path);
  CHECK(file.at("d", path).to_vector<float>() == std::vector<float>{1.1f, -INFINITY, 0.f, 0.1f});
  const std::vector<float> h = file.at("h", path).to_vector<float>();
  const std::vector<float> expected = {1.f,  -2.f,     65504.f,   0x1p-24f, -0x1.ff8p-15f,
                                       -0.f, INFINITY, -INFINITY, NAN,      0x1.554p-2f};
  for (size_t i = 0; i < h.size(); ++i) {
    CAPTURE(i);
    if (i == 8) {
      CHECK(std::isnan(h[i]));
      continue;
    }
    CHECK(h[i] == expected[i]);
    CHECK(std::signbit(h[i]) == std::signbit(expected[i]));
  }
  CHECK(file.at("i", path).dtype() == DType::i32);
  CHECK(file.at("i", path).to_vector<int32_t>() == std::vector<int32_t>{-5, INT32_MAX, INT32_MIN});

  const std::vector<int64_t> large = {int64_t{1} << 31};
  write_file(path,
             file_of(R"({"big":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", raw(large)));
  const std::string message = reading(path);
  CHECK(contains(message, "2147483648"));
  CHECK(contains(message, "big"));
}

TEST_CASE("safetensors: tensors need not be aligned") {
  // One byte, then every other type at an odd offset, in a header of odd length.
  const std::vector<float> f32 = {1.5f, -2.f};
  const std::vector<int32_t> i32 = {INT32_MIN, 7};
  const std::vector<double> f64 = {0.1};
  const std::vector<int64_t> i64 = {-5};
  const std::vector<uint16_t> f16 = {0x3c00}, bf16 = {0x3fc0};
  const std::string header = R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("f":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},)"
                             R"("i":{"dtype":"I32","shape":[2],"data_offsets":[9,17]},)"
                             R"("d":{"dtype":"F64","shape":[1],"data_offsets":[17,25]},)"
                             R"("l":{"dtype":"I64","shape":[1],"data_offsets":[25,33]},)"
                             R"("h":{"dtype":"F16","shape":[1],"data_offsets":[33,35]},)"
                             R"("b":{"dtype":"BF16","shape":[1],"data_offsets":[35,37]}})";
  const std::string data =
      "\x09" + raw(f32) + raw(i32) + raw(f64) + raw(i64) + raw(f16) + raw(bf16);
  const TemporaryFolder folder;
  const std::string path = folder / "odd.safetensors";
  for (const char* blanks : {"", " "}) {
    write_file(path, file_of(header + blanks, data));
    const SafetensorsFile file = read_safetensors(path);
    CHECK(file.at("u", path).to_vector<uint8_t>() == std::vector<uint8_t>{9});
    CHECK(file.at("f", path).to_vector<float>() == f32);
    CHECK(file.at("i", path).to_vector<int32_t>() == i32);
    CHECK(file.at("d", path).to_vector<float>() == std::vector<float>{0.1f});
    CHECK(file.at("l", path).to_vector<int32_t>() == std::vector<int32_t>{-5});
    CHECK(file.at("h", path).to_vector<float>() == std::vector<float>{1.f});
    CHECK(ops::cast(file.at("b", path), DType::f32).to_vector<float>() == std::vector<float>{1.5f});
  }
}

TEST_CASE("safetensors: what is not a readable file") {
  const TemporaryFolder folder;
  CHECK(contains(reading(folder / "missing.safetensors"), "No such file"));
  CHECK(contains(reading(folder.path().string()), "is a folder, not a file"));
  reading("/dev/null");

  const std::string fifo = folder / "fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  auto message =
      std::async(std::launch::async, [&] { return error_of([&] { read_safetensors(fifo); }); });
  const bool returned = message.wait_for(std::chrono::seconds(5)) == std::future_status::ready;
  CHECK(returned);  // nobody writes to it, and reading must not wait
  if (!returned) close(open(fifo.c_str(), O_RDWR));  // lets the reader go
  CHECK(contains(message.get(), fifo));
}

TEST_CASE("safetensors: truncated files and impossible lengths of the header") {
  const std::string header = R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  const std::string whole = file_of(header, std::string(16, '\1'));
  const TemporaryFolder folder;
  const std::string path = folder / "cut.safetensors";
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    write_file(path, whole.substr(0, size));
    CHECK_FALSE(reading(path).empty());
  }
  write_file(path, whole);
  CHECK(read_safetensors(path).at("a", path).shape() == Shape{2, 2});
  for (uint64_t length : {uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7, uint64_t{1} << 40,
                          uint64_t{whole.size()}, uint64_t{whole.size()} - 7}) {
    CAPTURE(length);
    write_file(path, raw(std::vector<uint64_t>{length}) + whole.substr(8));
    CHECK(contains(reading(path), "its header would have"));
  }
}

TEST_CASE("safetensors: headers that are not what they should be") {
  for (const char* header :
       {"", "hello", "[1,2]", "3", "null", "\"text\"", "{", R"({"a":)", R"({"a":3})", R"({"a":[]})",
        R"({"a":{}})", "{\"\xff\":{}}", R"({"a":{"dtype":"F32","shape":[1]}})",
        R"({"a":{"dtype":"F32","data_offsets":[0,4]}})",
        R"({"a":{"shape":[1],"data_offsets":[0,4]}})"})
    CHECK_FALSE(reading_of(header).empty());
  CHECK(contains(reading_of(entry("F8_E4M3", "[16]", "[0,16]")), "F8_E4M3"));
  CHECK_FALSE(reading_of(R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})").empty());
  CHECK(contains(reading_of(R"({"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                            R"("w":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}})"),
                 "\"w\" appears twice"));
  for (const char* metadata : {"3", "[]", R"(["a","b"])", R"({"a":3})", R"({"a":{}})", "null"})
    CHECK_FALSE(reading_of(str(R"({"__metadata__":)", metadata, "}")).empty());
  // 100,000 levels deep, closed or not, as the header itself and inside an entry.
  const std::string deep(100'000, '['), close(100'000, ']');
  for (const std::string& text : {deep, deep + close})
    for (const std::string& header :
         {text, R"({"a":)" + text + "}", R"({"__metadata__":)" + text + "}"})
      CHECK_FALSE(reading_of(header).empty());
}

TEST_CASE("safetensors: shapes and offsets that do not fit the data") {
  const auto bad = [](const char* shape, const char* offsets) {
    CAPTURE(shape);
    CAPTURE(offsets);
    const std::string message = reading_of(entry("F32", shape, offsets));
    CHECK(contains(message, ": w: "));  // the tensor, and what is wrong with it
    CHECK((contains(message, "data_offsets") || contains(message, "extent") ||
           contains(message, "the shape needs more")));
  };
  bad("[2,2]", "[0,12]");  // less than the shape needs
  bad("[2,2]", "[0,15]");
  bad("[3]", "[0,16]");    // more
  bad("[2,2]", "[4,20]");  // beyond the file
  bad("[2,2]", "[16,32]");
  bad("[1]", "[18446744073709551612,18446744073709551616]");
  bad("[1]", "[18446744073709551612,0]");  // their difference is 4 modulo 2^64
  bad("[2]", "[8,0]");
  bad("[1]", "[-4,0]");
  bad("[1]", "[0.0,4.0]");
  bad("[1]", "[0]");
  bad("[1]", "[0,4,8]");
  bad("[1]", R"({"0":0,"1":4})");
  bad("[-1]", "[0,4]");
  bad("[-2,-2]", "[0,16]");
  bad("[2.0,2]", "[0,16]");
  bad("[1.5]", "[0,6]");
  bad("[1e30]", "[0,16]");
  bad("[\"4\"]", "[0,16]");
  bad("4", "[0,16]");
  bad("[18446744073709551616]", "[0,0]");
  bad("[4294967296,4294967296]", "[0,0]");   // the product is 0 modulo 2^64
  bad("[4611686018427387905,4]", "[0,16]");  // the product is 4 modulo 2^64
  bad("[4611686018427387904]", "[0,0]");     // times 4 bytes: 0 modulo 2^64
  bad("[1,1,1,1,4]", "[0,16]");              // more axes than a tensor has
}

TEST_CASE("safetensors: tensors that share bytes, and bytes that no tensor has") {
  const auto two = [](const char* first, const char* second) {
    return str(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)", first,
               R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)", second, "}}");
  };
  const TemporaryFolder folder;
  const std::string good = folder / "good.safetensors";
  for (const std::string& header : {two("[0,8]", "[8,16]"), two("[8,16]", "[0,8]")}) {
    write_file(good, file_of(header, std::string(16, '\0')));
    CHECK(read_safetensors(good).tensors.size() == 2);
  }
  CHECK(contains(reading_of(two("[0,8]", "[4,12]"), 12), "b overlaps"));
  CHECK(contains(reading_of(two("[0,8]", "[0,8]"), 8), "overlaps"));
  CHECK(contains(reading_of(two("[0,8]", "[12,20]"), 20), "bytes 8..12"));
  CHECK(contains(reading_of(two("[4,12]", "[12,20]"), 20), "bytes 0..4"));
  CHECK(contains(reading_of(two("[0,8]", "[8,16]"), 20), "last 4 bytes"));
  // A thousand tensors of the same megabyte must not become a gigabyte.
  std::string many = "{";
  for (int i = 0; i < 1000; ++i)
    many += str(i > 0 ? "," : "", '"', i, R"(":{"dtype":"U8","shape":[1048576],)",
                R"("data_offsets":[0,1048576]})");
  MemoryPool& pool = backend_for({}).pool();
  pool.reset_peak();
  const size_t before = pool.peak_bytes();
  CHECK(contains(reading_of(many + "}", 1048576), "overlaps"));
  CHECK(pool.peak_bytes() - before <= 1048576);
}

TEST_CASE("safetensors: a single changed bit anywhere in the data is found") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  SafetensorsFile file;
  file.tensors["w"] = Tensor::from(std::vector<float>{1, 2, 3}, {3});
  file.tensors["n"] = Tensor::from(std::vector<uint8_t>{7}, {1});
  file.metadata = {{"position", "epoch 3"}};
  write_safetensors(path, file);
  const std::string whole = read_file(path);
  for (size_t at = whole.size() - 13; at < whole.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      write_file(path, damaged);
      CHECK(contains(reading(path), "damaged"));
    }
  // Names and metadata count too.
  for (const auto& [from, to] :
       {std::pair("\"w\"", "\"v\""), std::pair("epoch 3", "epoch 4"), std::pair("[3]", "[2]")}) {
    std::string damaged = whole;
    damaged.replace(damaged.find(from), std::strlen(from), to);
    write_file(path, damaged);
    CHECK_FALSE(reading(path).empty());
  }
  write_file(path, whole);
  CHECK(read_safetensors(path).metadata == file.metadata);
}

TEST_CASE("safetensors: the file before is kept under another name where that is asked for") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors", before = folder / "before.safetensors";
  const auto value = [](float x) {
    SafetensorsFile file;
    file.tensors["x"] = Tensor::from(std::vector<float>{x}, {1});
    return file;
  };
  for (float x : {1.f, 2.f, 3.f}) write_safetensors(path, value(x), before);
  CHECK(read_safetensors(path).at("x", path).item() == 3.f);
  CHECK(read_safetensors(before).at("x", before).item() == 2.f);
}

TEST_CASE("safetensors: a failed write leaves the old file whole and nothing else") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors", nowhere = folder / "no/model.safetensors";
  SafetensorsFile small, large;
  small.tensors["a"] = Tensor::from(std::vector<float>{1, 2}, {2});
  large.tensors["a"] = ops::zeros({100'000});
  write_safetensors(path, small);
  const std::string before = read_file(path);
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(folder.path()), {});
  };
  CHECK(files() == 1);
  const std::string message = error_of([&] { write_safetensors(nowhere, small); });
  CHECK(contains(message, nowhere));
  CHECK(contains(message, "No such file"));

  const std::string message_of_full_disk = error_of([&] {
    const FullDisk full(4096);
    write_safetensors(path, large);
  });
  CHECK(contains(message_of_full_disk, path));
  CHECK(read_file(path) == before);
  CHECK(files() == 1);

  SafetensorsFile latin1;
  latin1.metadata = {{"author", "Ren\xe9"}};
  CHECK(contains(error_of([&] { write_safetensors(path, latin1); }), path));
  CHECK(read_file(path) == before);

  std::filesystem::create_directory(folder / "folder");
  CHECK(contains(error_of([&] { write_safetensors(folder / "folder", small); }), "folder"));
  CHECK(files() == 2);
  write_safetensors(path, large);  // and a write that succeeds replaces it
  CHECK(read_safetensors(path).at("a", path).shape() == Shape{100'000});
  CHECK(files() == 2);
}

TEST_SUITE_END();

}  // namespace versor::testing
