// Images with labels: a small convolutional network reads digits. They are drawn by a program, each
// at another place, in another grey, under noise; with the files of MNIST it is load_images() of
// data/load_images.h that gives the sets.
//   bin/examples/digits
#include <cstdio>

#include "autograd/functions.h"
#include "data/batcher.h"
#include "nn/adam.h"
#include "nn/layers.h"

using namespace versor;

namespace {

constexpr int kSide = 16;
// Five columns by seven rows; a bit is a pixel, the highest one on the left.
constexpr uint8_t kFont[10][7] = {{14, 17, 19, 21, 25, 17, 14}, {4, 12, 4, 4, 4, 4, 14},
                                  {14, 17, 1, 2, 4, 8, 31},     {31, 2, 4, 2, 1, 17, 14},
                                  {2, 6, 10, 18, 31, 2, 2},     {31, 16, 30, 1, 1, 17, 14},
                                  {6, 8, 16, 30, 17, 17, 14},   {31, 1, 2, 4, 8, 8, 8},
                                  {14, 17, 17, 14, 17, 17, 14}, {14, 17, 17, 15, 1, 2, 12}};

Dataset drawn_digits(int64_t count, Rng rng) {
  std::vector<uint8_t> pixels;
  Dataset set{Tensor({count, kSide, kSide, 1}, DType::u8), {}, "drawn digits"};
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = rng.split(0).block(i);
    const int digit = static_cast<int>(bits[0] % 10), ink = 120 + static_cast<int>(bits[1] % 100);
    const int left = static_cast<int>(3 + bits[2] % 6), top = static_cast<int>(2 + bits[3] % 6);
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x) {
        const int row = y - top, column = x - left;
        const bool on = row >= 0 && row < 7 && column >= 0 && column < 5 &&
                        (kFont[digit][row] >> (4 - column) & 1);
        const auto noise = static_cast<int>(rng.split(1).bits(pixels.size()) % 36);
        pixels.push_back(static_cast<uint8_t>((on ? ink : 0) + noise));
      }
    set.labels.push_back(digit);
  }
  set.images.copy_from_host(pixels.data());
  return set;
}

}  // namespace

int main() {
  const Rng rng(1);
  const Batcher train(drawn_digits(3000, rng.split(0)), 50),
      test(drawn_digits(500, rng.split(1)), 500);
  Sequential reader;  // [N,16,16,1] -> logits [N,10]
  reader.add<Conv2d>("0", ConvOptions{1, 16, 4, 2, 1, Activation::relu}, rng.split(2), Device{});
  reader.add<Conv2d>("2", ConvOptions{16, 32, 4, 2, 1, Activation::relu}, rng.split(3), Device{});
  reader.add<Flatten>("4");
  reader.add<Linear>("5", 4 * 4 * 32, 10, rng.split(4), Device{});
  Adam adam(reader.parameters(), {.lr = 5e-3f});
  for (int64_t e = 0; e < 5; ++e) {
    const Epoch epoch = train.shuffled(rng.split(5), e);
    for (int64_t b = 0; b < epoch.batches(); ++b) {
      adam.zero_grad();
      backward(cross_entropy(reader(Variable(epoch.batch(b))), epoch.labels(b)));
      adam.step();
    }
    const Epoch all = test.in_order();
    const Tensor logits = reader(Variable(all.batch(0))).value();
    std::printf("epoch %lld  test accuracy %.3f\n", static_cast<long long>(e + 1),
                accuracy(logits, all.labels(0)).item());
  }
}
