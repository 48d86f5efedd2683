// Scaling of features.
#include "hourglass/scaler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "hourglass/error.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::random_bytes;
using testing_support::random_floats;

TEST(Scaler, UnitScalesBytesAndLeavesFloats) {
  Device device = Device::open("cpu", 1);
  const Dataset bytes = random_bytes(300, 7, 1);
  const Scaler scaler = Scaler::fit(device, bytes, Scaling::unit);
  const Matrix scaled = scaler.transform(device, bytes);
  const auto& values = std::get<0>(bytes.values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(scaled.values[i], values[i] / 255.0, 1e-7);
  }
  // The same scaler on floats that are in [0, 1] already, and one fitted on floats applied to
  // bytes.
  const Dataset floats = random_floats(20, 7, 2);
  EXPECT_EQ(scaler.transform(device, floats).values, std::get<1>(floats.values));
  EXPECT_EQ(Scaler::fit(device, floats, Scaling::unit).transform(device, bytes).values,
            scaled.values);
}

TEST(Scaler, UnitRefusesFloatsOutsideTheUnitInterval) {
  Device device = Device::open("cpu", 1);
  Dataset floats = random_floats(20, 7, 2);
  const Scaler scaler = Scaler::fit(device, floats, Scaling::unit);
  std::get<1>(floats.values)[3 * 7 + 2] = 1.5f;
  try {
    (void)Scaler::fit(device, floats, Scaling::unit);
    FAIL() << "no error";
  } catch (const InputError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("row 3, column 2"), std::string::npos) << message;
    EXPECT_NE(message.find("1.5"), std::string::npos) << message;
  }
  EXPECT_THROW((void)scaler.transform(device, floats), InputError);
  EXPECT_NO_THROW((void)Scaler::fit(device, floats, Scaling::none));
}

TEST(Scaler, StandardGivesMeanZeroAndDeviationOne) {
  Device device = Device::open("cpu", 2);
  for (const Dataset& data :
       {random_bytes(5000, 9, 3), random_floats(5000, 9, 3, 900.0f, 1000.0f)}) {
    const Scaler scaler = Scaler::fit(device, data, Scaling::standard);
    const Matrix scaled = scaler.transform(device, data);
    for (std::int64_t j = 0; j < 9; ++j) {
      double sum = 0.0, squares = 0.0;
      for (std::int64_t i = 0; i < scaled.rows; ++i) {
        const auto value = static_cast<double>(scaled(i, j));
        sum += value;
        squares += value * value;
      }
      EXPECT_NEAR(sum / 5000.0, 0.0, 1e-5);
      EXPECT_NEAR(squares / 5000.0, 1.0, 1e-5);
    }
    const Matrix back = scaler.inverse_transform(scaled);
    for (std::size_t i = 0; i < back.values.size(); ++i) {
      const double want = data.is_bytes() ? std::get<0>(data.values)[i]
                                          : static_cast<double>(std::get<1>(data.values)[i]);
      ASSERT_NEAR(back.values[i], want, 1e-3);
    }
  }
}

TEST(Scaler, ConstantColumnsKeepFactorOne) {
  Device device = Device::open("cpu", 1);
  Matrix matrix(1000, 4);
  for (std::int64_t i = 0; i < 1000; ++i) {
    matrix(i, 0) = 0.1f;  // its mean in float64 is off by an ulp or not: no deviation either way
    matrix(i, 1) = 1e6f + 0.125f;
    matrix(i, 2) = 0.0f;
    matrix(i, 3) = i % 2 == 0 ? 1.0f : 1.0f + 1e-6f;  // small, but real
  }
  const Dataset data = Dataset::from_matrix("constant", matrix);
  const Scaler scaler = Scaler::fit(device, data, Scaling::standard);
  EXPECT_EQ(scaler.factor[0], 1.0f);
  EXPECT_EQ(scaler.factor[1], 1.0f);
  EXPECT_EQ(scaler.factor[2], 1.0f);
  EXPECT_GT(scaler.factor[3], 1e6f);
  EXPECT_EQ(scaled_range(scaler, data).constant_columns, 3);
}

TEST(Scaler, RangeCountsEveryValue) {
  Device device = Device::open("cpu", 1);
  for (const Dataset& data : {random_bytes(501, 6, 5), random_floats(501, 6, 5, -3.0f, 9.0f)}) {
    for (const Scaling scaling : {Scaling::none, Scaling::standard}) {
      const Scaler scaler = Scaler::fit(device, data, scaling);
      const Matrix scaled = scaler.transform(device, data);
      double low = 1e30, high = -1e30, below = 0, above = 0;
      for (const float value : scaled.values) {
        low = std::fmin(low, value);
        high = std::fmax(high, value);
        below += value < 0.0f;
        above += value > 1.0f;
      }
      const ScaledRange range = scaled_range(scaler, data);
      EXPECT_NEAR(range.minimum, low, 1e-6);
      EXPECT_NEAR(range.maximum, high, 1e-4);
      EXPECT_DOUBLE_EQ(range.below_zero, below / 3006.0);
      EXPECT_DOUBLE_EQ(range.above_one, above / 3006.0);
      EXPECT_EQ(range.constant_columns, 0);
    }
  }
}

TEST(Scaler, OtherColumnsAreRefusedByName) {
  Device device = Device::open("cpu", 1);
  const Scaler scaler = Scaler::fit(device, random_bytes(10, 6, 1), Scaling::unit);
  try {
    (void)scaler.transform(device, random_bytes(10, 7, 1));
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("bytes: 7 columns; expected 6"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW((void)scaler.inverse_transform(Matrix(3, 5)), InputError);
  EXPECT_THROW((void)scaled_range(scaler, random_bytes(10, 7, 1)), InputError);
  EXPECT_THROW((void)Scaler::fit(device, random_bytes(0, 7, 1), Scaling::unit), InputError);
}

}  // namespace
}  // namespace hourglass
