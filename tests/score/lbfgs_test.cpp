#include "host/score/lbfgs.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace hourglass {
namespace {

TEST(Lbfgs, FindsTheMinimumOfRosenbrocksValley) {
  const Objective f = [](const std::vector<double>& x, std::vector<double>& g) {
    double value = 0;
    std::fill(g.begin(), g.end(), 0.0);
    for (std::size_t i = 0; i + 1 < x.size(); ++i) {
      const double a = x[i + 1] - x[i] * x[i];
      const double b = 1 - x[i];
      value += 100 * a * a + b * b;
      g[i] += -400 * a * x[i] - 2 * b;
      g[i + 1] += 200 * a;
    }
    return value;
  };
  std::vector<double> x(10, -1.2);
  const LbfgsResult result = minimise_lbfgs(f, x, {.relative_gradient = 1e-10});
  for (const double value : x)
    EXPECT_NEAR(value, 1.0, 1e-6);
  EXPECT_LT(result.iterations, 200);
}

TEST(Lbfgs, SolvesAnIllConditionedQuadratic) {
  const Objective f = [](const std::vector<double>& x, std::vector<double>& g) {
    double value = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double curvature = std::pow(10.0, static_cast<double>(i) / 10.0);
      g[i] = curvature * (x[i] - 1);
      value += 0.5 * g[i] * (x[i] - 1);
    }
    return value;
  };
  std::vector<double> x(26, 0.0);
  minimise_lbfgs(f, x, {.relative_gradient = 1e-12});
  for (const double value : x)
    EXPECT_NEAR(value, 1.0, 1e-5);
}

TEST(Lbfgs, StopsAtOnceWhereTheGradientIsZero) {
  std::vector<double> x = {3};
  const LbfgsResult result = minimise_lbfgs(
      [](const std::vector<double>&, std::vector<double>& g) {
        g[0] = 0;
        return 1.0;
      },
      x);
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(x[0], 3);
}

}  // namespace
}  // namespace hourglass
