// corrupt: masks in every bit, Gaussian noise within a few units in the last place.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr Noise gaussian{Noise::Kind::gaussian, 0.5f};
constexpr Noise mask{Noise::Kind::mask, 0.3f};

class Corrupt : public BackendTest {
 protected:
  struct Case {
    Shape shape;
    Noise noise;
    NoiseRange range = {};
    std::uint64_t seed = 1;
    std::int64_t step = 0;
    std::int64_t clean_skew = 0;
    std::int64_t noisy_skew = 0;
  };

  std::vector<float> compare(const Case& at, const std::vector<float>& values) {
    Trial trial = this->trial(at.seed, at.shape);
    trial.set_skew(at.clean_skew);
    auto clean = trial.input(values);
    trial.set_skew(at.noisy_skew);
    auto noisy = trial.output<float>(at.shape.rows * at.shape.columns);
    trial.set_skew(0);
    auto step = trial.input(std::vector<std::int64_t>{at.step});
    trial.run([&](Backend& backend) {
      backend.corrupt(clean.matrix(at.shape.rows, at.shape.columns), at.noise, at.range, at.seed,
                      step.data(), noisy.matrix(at.shape.rows, at.shape.columns));
    });
    const oracle::Matrix64 want =
        oracle::corrupt(oracle::Matrix64(at.shape.rows, at.shape.columns, values), at.noise,
                        double{at.range.lower}, double{at.range.upper}, at.seed, at.step);
    const bool exact = at.noise.kind == Noise::Kind::mask;
    trial.expect_close("noisy", noisy, want,
                       {.absolute = exact ? 0.0 : 1e-6 * double{at.noise.amount},
                        .relative = exact ? 0.0 : 1.2e-7});
    return noisy.values();
  }
};
HOURGLASS_FOR_EVERY_BACKEND(Corrupt);

TEST_P(Corrupt, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    for (const Noise noise : {gaussian, mask}) {
      ++seed;
      const std::vector<float> clean = Random(seed).uniforms(shape.rows * shape.columns);
      compare({shape,
               noise,
               {},
               seed,
               static_cast<std::int64_t>(seed),
               any_skew(seed, 4),
               any_skew(seed + 500, 4)},
              clean);
    }
  }
}

TEST_P(Corrupt, TakesEveryAlignment) {
  for (const Noise noise : {gaussian, mask}) {
    for (const std::int64_t clean_skew : {0, 1}) {
      for (const std::int64_t noisy_skew : {0, 1}) {
        for (const std::int64_t columns : {1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 66, 67}) {
          const Shape shape{1, columns};
          compare({shape, noise, {}, 3, 1, clean_skew, noisy_skew}, Random(9).uniforms(columns));
        }
      }
    }
  }
}

TEST_P(Corrupt, FollowsSeedAndStep) {
  const Shape shape{7, 37};
  const std::vector<float> clean = Random(2).uniforms(shape.rows * shape.columns);
  for (const Noise noise : {gaussian, mask}) {
    for (const std::uint64_t seed : {0ull, 1ull, 0xffffffffull, 1ull << 32, ~0ull}) {
      for (const std::int64_t step : {0ll, 1ll, 46999ll, (1ll << 31) + 5, (1ll << 32) - 1})
        compare({shape, noise, {}, seed, step}, clean);
    }
    // Only the lower half of the number of steps counts.
    EXPECT_EQ(compare({shape, noise, {}, 5, (1ll << 32) + 7}, clean),
              compare({shape, noise, {}, 5, 7}, clean));
  }
}

TEST_P(Corrupt, LimitsGaussianNoiseAtBothEnds) {
  const Shape shape{20, 33};
  const std::vector<float> clean = Random(3).uniforms(shape.rows * shape.columns);
  for (const NoiseRange range : {NoiseRange{-0.25f, 0.75f}, NoiseRange{-0.25f, infinity},
                                 NoiseRange{-infinity, 0.75f}, NoiseRange{0.0f, 1.0f}}) {
    const std::vector<float> noisy = compare({shape, gaussian, range, 4, 5}, clean);
    const auto [least, most] = std::minmax_element(noisy.begin(), noisy.end());
    EXPECT_TRUE(std::isinf(range.lower) ? *least < -0.5f : *least == range.lower);
    EXPECT_TRUE(std::isinf(range.upper) ? *most > 1.25f : *most == range.upper);
  }
  // What is not masked keeps its value, whatever the range.
  compare({shape, mask, {0.4f, 0.6f}, 4, 5}, clean);
}

TEST_P(Corrupt, MasksNothingAndEverything) {
  const Shape shape{9, 31};
  const std::vector<float> clean = Random(5).normals(shape.rows * shape.columns, 1.0, 10.0);
  EXPECT_EQ(compare({shape, {Noise::Kind::mask, 0.0f}}, clean), clean);
  EXPECT_EQ(compare({shape, {Noise::Kind::mask, 1.0f}}, clean),
            std::vector<float>(clean.size(), 0.0f));
  EXPECT_EQ(compare({shape, {Noise::Kind::gaussian, 0.0f}}, clean), clean);
  // The least share of the values: those whose 24 bits are 0.
  const std::vector<float> one(1 << 16, 1.0f);
  for (const float probability : {0x1p-24f, 0x1.8p-20f, 0x1p-10f, 0.9999999f})
    compare({{256, 256}, {Noise::Kind::mask, probability}}, one);
}

TEST_P(Corrupt, KeepsNanAndInfinity) {
  const Shape shape{3, 33};
  std::vector<float> clean = Random(6).uniforms(shape.rows * shape.columns);
  for (const std::size_t i : {std::size_t{0}, std::size_t{33}, clean.size() - 1})
    clean[i] = std::numeric_limits<float>::quiet_NaN();
  clean[5] = infinity;
  clean[6] = -infinity;
  for (const NoiseRange range : {NoiseRange{}, NoiseRange{0.0f, 1.0f}}) {
    const std::vector<float> noisy = compare({shape, gaussian, range}, clean);
    EXPECT_TRUE(std::isnan(noisy[0]) && std::isnan(noisy[33]) && std::isnan(noisy.back()));
    EXPECT_EQ(noisy[5], range.upper);
    EXPECT_EQ(noisy[6], range.lower);
  }
  compare({shape, mask}, clean);
}

// The tails of the noise, and radii near 0, where the logarithm's argument is near 1.
TEST_P(Corrupt, IsAccurateOverMuchNoise) {
  const Shape shape{emulated() ? 16 : 512, 1024};
  const std::vector<float> clean(static_cast<std::size_t>(shape.rows * shape.columns), 0.0f);
  for (const std::uint64_t seed : {1u, 2u, 3u})
    compare({shape, {Noise::Kind::gaussian, 1.0f}, {}, seed}, clean);
}

TEST_P(Corrupt, RefusesWhatDoesNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<std::int64_t> step(backend(), 1);
  const auto call = [&](Shape noisy, Noise noise) {
    backend().corrupt({memory.data(), 3, 4}, noise, {}, 1, step.data(),
                      {memory.data() + 32, noisy.rows, noisy.columns});
  };
  expect_refused("corrupt", [&] { call({4, 4}, gaussian); });
  expect_refused("corrupt", [&] { call({3, 5}, mask); });
  expect_refused("corrupt", [&] { call({3, 4}, {}); });
}

}  // namespace
}  // namespace hourglass::parity
