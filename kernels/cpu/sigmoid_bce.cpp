// sigmoid_bce: binary cross-entropy from logits with Keras's clip, its gradient and the bias
// gradient in one pass (output_loss-inl.hpp). Formula: bce() of math.hpp. Per element 1
// exponential, 1 division, 1 logarithm: about 45 SIMD operations, so that arithmetic, not memory,
// is the floor.
#include <cstdint>

#include "kernels/cpu/backend.hpp"
#include "kernels/cpu/output_loss.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sigmoid_bce.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/output_loss-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

double sigmoid_bce_rows(const OutputLossRows& pass, LogitRange range, std::int64_t first,
                        std::int64_t end, float* column_sums) {
  const auto make_sum = [range](auto d) { return BceSum<decltype(d)>(d, range); };
  return output_loss_rows(make_sum, pass, first, end, column_sums);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(sigmoid_bce_rows);

double sigmoid_bce_pass(const OutputLossRows& pass, LogitRange range, std::int64_t first,
                        std::int64_t end, float* column_sums) {
  return HWY_DYNAMIC_DISPATCH(sigmoid_bce_rows)(pass, range, first, end, column_sums);
}

void CpuBackend::sigmoid_bce(ConstMat pre, std::span<const float> bias, ConstMat targets,
                             float clip, Mat gradient, std::span<float> bias_gradient,
                             double* loss) {
  const LogitRange range = logit_range(clip);
  output_loss("sigmoid_bce", pool_, scratch_, pre, bias, targets, gradient, bias_gradient, loss,
              [&](const OutputLossRows& pass, std::int64_t first, std::int64_t end, float* sums) {
                return sigmoid_bce_pass(pass, range, first, end, sums);
              });
}

}  // namespace hourglass::cpu
#endif
