// Convolution on the GPU by cuDNN, mirroring tensor/cpu/conv.cpp. Each call describes itself as a
// ConvKey, looks up the plan made for that key (or makes one, see conv_plan.h), and runs it with
// the addresses of its tensors. Where no single kernel does all of it, there are two fallbacks:
// bias and ReLU as a second pass (a bf16 result is then rounded twice), and bf16 by way of f32
// copies.
#include <map>
#include <tuple>

#include "tensor/cuda/backend.h"
#include "tensor/cuda/conv_few_channels.h"
#include "tensor/cuda/conv_plan.h"
#include "tensor/cuda/split.h"
#include "tensor/cuda/tuning.h"

namespace versor {
namespace cuda {

struct ConvPlans {
  PlanTable tuned;
  std::map<ConvKey, std::unique_ptr<ConvPlan>> by_key;  // null: cuDNN has no plan for this key
};

namespace {

// One convolution: two of x [N,H,W,I], weight [O,kh,kw,I] and y [N,H',W',O] are given; the third is
// the result, to which the epilogue is applied.
struct Convolution {
  const char* name;  // for messages
  ConvKind kind;
  Tensor x, weight, y;
  Epilogue epilogue;
  Conv2dParams params;

  Tensor& result() {
    return kind == ConvKind::forward ? y : kind == ConvKind::grad_input ? x : weight;
  }
  bool has_epilogue() const { return epilogue.bias.defined() || epilogue.relu; }
};

bool is_aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.address()) % kFullAlignment == 0;
}

// From this many multiplications and additions on, a compiled kernel is worth the second that its
// compilation takes: it saves one pass over the result, some microseconds.
constexpr double kWorthCompiling = 4e9;

double flops(const Convolution& c) {
  return 2.0 * static_cast<double>(c.y.numel()) *
         static_cast<double>(c.weight.numel() / c.weight.dim(0));
}

ConvKey key_of(const Convolution& c, bool fused, bool tf32, bool deterministic) {
  const Tensor& bias = c.epilogue.bias;
  ConvKey key{c.kind,          c.x.dim(0),      c.x.dim(1),      c.x.dim(2),      c.x.dim(3),
              c.weight.dim(0), c.weight.dim(1), c.weight.dim(2), c.params.stride, c.params.padding};
  key.dtype = c.x.dtype();
  key.bias = fused && bias.defined();
  key.relu = fused && c.epilogue.relu;
  key.tf32 = tf32;
  key.deterministic = deterministic;
  key.may_compile = flops(c) >= kWorthCompiling;
  key.aligned =
      is_aligned(c.x) && is_aligned(c.weight) && is_aligned(c.y) && (!key.bias || is_aligned(bias));
  return key;
}

ConvPlans& plans_of(Context& context) {
  if (context.conv_plans == nullptr) {
    context.conv_plans = std::make_shared<ConvPlans>();
    context.conv_plans->tuned =
        plans_for(context.properties().name, cudnn_version(), built_in_plans());
  }
  return *context.conv_plans;
}

ConvPlans& plans_of(Device gpu) {
  return plans_of(dynamic_cast<CudaBackend&>(backend_for(gpu)).context());
}

// The plan for a key, made the first time; null if there is none. Making one asks the library and
// may compile a kernel, so it cannot be part of a CUDA graph: the first, eager step does it.
const ConvPlan* find_plan(Context& context, const char* name, const ConvKey& key) {
  auto& [tuned, plans] = plans_of(context);
  if (const auto it = plans.find(key); it != plans.end()) return it->second.get();
  context.refuse_while_capturing(name, "choose an algorithm (run the same work once before)");
  auto plan = ConvPlan::build(key, {context.dnn(), nullptr, &tuned});
  if (plan != nullptr) context.reserve_conv_workspace(plan->workspace_bytes());
  return plans.emplace(key, std::move(plan)).first->second.get();
}

// Runs the convolution if cuDNN has a plan for these types, else returns false.
bool run(CudaBackend& backend, Convolution& c, bool tf32) {
  Context& context = backend.context();
  context.make_current();
  const bool deterministic = context.options.deterministic;
  const ConvPlan* plan = nullptr;
  bool fused = c.has_epilogue();
  if (fused) plan = find_plan(context, c.name, key_of(c, true, tf32, deterministic));
  if (plan == nullptr) {
    fused = false;
    plan = find_plan(context, c.name, key_of(c, false, tf32, deterministic));
  }
  if (plan == nullptr) return false;
  void* bias = fused && c.epilogue.bias.defined() ? c.epilogue.bias.address() : nullptr;
  plan->execute(context.dnn(), {c.x.address(), c.weight.address(), c.y.address(), bias},
                context.conv_workspace());
  wait_if_asked(c.name, context.stream());
  if (!fused && c.has_epilogue()) backend.apply_epilogue(c.result(), c.epilogue);
  return true;
}

Tensor like(const Tensor& t, DType dtype) {
  return Tensor(t.shape(), dtype, t.device());
}

Tensor widened(CudaBackend& backend, const Tensor& t) {
  Tensor copy = like(t, DType::f32);
  backend.cast(copy, t);
  return copy;
}

// The same in f32, rounded to bf16 at the end if the result is bf16. Allows TF32 whatever the
// options say: it keeps 10 bits of mantissa and bf16 has 7, so the products are exact all the same.
bool run_widened(CudaBackend& backend, Convolution& c) {
  Convolution wide = c;
  for (Tensor* t : {&wide.x, &wide.weight, &wide.y}) {
    if (t->dtype() == DType::f32) continue;  // the gradient of weights
    *t = t == &wide.result() ? like(*t, DType::f32) : widened(backend, *t);
  }
  if (!run(backend, wide, true)) return false;
  if (c.result().dtype() != DType::f32) backend.cast(c.result(), wide.result());
  return true;
}

// f32 as three TF32 products in one convolution (split.h).
bool run_split(CudaBackend& backend, const Convolution& c) {
  Convolution split = c;
  auto operands = split_operands(backend, c.kind, {c.x, c.weight, c.y});
  std::tie(split.x, split.weight, split.y) = std::tie(operands.x, operands.weight, operands.y);
  return run(backend, split, true);
}

void convolve(CudaBackend& backend, Convolution c) {
  const bool bf16 = c.x.dtype() == DType::bf16;
  const bool tf32 = !bf16 && backend.uses_tf32();
  if (!bf16 && backend.splits_f32() && run_split(backend, c)) return;
  if (run(backend, c, tf32) || (bf16 && run_widened(backend, c))) return;
  fail(c.name, "cuDNN has no algorithm for this with at most ", Context::kMostConvWorkspace >> 20,
       " MiB of scratch memory (x ", c.x.shape(), ", weight ", c.weight.shape(), ", y ",
       c.y.shape(), ", stride ", c.params.stride, ", padding ", c.params.padding, ", ", c.x.dtype(),
       "); CUDNN_LOGLEVEL_DBG=2 makes it say why");
}

}  // namespace

std::vector<ConvKey> planned_convolutions(Device gpu) {
  std::vector<ConvKey> keys;
  for (const auto& [key, plan] : plans_of(gpu).by_key)
    if (plan != nullptr) keys.push_back(key);
  return keys;
}

const PlanTable& plans_in_use(Device gpu) {
  return plans_of(gpu).tuned;
}

void use_plans(Device gpu, PlanTable table) {
  backend_for(gpu).synchronize();
  plans_of(gpu).by_key.clear();
  plans_of(gpu).tuned = std::move(table);
}

}  // namespace cuda

using cuda::ConvKind;

void CudaBackend::conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
                         const Conv2dParams& params) {
  if (y.numel() == 0) return;
  if (epilogue.residual.defined()) {  // in a second pass
    conv2d(y, x, weight, {epilogue.bias, false}, params);
    return binary(y, y, epilogue.residual, epilogue.relu ? BinaryOp::add_relu : BinaryOp::add);
  }
  if (cuda::few_channels::takes(x, weight, y))
    return cuda::few_channels::conv2d(*this, y, x, weight, epilogue, params);
  cuda::convolve(*this, {"conv2d", ConvKind::forward, x, weight, y, epilogue, params});
}

void CudaBackend::conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                                    const Epilogue& epilogue, const Conv2dParams& params) {
  if (dx.numel() == 0) return;
  if (cuda::few_channels::takes(dx, weight, dy))
    return cuda::few_channels::conv2d_grad_input(*this, dx, dy, weight, epilogue, params);
  cuda::convolve(*this,
                 {"conv2d_grad_input", ConvKind::grad_input, dx, weight, dy, epilogue, params});
}

void CudaBackend::conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                                     const Conv2dParams& params) {
  if (dy.numel() == 0) return fill(dweight, 0.f);
  if (cuda::few_channels::takes(x, dweight, dy))
    return cuda::few_channels::conv2d_grad_weight(*this, dweight, x, dy, params);
  cuda::convolve(*this, {"conv2d_grad_weight", ConvKind::grad_weight, x, dweight, dy, {}, params});
}

}  // namespace versor
