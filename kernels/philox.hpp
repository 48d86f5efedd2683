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
  noise = 3,    ///< substream: step, modulo 2^32
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

/// What the rows of a data set are sorted by where an epoch shuffles them.
HOURGLASS_HD std::uint64_t shuffle_key(std::uint64_t seed, std::int64_t row, std::uint32_t epoch) {
  const Philox4 words = philox4x32(seed, static_cast<std::uint64_t>(row),
                                   static_cast<std::uint32_t>(RandomStream::shuffle), epoch);
  return std::uint64_t{words.v[0]} | std::uint64_t{words.v[1]} << 32;
}

/// Uniform in (0, 1], for logarithms.
HOURGLASS_HD float open_uniform(std::uint32_t bits) {
  return (static_cast<float>(bits >> 8) + 0.5f) * 0x1p-24f;
}

/// Cosine and sine of 2 pi unit_uniform(bits), within 2e-7. In quarters of a turn the angle is the
/// nearest quarter and a rest of at most 1/2, both exact; the polynomials are minimax fits
/// (relative errors 4e-9 and 1e-10). Not cosf and sinf, which would have to reduce a rounded angle.
HOURGLASS_HD void turn(std::uint32_t bits, float& cosine, float& sine) {
  const std::uint32_t nearest = (bits >> 8) + (1u << 21);
  const std::uint32_t quarter = nearest >> 22;
  const float rest =
      static_cast<float>(static_cast<std::int32_t>(nearest & 0x3fffffu) - (1 << 21)) * 0x1p-22f;
  const float square = rest * rest;
  const float s =
      rest *
      (1.57079637f + square * (-0.64596349f + square * (0.079680033f + square * -0.00460165786f)));
  const float c =
      1.0f +
      square * (-1.23370051f +
                square * (0.253669232f + square * (-0.0208601654f + square * 0.000903766544f)));
  const bool odd = (quarter & 1u) != 0;
  cosine = odd ? s : c;
  sine = odd ? c : s;
  if (((quarter + 1u) & 2u) != 0) cosine = -cosine;
  if ((quarter & 2u) != 0) sine = -sine;
}

/// Two standard normal numbers from two words (Box and Muller 1958).
HOURGLASS_HD void normal_pair(std::uint32_t a, std::uint32_t b, float& first, float& second) {
  const float radius = sqrtf(-2.0f * logf(open_uniform(a)));
  float cosine, sine;
  turn(b, cosine, sine);
  first = radius * cosine;
  second = radius * sine;
}

}  // namespace hourglass
