// Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1,
// 2, 3", SC 2011): any element of any stream is computed on its own, so every backend draws the
// same numbers in any order.
//
// key = the user's seed; counter = {element (64 bits), stream, substream}. A stream is a purpose
// (below), a substream an epoch, a layer or a step.
#pragma once

#include <cstdint>

#include "kernels/math.hpp"

namespace hourglass {

enum class RandomStream : std::uint32_t {
  weights = 1,  ///< substream: layer
  shuffle = 2,  ///< substream: epoch
  noise = 3,    ///< substream: step
  tsne_start = 4,
  tsne_jitter = 5,
  sample = 6  ///< choice of rows for a figure or a score
};

struct Philox4 {
  std::uint32_t v[4];
};

HOURGLASS_HD Philox4 philox4x32(std::uint64_t seed, std::uint64_t element, std::uint32_t stream,
                                std::uint32_t substream) {
  std::uint32_t c0 = static_cast<std::uint32_t>(element);
  std::uint32_t c1 = static_cast<std::uint32_t>(element >> 32);
  std::uint32_t c2 = stream;
  std::uint32_t c3 = substream;
  std::uint32_t k0 = static_cast<std::uint32_t>(seed);
  std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// Uniform in [0, 1) with 24 bits: exact in float32.
HOURGLASS_HD float unit_uniform(std::uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

/// Uniform in (0, 1), for logarithms.
HOURGLASS_HD float open_uniform(std::uint32_t bits) {
  return (static_cast<float>(bits >> 8) + 0.5f) * 0x1p-24f;
}

/// Two standard normal numbers from two words (Box and Muller 1958).
HOURGLASS_HD void normal_pair(std::uint32_t a, std::uint32_t b, float& first, float& second) {
  const float radius = sqrtf(-2.0f * logf(open_uniform(a)));
  const float angle = 6.28318530717958648f * unit_uniform(b);
  first = radius * cosf(angle);
  second = radius * sinf(angle);
}

}  // namespace hourglass
