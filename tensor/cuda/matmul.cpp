// Matrix product on the GPU by cuBLASLt. Its matrices are column-major: what we call y [M,N] it
// calls an N x M matrix, and that is y^T = op(b)^T op(a)^T. So with the operands swapped nothing
// has to be moved, and its bias, which goes with the rows of its result, goes with our columns, as
// it should. As with convolutions (conv.cpp), an algorithm is chosen once per shape and kept.
#include <map>

#include "tensor/cuda/backend.h"
#include "tensor/cuda/context.h"

namespace versor {
namespace cuda {
namespace {

// All that the choice of an algorithm depends on. y [M,N], op(a) [M,L], op(b) [L,N], or `count` of
// each one after the other; alignments of the addresses in bytes, because a tensor may be a view
// that begins anywhere.
struct MatmulKey {
  int64_t count, M, N, L;
  DType type;
  bool transpose_a, transpose_b, bias, tf32, deterministic;
  uint32_t align_y, align_a, align_b;
  auto operator<=>(const MatmulKey&) const = default;
};

constexpr uint32_t kBiasAlignment = 16;

// The largest power of two that divides the address, up to what cuBLAS asks about.
uint32_t alignment_of(const Tensor& t) {
  constexpr uintptr_t kMost = 256;
  const auto address = reinterpret_cast<uintptr_t>(t.address()) | kMost;
  return static_cast<uint32_t>(address & -address);
}

struct MatmulPlan {
  Handle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation;
  Handle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> first, second, result;
  cublasLtMatmulAlgo_t algorithm{};
};

template <class T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t name, const T& value) {
  CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(operation, name, &value, sizeof(value)));
}

template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t name,
         const T& value) {
  CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(preference, name, &value, sizeof(value)));
}

// Our row-major [rows,columns] as a column-major columns x rows; `count` of them lie side by side.
void describe_matrix(cublasLtMatrixLayout_t* layout, const MatmulKey& k, int64_t rows,
                     int64_t columns) {
  CUBLAS_CHECK(cublasLtMatrixLayoutCreate(layout, k.type == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F,
                                          static_cast<uint64_t>(columns),
                                          static_cast<uint64_t>(rows), columns));
  if (k.count == 1) return;
  const auto count = static_cast<int32_t>(k.count);
  const int64_t stride = rows * columns;
  CUBLAS_CHECK(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                sizeof(count)));
  CUBLAS_CHECK(cublasLtMatrixLayoutSetAttribute(
      *layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride)));
}

// Everything but the algorithm. The first operand is b, the second a.
MatmulPlan describe(const MatmulKey& k) {
  MatmulPlan plan;
  CUBLAS_CHECK(cublasLtMatmulDescCreate(plan.operation.address(),
                                        k.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                        CUDA_R_32F));
  const auto operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, operation(k.transpose_b));
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, operation(k.transpose_a));
  if (k.bias) set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  describe_matrix(plan.first.address(), k, k.transpose_b ? k.N : k.L, k.transpose_b ? k.L : k.N);
  describe_matrix(plan.second.address(), k, k.transpose_a ? k.L : k.M, k.transpose_a ? k.M : k.L);
  describe_matrix(plan.result.address(), k, k.M, k.N);
  return plan;
}

// Asks for the algorithm that should be fastest within our workspace.
void choose_algorithm(MatmulPlan& plan, const MatmulKey& k, cublasLtHandle_t handle) {
  Handle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
  CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(preference.address()));
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{Context::kMatmulWorkspace});
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, k.align_b);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, k.align_a);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, k.align_y);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, k.align_y);
  if (k.deterministic) {  // a long sum may be cut if its parts are added in a fixed order
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
  }
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, plan.operation, plan.first, plan.second, plan.result,
                                     plan.result, preference, 1, &best, &found);
  check(status == CUBLAS_STATUS_SUCCESS && found > 0, "matmul", "cuBLAS has no algorithm for y [",
        k.M, ",", k.N, "] with inner size ", k.L, ": ", cublasLtGetStatusString(status));
  plan.algorithm = best.algo;
}

}  // namespace

struct MatmulPlans {
  std::map<MatmulKey, MatmulPlan> by_key;
};

namespace {

// The plan for a key, made the first time: outside a CUDA graph, like that of a convolution.
const MatmulPlan& find_plan(Context& context, const MatmulKey& key) {
  if (context.matmul_plans == nullptr) context.matmul_plans = std::make_shared<MatmulPlans>();
  auto& plans = context.matmul_plans->by_key;
  if (const auto it = plans.find(key); it != plans.end()) return it->second;
  context.refuse_while_capturing("matmul", "choose an algorithm (run the same work once before)");
  MatmulPlan plan = describe(key);
  choose_algorithm(plan, key, context.blas());
  return plans.emplace(key, std::move(plan)).first->second;
}

}  // namespace
}  // namespace cuda

void CudaBackend::matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a,
                         bool transpose_b, const Tensor& bias) {
  const int64_t M = y.dim(-2), N = y.dim(-1), L = a.dim(transpose_a ? -2 : -1);
  const int64_t count = y.shape().rank() == 2 ? 1 : y.dim(0);
  if (y.numel() == 0) return;
  if (L == 0) {  // an empty sum
    fill(y, 0.f);
    if (bias.defined()) apply_epilogue(y, {bias, false});
    return;
  }
  context_->make_current();
  // The epilogue of cuBLAS reads the bias in vectors, and in y's type; an unaligned one, or one
  // beside bf16, is added afterwards (a bf16 result is then rounded twice).
  const bool is_f32 = y.dtype() == DType::f32;
  const bool fused = bias.defined() && is_f32 && cuda::alignment_of(bias) >= cuda::kBiasAlignment;
  const cuda::MatmulPlan& plan = cuda::find_plan(
      *context_, {count, M, N, L, y.dtype(), transpose_a, transpose_b, fused, is_f32 && uses_tf32(),
                  context_->options.deterministic, cuda::alignment_of(y), cuda::alignment_of(a),
                  cuda::alignment_of(b)});
  if (fused) cuda::set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.address());
  const float alpha = 1.f, beta = 0.f;  // y = alpha * product + beta * y
  CUBLAS_CHECK(cublasLtMatmul(
      context_->blas(), plan.operation, &alpha, b.address(), plan.first, a.address(), plan.second,
      &beta, y.address(), plan.result, y.address(), plan.result, &plan.algorithm,
      context_->matmul_workspace(), cuda::Context::kMatmulWorkspace, stream()));
  cuda::wait_if_asked("matmul", stream());
  if (bias.defined() && !fused) apply_epilogue(y, {bias, false});
}

}  // namespace versor
