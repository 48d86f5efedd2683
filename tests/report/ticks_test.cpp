#include "host/report/ticks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace hourglass::report {
namespace {

std::vector<std::string> labels(const std::vector<Tick>& ticks) {
  std::vector<std::string> texts;
  for (const Tick& tick : ticks)
    texts.push_back(tick.label);
  return texts;
}

using Texts = std::vector<std::string>;

TEST(Ticks, linear_cases) {
  EXPECT_EQ(labels(linear_ticks({0, 1}, 5)), (Texts{"0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  EXPECT_EQ(labels(linear_ticks({-4.1, 0.2}, 5)), (Texts{"−4", "−3", "−2", "−1", "0"}));
  EXPECT_EQ(labels(linear_ticks({0.9, 0.965}, 5)), (Texts{"0.90", "0.92", "0.94", "0.96"}));
  EXPECT_EQ(labels(linear_ticks({0, 14000}, 4)), (Texts{"0", "5,000", "10,000"}));
  EXPECT_EQ(labels(linear_ticks({0, 3e6}, 3)), (Texts{"0", "1,000,000", "2,000,000", "3,000,000"}));
  EXPECT_EQ(labels(linear_ticks({-7e-9, 7e-9}, 3)), (Texts{"−5e−9", "0", "5e−9"}));
  EXPECT_EQ(labels(linear_ticks({0, 10}, 4)), (Texts{"0", "2.5", "5.0", "7.5", "10.0"}));
}

TEST(Ticks, whole_numbers_have_no_fractions) {
  EXPECT_EQ(labels(linear_ticks({0.9, 3.1}, 10, true)), (Texts{"1", "2", "3"}));
  EXPECT_EQ(labels(linear_ticks({0, 10}, 4, true)), (Texts{"0", "5", "10"}));
  EXPECT_EQ(labels(linear_ticks({0, 1000}, 4, true)), (Texts{"0", "250", "500", "750", "1,000"}));
}

TEST(Ticks, linear_ticks_are_few_ascending_and_inside) {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> exponent(-200, 200), sign(-1, 1);
  for (int i = 0; i < 2000; ++i) {
    const double a = sign(random) * std::pow(10, exponent(random));
    const double b = i % 2 == 0 ? a * (1 + std::abs(sign(random)))
                                : sign(random) * std::pow(10, exponent(random));
    RangeFinder finder;
    finder.add(a);
    finder.add(b);
    const Range range = finder.padded(0.05);
    ASSERT_LT(range.low, range.high) << a << ' ' << b;
    for (const int target : {2, 5, 11}) {
      const auto ticks = linear_ticks(range, target);
      ASSERT_LE(ticks.size(), static_cast<std::size_t>(target) + 2) << a << ' ' << b;
      ASSERT_GE(ticks.size(), 1U) << a << ' ' << b;
      for (std::size_t t = 0; t < ticks.size(); ++t) {
        ASSERT_GE(ticks[t].value, range.low - 1e-8 * range.length());
        ASSERT_LE(ticks[t].value, range.high + 1e-8 * range.length());
        if (t > 0) {
          ASSERT_GT(ticks[t].value, ticks[t - 1].value);
        }
      }
    }
  }
}

TEST(Ticks, log_cases) {
  EXPECT_EQ(labels(log_ticks({0.5, 20000}, 5)), (Texts{"1", "10", "100", "1,000", "10,000"}));
  EXPECT_EQ(labels(log_ticks({1.6, 70}, 5)), (Texts{"2", "5", "10", "20", "50"}));
  EXPECT_EQ(labels(log_ticks({1e-9, 1e-3}, 3)), (Texts{"10⁻⁹", "10⁻⁶", "0.001"}));
  EXPECT_EQ(labels(log_ticks({1.1, 1.9}, 4)), (Texts{"1.2", "1.4", "1.6", "1.8"}));
  EXPECT_TRUE(log_ticks({0, 1}, 4).empty());
  EXPECT_TRUE(log_ticks({-1, 1}, 4).empty());
}

TEST(Ticks, ranges_of_nothing_and_of_one_value) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  RangeFinder finder;
  finder.add(std::nan(""));
  finder.add(infinity);
  finder.add(-infinity);
  finder.add(1e305);
  EXPECT_TRUE(finder.is_empty());
  EXPECT_EQ(finder.padded(0.1).low, 0);
  EXPECT_EQ(finder.padded(0.1).high, 1);
  for (const double value : {0.0, 3.0, -3.0, 1e300, -1e300, 1e-300, 5e-324}) {
    RangeFinder one;
    one.add(value);
    const Range range = one.padded(0.05);
    EXPECT_LT(range.low, value);
    EXPECT_GT(range.high, value);
    EXPECT_TRUE(std::isfinite(range.length()));
    EXPECT_FALSE(linear_ticks(range, 5).empty()) << value;
  }
}

TEST(Ticks, grow_reaches_the_next_ticks) {
  const Range range = grow_to_ticks({0, 0.957}, 5);
  EXPECT_EQ(range.low, 0);
  EXPECT_DOUBLE_EQ(range.high, 1);
  EXPECT_DOUBLE_EQ(grow_to_ticks({-3.96, 0}, 5).low, -4);
}

}  // namespace
}  // namespace hourglass::report
