// fma_chain: turns of v = a v + b, exactly where float32 holds every value and within the bound of
// its rounding elsewhere.
#include <cmath>
#include <limits>

#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class FmaChain : public BackendTest {
 protected:
  void compare(std::uint64_t seed, const std::vector<float>& start, float a, float b, int terms,
               std::int64_t skew, const Tolerance& tolerance) {
    Trial trial = this->trial(seed, std::to_string(start.size()) + ", " + std::to_string(terms) +
                                        " terms, skew " + std::to_string(skew));
    trial.set_skew(skew);
    auto values = trial.in_out(start);
    trial.run([&](Backend& backend) { backend.fma_chain(a, b, terms, values.span()); });
    std::vector<double> want = widen(start);
    for (double& v : want)
      v = oracle::fma_chain(double{a}, double{b}, terms, v);
    trial.expect_close("values", values, want, tolerance);
  }

  /// Whole numbers, which stay exact while v a + b is below 2^24.
  static std::vector<float> whole_numbers(Random& random, std::int64_t size) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < size; ++i)
      values.push_back(static_cast<float>(random.below(15) - 7));
    return values;
  }
};
HOURGLASS_FOR_EVERY_BACKEND(FmaChain);

TEST_P(FmaChain, CountsItsTermsExactly) {
  std::uint64_t seed = 0;
  for (const std::int64_t size : edge_sizes(emulated())) {
    for (const std::int64_t skew : {0, 1}) {
      Random random(++seed);
      const std::vector<float> start = whole_numbers(random, size);
      for (const int terms : {0, 1, 7, 8, 9, 20})
        compare(seed, start, 2.0f, 1.0f, terms, skew, {});
      compare(seed, start, -1.0f, 3.0f, 17, skew, {});
    }
  }
}

TEST_P(FmaChain, TakesEveryValueOfManyBlocks) {
  Random random(100);
  const std::int64_t size = emulated() ? 4100 : 1'000'003;
  compare(100, whole_numbers(random, size), 1.0f, 1.0f, 3, 0, {});
}

TEST_P(FmaChain, StaysWithinTheRoundingOfItsTerms) {
  constexpr struct {
    float a;
    float b;
    int terms;
  } chains[] = {{0.5f, 0.25f, 100}, {-0.75f, 1.0f, 333}, {0.999f, 1e-3f, 1000}};
  std::uint64_t seed = 200;
  for (const auto [a, b, terms] : chains) {
    Random random(++seed);
    const std::vector<float> start = random.uniforms(785, -1.0, 1.0);
    // A turn rounds once, or twice without a fused multiply-add, by at most 2^-24 of the largest
    // value; later turns shrink that by |a|.
    const double largest = 1.0 + double{b} / (1.0 - std::abs(double{a}));
    compare(seed, start, a, b, terms, 1,
            {.absolute = 2.0 * 0x1p-24 * largest / (1.0 - std::abs(double{a}))});
  }
}

TEST_P(FmaChain, LetsNanAndInfinityThrough) {
  std::vector<float> start(33, 1.0f);
  start[31] = std::numeric_limits<float>::infinity();
  start[32] = std::numeric_limits<float>::quiet_NaN();
  compare(300, start, 0.5f, 0.5f, 9, 0, {});
}

TEST_P(FmaChain, RefusesANegativeNumberOfTerms) {
  Buffer<float> values(backend(), 8);
  values.zero();
  expect_refused("fma_chain", [&] { backend().fma_chain(1.0f, 0.0f, -1, values.span()); });
}

}  // namespace
}  // namespace hourglass::parity
