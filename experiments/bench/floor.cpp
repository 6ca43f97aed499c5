// The convolutions of a step, and their floor on a GPU: see floor.h.
#include "experiments/bench/floor.h"

#include <fmt/format.h>

#include <chrono>

#include "experiments/report/statistics.h"
#include "tensor/ops.h"
#include "tensor/replay.h"

namespace versor {
namespace {

// Random numbers: on constants a GPU draws less power and runs faster than on real data.
Tensor noise(const Shape& shape, DType type, Device device) {
  return ops::cast(ops::uniform(shape, Rng(4), -1.f, 1.f, device), type);
}

constexpr int kLaunches = 20;  // per measurement, so that launch overhead does not count

// Captured work and how long it took.
struct Timed {
  Replay replay;
  std::function<void()> work;
  std::vector<double> seconds;

  void measure(Backend& backend) {
    if (seconds.empty()) {  // warms up: algorithms, memory, capture
      replay.run(work);
      replay.run(work);
    }
    backend.synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kLaunches; ++i) replay.run(work);
    backend.synchronize();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    seconds.push_back(elapsed.count() / kLaunches);
  }
};

class DeviceFloor final : public Floor {
 public:
  DeviceFloor(const std::vector<StepConvolution>& list, int64_t rows, int64_t codes, int64_t latent,
              DType activations, Device device)
      : backend_(backend_for(device)),
        arena_(std::make_shared<MemoryPool::Arena>(backend_.pool())),
        list_(list),
        activations_(activations) {
    std::vector<std::function<void()>> all;
    for (const StepConvolution& c : list) {
      // Each has its own tensors, since in a real step they would not be in the caches either.
      for (int64_t i = 0; i < c.count; ++i) all.push_back(convolution(c, activations, device));
      items_.push_back({Replay(backend_, arena_, true), all.back(), {}});
    }
    const Tensor e = noise({rows, latent}, DType::f32, device);
    const Tensor codebook = noise({codes, latent}, DType::f32, device);
    Tensor scores({rows, codes}, DType::f32, device);
    all.push_back([=, this]() mutable { backend_.matmul(scores, e, codebook, false, true, {}); });
    step_ = std::make_unique<Timed>(Timed{Replay(backend_, arena_, true),
                                          [all] {
                                            for (const auto& work : all) work();
                                          },
                                          {}});
  }

  void measure_once() override {
    for (Timed& item : items_) item.measure(backend_);
    step_->measure(backend_);
  }

  std::vector<FloorItem> items() const override {
    std::vector<FloorItem> items;
    for (size_t i = 0; i < list_.size(); ++i)
      items.push_back({list_[i], median(items_[i].seconds), median(items_[i].seconds),
                       list_[i].bytes(activations_)});
    return items;
  }

  double seconds() const override { return median(step_->seconds); }

 private:
  // One convolution pass on tensors of its own.
  std::function<void()> convolution(const StepConvolution& c, DType type, Device device) {
    const Tensor x = noise({c.N, c.H, c.W, c.I}, type, device);
    const Tensor y = noise({c.N, c.out_h(), c.out_w(), c.O}, type, device);
    const DType weight_type = c.pass == Pass::grad_weight ? DType::f32 : type;
    const Tensor w = noise({c.O, c.k, c.k, c.I}, weight_type, device);
    const Conv2dParams params{c.stride, c.padding};
    switch (c.pass) {
      case Pass::forward:
        return [=, this, out = y]() mutable { backend_.conv2d(out, x, w, {}, params); };
      case Pass::grad_input:
        return [=, this, out = x]() mutable { backend_.conv2d_grad_input(out, y, w, {}, params); };
      case Pass::grad_weight:
        return [=, this, out = w]() mutable { backend_.conv2d_grad_weight(out, x, y, params); };
    }
    fail("floor", "unknown pass");
  }

  Backend& backend_;
  std::shared_ptr<MemoryPool::Arena> arena_;
  std::vector<StepConvolution> list_;
  DType activations_;
  std::vector<Timed> items_;
  std::unique_ptr<Timed> step_;
};

}  // namespace

double StepConvolution::flops() const {
  return 2.0 * static_cast<double>(N * out_h() * out_w() * O) * static_cast<double>(k * k * I);
}

double StepConvolution::bytes(DType activations) const {
  const size_t weight_size = size_of(pass == Pass::grad_weight ? DType::f32 : activations);
  const int64_t images = N * (H * W * I + out_h() * out_w() * O);
  return static_cast<double>(images) * static_cast<double>(size_of(activations)) +
         static_cast<double>(O * k * k * I) * static_cast<double>(weight_size);
}

std::string StepConvolution::name() const {
  const char* names[] = {"forward", "input gradient", "weight gradient"};
  return fmt::format("{} {}x{} {}->{} {}", layer, k, k, I, O, names[static_cast<int>(pass)]);
}

std::vector<StepConvolution> step_convolutions(int64_t batch, int64_t image, int64_t D,
                                               int64_t downsampling) {
  const int64_t half = D / 2, mid = image / 2, low = image / downsampling;
  const auto outer = [&](Pass pass, int64_t count) {
    return StepConvolution{"image", batch, image, image, 3, half, 4, 2, 1, pass, count};
  };
  // encoder.0 and the gradient of decoder.4; decoder.4 (the images need no gradient)
  std::vector<StepConvolution> list{outer(Pass::forward, 2), outer(Pass::grad_input, 1),
                                    outer(Pass::grad_weight, 2)};
  for (Pass pass : {Pass::forward, Pass::grad_input, Pass::grad_weight}) {
    list.push_back({"middle", batch, mid, mid, half, D, 4, 2, 1, pass, 2});  // encoder.2, decoder.2
    for (int64_t size = image / 4; size > low; size /= 2)  // encoder.4 and 6, and the decoder's
      list.push_back({"deeper", batch, size, size, D, D, 4, 2, 1, pass, 2});
    list.push_back({"block", batch, low, low, D, D, 3, 1, 1, pass, 8});  // residual blocks
  }
  return list;
}

std::unique_ptr<Floor> device_floor(const std::vector<StepConvolution>& list, int64_t rows,
                                    int64_t codes, int64_t latent, DType activations,
                                    Device device) {
  return std::make_unique<DeviceFloor>(list, rows, codes, latent, activations, device);
}

}  // namespace versor
