// adam: one step over the flat buffer of parameters in one pass. Formula: adam_update() of
// math.hpp. Reads 16 and writes 12 bytes a parameter; a square root and a division each, so about
// as long in arithmetic as in second-level cache.
#include <algorithm>
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adam.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <bool decays>
void adam_part(float* parameters, const float* gradients, float* first_moment, float* second_moment,
               const AdamOptions& options, float gradient_scale, float step_size, float decay,
               std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    auto p = hn::LoadU(d, parameters + i);
    auto m = hn::LoadU(d, first_moment + i);
    auto v = hn::LoadU(d, second_moment + i);
    adam_update<decays>(d, p, hn::LoadU(d, gradients + i), m, v, options, gradient_scale, step_size,
                        decay);
    hn::StoreU(p, d, parameters + i);
    hn::StoreU(m, d, first_moment + i);
    hn::StoreU(v, d, second_moment + i);
  }
  if (i < end) {
    const std::int64_t n = end - i;
    auto p = load_first(d, parameters + i, n);
    auto m = load_first(d, first_moment + i, n);
    auto v = load_first(d, second_moment + i, n);
    adam_update<decays>(d, p, load_first(d, gradients + i, n), m, v, options, gradient_scale,
                        step_size, decay);
    store_first(p, d, parameters + i, n);
    store_first(m, d, first_moment + i, n);
    store_first(v, d, second_moment + i, n);
  }
}

/// The parameters [begin, end), of which those before `decayed` shrink.
void adam_range(float* parameters, const float* gradients, float* first_moment,
                float* second_moment, const AdamOptions& options, const OptimiserState& state,
                std::int64_t decayed, std::int64_t begin, std::int64_t end) {
  const std::int64_t middle = std::clamp(decayed, begin, end);
  adam_part<true>(parameters, gradients, first_moment, second_moment, options, state.gradient_scale,
                  state.step_size, state.decay, begin, middle);
  adam_part<false>(parameters, gradients, first_moment, second_moment, options,
                   state.gradient_scale, state.step_size, 0.0f, middle, end);
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(adam_range);

void CpuBackend::adam(std::span<float> parameters, std::span<const float> gradients,
                      std::span<float> first_moment, std::span<float> second_moment,
                      std::int64_t decayed, AdamOptions options, OptimiserState* state,
                      StepFigures figures) {
  constexpr std::int64_t cache_line = 16;  // floats: no line is written by two threads
  constexpr std::int64_t parameters_for_threads = 32768;
  const auto size = static_cast<std::int64_t>(parameters.size());
  require(gradients.size() == parameters.size() && first_moment.size() == parameters.size() &&
              second_moment.size() == parameters.size(),
          "adam", "as many gradients and moments as parameters");
  require(decayed >= 0 && decayed <= size, "adam", "no more decayed parameters than there are");
  require(state != nullptr, "adam", "a state");
  file_figures(figures, state->step);
  advance_adam(*state, options);
  const OptimiserState now = *state;
  if (now.decay == 0.0f) decayed = 0;
  pool_.for_ranges(size, cache_line, parameters_for_threads,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     HWY_DYNAMIC_DISPATCH(adam_range)
                     (parameters.data(), gradients.data(), first_moment.data(),
                      second_moment.data(), options, now, decayed, begin, end);
                   });
}

}  // namespace hourglass::cpu
#endif
