// The floor of bin/bench once more, without any of our code: the convolutions of one training step
// (batch 128, D 256) as bare primitives of oneDNN 2.x or 3.x, images in NHWC or in the library's
// own format, whichever is faster. Prints each one, and last "floor <ms>".
//   make bench-peers, or: onednn_floor fp32|bf16 [rounds]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

using namespace dnnl;
using Desc = memory::desc;
using Tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

struct Pass {
  std::string name, implementation;
  int count;  // times per step
  double flops;
  primitive work;
  Arguments arguments;
  std::vector<double> ms = {};
  double median() {
    std::sort(ms.begin(), ms.end());
    return ms[ms.size() / 2];
  }
};

// Memory full of 0.01: what it holds by chance could be denormal numbers, which are slow.
memory filled(const Desc& desc, const engine& e, bool bf16) {
  memory m(desc, e);
  void* data = m.get_data_handle();
  std::fill_n(static_cast<uint32_t*>(data), desc.get_size() / 4, bf16 ? 0x3c243c24 : 0x3c23d70a);
  return m;
}

// Forward, input and weight gradient of x [128,in,size,size] with weights [out,in,k,k], padding 1.
void add(std::vector<Pass>& list, const std::string& layer, int size, int in, int out, int k,
         int stride, std::vector<int> counts, bool bf16, Tag images, const engine& e) {
  const auto type = bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const int n = 128, h = (size + 2 - k) / stride + 1;
  const Desc x({n, in, size, size}, type, images), y({n, out, h, h}, type, images);
  const Desc w({out, in, k, k}, type, Tag::any);
  const Desc dw({out, in, k, k}, memory::data_type::f32, Tag::any);
  const memory::dims s{stride, stride}, p{1, 1};
  const auto how = algorithm::convolution_direct;
  const auto training = prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
  convolution_forward::primitive_desc f(e, training, how, x, w, y, s, p, p);
  convolution_backward_data::primitive_desc d(e, how, x, w, y, s, p, p, f);
  convolution_backward_weights::primitive_desc g(e, how, x, dw, y, s, p, p, f);
#else
  convolution_forward::primitive_desc f({training, how, x, w, y, s, p, p}, e);
  convolution_backward_data::primitive_desc d({how, x, w, y, s, p, p}, e, f);
  convolution_backward_weights::primitive_desc g({how, x, dw, y, s, p, p}, e, f);
#endif
  const double flops = 2.0 * n * h * h * out * in * k * k;
  const auto mem = [&](const Desc& desc) { return filled(desc, e, bf16); };
  list.push_back({layer + " forward", f.impl_info_str(), counts[0], flops, convolution_forward(f),
                  Arguments{{DNNL_ARG_SRC, mem(f.src_desc())},
                            {DNNL_ARG_WEIGHTS, mem(f.weights_desc())},
                            {DNNL_ARG_DST, mem(f.dst_desc())}}});
  list.push_back({layer + " input gradient", d.impl_info_str(), counts[1], flops,
                  convolution_backward_data(d),
                  Arguments{{DNNL_ARG_DIFF_SRC, mem(d.diff_src_desc())},
                            {DNNL_ARG_WEIGHTS, mem(d.weights_desc())},
                            {DNNL_ARG_DIFF_DST, mem(d.diff_dst_desc())}}});
  list.push_back({layer + " weight gradient", g.impl_info_str(), counts[2], flops,
                  convolution_backward_weights(g),
                  Arguments{{DNNL_ARG_SRC, mem(g.src_desc())},
                            {DNNL_ARG_DIFF_WEIGHTS, filled(g.diff_weights_desc(), e, false)},
                            {DNNL_ARG_DIFF_DST, mem(g.diff_dst_desc())}}});
}

int main(int argc, char** argv) try {
  const bool bf16 = argc > 1 && argv[1] == std::string("bf16");
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 9;
  const engine e(engine::kind::cpu, 0);
  stream s(e);
  std::vector<Pass> list;  // each pass twice: plain and own format
  for (Tag images : {Tag::nhwc, Tag::any}) {
    add(list, "image 4x4 3->128", 32, 3, 128, 4, 2, {2, 1, 2}, bf16, images, e);
    add(list, "middle 4x4 128->256", 16, 128, 256, 4, 2, {2, 2, 2}, bf16, images, e);
    add(list, "block 3x3 256->256", 8, 256, 256, 3, 1, {8, 8, 8}, bf16, images, e);
  }
  for (int round = 0; round < rounds; ++round)
    for (Pass& pass : list) {
      const auto start = std::chrono::steady_clock::now();
      pass.work.execute(s, pass.arguments);
      s.wait();
      const auto elapsed = std::chrono::steady_clock::now() - start;
      pass.ms.push_back(std::chrono::duration<double, std::milli>(elapsed).count());
    }
  double floor = 0;
  const size_t half = list.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    Pass& best = list[i].median() < list[i + half].median() ? list[i] : list[i + half];
    std::printf("%-36s %d x %8.3f ms %8.1f GFLOP/s  %-5s %s\n", best.name.c_str(), best.count,
                best.median(), 1e-6 * best.flops / best.median(),
                &best == &list[i] ? "NHWC," : "own,", best.implementation.c_str());
    floor += best.count * best.median();
  }
  const dnnl_version_t* v = dnnl_version();
  std::printf("oneDNN %d.%d.%d, %s\nfloor %.3f\n", v->major, v->minor, v->patch,
              bf16 ? "bf16" : "fp32", floor);
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
