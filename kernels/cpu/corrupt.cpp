// corrupt: Gaussian or masking noise on a batch.
#include <cstdint>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/philox.hpp"

namespace hourglass::cpu {

void CpuBackend::corrupt(ConstMat clean, Noise noise, NoiseRange range, std::uint64_t seed,
                         const std::int64_t* step, Mat noisy) {
  constexpr std::int64_t groups_for_threads = 2048;
  require(noisy.rows == clean.rows && noisy.columns == clean.columns, "corrupt",
          "an output of the input's shape");
  require(noise.kind != Noise::Kind::none, "corrupt", "Gaussian or masking noise");
  require(step != nullptr, "corrupt", "a number of steps");
  const auto substream = static_cast<std::uint32_t>(*step);
  const std::int64_t size = clean.size();
  pool_.for_ranges(
      (size + 3) / 4, 4, groups_for_threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t g = begin; g < end; ++g) {
          const Philox4 words =
              philox4x32(seed, static_cast<std::uint64_t>(g),
                         static_cast<std::uint32_t>(RandomStream::noise), substream);
          float normal[4];
          normal_pair(words.v[0], words.v[1], normal[0], normal[1]);
          normal_pair(words.v[2], words.v[3], normal[2], normal[3]);
          for (std::int64_t i = 0; i < 4 && 4 * g + i < size; ++i) {
            const float x = clean.data[4 * g + i];
            noisy.data[4 * g + i] = noise.kind == Noise::Kind::mask
                                        ? mask_noise(x, unit_uniform(words.v[i]), noise.amount)
                                        : gaussian_noise(x, normal[i], noise.amount, range);
          }
        }
      });
}

}  // namespace hourglass::cpu
