// sgd: one step of stochastic gradient descent with momentum over the flat buffer of parameters.
// Formula: sgd_update() of math.hpp. Reads 12 and writes 8 bytes a parameter, which bound it.
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sgd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void sgd_range(float* parameters, const float* gradients, float* velocity, float momentum,
               float gradient_scale, float step_size, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    auto p = hn::LoadU(d, parameters + i);
    auto v = hn::LoadU(d, velocity + i);
    sgd_update(d, p, hn::LoadU(d, gradients + i), v, momentum, gradient_scale, step_size);
    hn::StoreU(p, d, parameters + i);
    hn::StoreU(v, d, velocity + i);
  }
  if (i < end) {
    const std::int64_t n = end - i;
    auto p = load_first(d, parameters + i, n);
    auto v = load_first(d, velocity + i, n);
    sgd_update(d, p, load_first(d, gradients + i, n), v, momentum, gradient_scale, step_size);
    store_first(p, d, parameters + i, n);
    store_first(v, d, velocity + i, n);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(sgd_range);

void CpuBackend::sgd(std::span<float> parameters, std::span<const float> gradients,
                     std::span<float> velocity, float momentum, OptimiserState* state,
                     StepFigures figures) {
  constexpr std::int64_t cache_line = 16;  // floats: no line is written by two threads
  constexpr std::int64_t parameters_for_threads = 131072;
  require(gradients.size() == parameters.size() && velocity.size() == parameters.size(), "sgd",
          "as many gradients and velocities as parameters");
  require(state != nullptr, "sgd", "a state");
  file_figures(figures, state->step);
  advance_sgd(*state);
  const float gradient_scale = state->gradient_scale;
  const float step_size = state->step_size;
  pool_.for_ranges(static_cast<std::int64_t>(parameters.size()), cache_line, parameters_for_threads,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     HWY_DYNAMIC_DISPATCH(sgd_range)
                     (parameters.data(), gradients.data(), velocity.data(), momentum,
                      gradient_scale, step_size, begin, end);
                   });
}

}  // namespace hourglass::cpu
#endif
