// Wrong calls of differentiable functions: an undefined variable, and what the underlying operation
// refuses, under that operation's name.
#include "autograd/functions.h"
#include "tests/wrong_calls.h"

namespace versor::testing {
namespace {

TEST_CASE("errors: differentiable functions") {
  const Variable x(f32({2, 3})), none;
  check_all({
      {[&] { relu(none); }, "[variable] is undefined"},
      {[&] { none.value(); }, "[variable] is undefined"},
      {[] { Variable{Tensor()}; }, "[variable] needs a defined tensor"},
      {[&] {
         add(x, Variable(f32({3, 2})));
       },
       "[binary] shapes differ: [2,3] and [3,2]"},
      {[&] { add_bias(x, Variable(f32({2}))); },
       "[binary_rows] vector [2] does not match the rows of [2,3]"},
      {[&] { scale_rows(x, Variable(f32({3}))); },
       "[scale_rows] factors [3] do not match the rows of [2,3]"},
      {[&] { scale_columns(x, Variable(f32({2}))); },
       "[binary_rows] vector [2] does not match the rows of [2,3]"},
      {[] {
         normalize_rows(Variable(f32({2, 3, 4})));
       },
       "[sum_axis1] needs rows [R,C], got [2,3,4]"},
      {[&] { reshape(x, {7}); }, "[reshape] [2,3] has 6 elements, [7] has 7"},
      {[&] {
         permute(x, {1, 1});
       },
       "[permute] axes are not a permutation of 0..1 (input [2,3])"},
      {[] {
         mean(Variable(f32({0, 3})));
       },
       "[mean] the mean over no elements is undefined"},
      {[&] {
         linear(x, Variable(f32({4, 5})), {});
       },
       "[matmul] inner sizes 3 and 5 differ (a [2,3], b [4,5] transposed)"},
      {[&] { concat({}); }, "[concat] nothing to join"},
      {[&] {
         mul(x, Variable(f32({2, 2, 2})));
       },
       "[binary] shapes differ: [2,3] and [2,2,2]"},
      {[&] {
         sum(x, {0, -2});
       },
       "[sum] axis -2 of [2,3] does not exist or is given twice"},
      {[&] { mean(x, {2}); }, "[sum] axis 2 of [2,3] does not exist or is given twice"},
      {[&] { max_pool2d(x, 2); }, "[max_pool2d] windows of 2 x 2 do not fit into [2,3]"},
      {[] {
         avg_pool2d(Variable(f32({1, 4, 3, 1})), 4);
       },
       "[avg_pool2d] windows of 4 x 4 do not fit into [1,4,3,1]"},
      {[&] { layer_norm(x, Variable(f32({2})), Variable(f32({2}))); },
       "[group_norm] weight [2] does not match the 3 channels"},
      {[&] { clamp(x, 1, 0); }, "[clamp] the range 1..0 is empty"},
      {[&] { cross_entropy(x, index_tensor({0})); },
       "[cross_entropy] labels [1] do not match the rows of [2,3]"},
      {[&] { cross_entropy(x, f32({2})); }, "[cross_entropy] needs i32, got f32 [2]"},
      {[] { cross_entropy(Variable(f32({6})), index_tensor({0})); },
       "[cross_entropy] needs rows [R,C], got [6]"},
      {[] {
         accuracy(f32({0, 3}), index_tensor({}));
       },
       "[accuracy] labels [0] do not match the rows of [0,3]"},
      {[&] { slice(x, 0, 5); }, "[slice] columns 0..5 are outside [2,3]"},
  });
}

}  // namespace
}  // namespace versor::testing
