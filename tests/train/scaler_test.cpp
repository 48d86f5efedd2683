// Scaling of features.
#include "hourglass/scaler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "host/train/features.hpp"
#include "hourglass/error.hpp"
#include "tests/oracle/recording_backend.hpp"
#include "tests/train/row_files.hpp"
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

/// Two full blocks of statistics and a part of one; the mean of a column wanders, so that what lies
/// between the blocks counts. Column 7 is constant.
Dataset wandering_rows(bool bytes) {
  constexpr std::int64_t columns = 6007;
  const std::int64_t rows = 2 * statistics_rows(columns) + 321;
  Dataset data;
  data.name = bytes ? "bytes" : "floats";
  data.rows = rows;
  data.columns = columns;
  if (bytes) {
    data.values = std::vector<std::uint8_t>(static_cast<std::size_t>(rows * columns));
  } else {
    data.values = std::vector<float>(static_cast<std::size_t>(rows * columns));
  }
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      state = state * 1664525u + 1013904223u;
      const std::uint32_t noise = state >> 28;
      const auto at = static_cast<std::size_t>(i * columns + j);
      const std::int64_t drift = j % 3 == 0 ? i * 200 / rows : j % 50;
      const bool constant = j == 7;
      if (bytes) {
        std::get<0>(data.values)[at] =
            static_cast<std::uint8_t>(constant ? 93 : drift + static_cast<std::int64_t>(noise));
      } else {
        std::get<1>(data.values)[at] =
            constant ? 1000.1f : 0.1f * static_cast<float>(noise) + static_cast<float>(drift);
      }
    }
  }
  return data;
}

TEST(Scaler, OfManyBlocksIsThatOfAllRows) {
  Device device = Device::open("cpu", 2);
  for (const bool bytes : {true, false}) {
    const Dataset data = wandering_rows(bytes);
    const Scaler scaler = Scaler::fit(device, data, Scaling::standard);
    const auto value = [&](std::int64_t i, std::int64_t j) {
      const auto at = static_cast<std::size_t>(i * data.columns + j);
      return bytes ? static_cast<double>(std::get<0>(data.values)[at])
                   : static_cast<double>(std::get<1>(data.values)[at]);
    };
    for (std::int64_t j = 0; j < data.columns; j += j < 20 ? 1 : 997) {
      // In extended precision, as the truth.
      long double sum = 0.0L, squares = 0.0L;
      for (std::int64_t i = 0; i < data.rows; ++i)
        sum += static_cast<long double>(value(i, j));
      const long double mean = sum / static_cast<long double>(data.rows);
      for (std::int64_t i = 0; i < data.rows; ++i) {
        const long double difference = static_cast<long double>(value(i, j)) - mean;
        squares += difference * difference;
      }
      const long double deviation = std::sqrt(squares / static_cast<long double>(data.rows));
      const auto at = static_cast<std::size_t>(j);
      EXPECT_EQ(scaler.offset[at], static_cast<float>(mean)) << j;
      EXPECT_FLOAT_EQ(scaler.factor[at], j == 7 ? 1.0f : static_cast<float>(1.0L / deviation)) << j;
    }
  }
}

TEST(Scaler, OfAFileIsBitForBitThatOfTheDataset) {
  const testing::Scratch scratch;
  const auto record = std::make_shared<testing_support::Record>();
  record->backend_name = "cuda";  // as if its memory were not the host's
  Device devices[] = {Device::open("cpu", 2), testing_support::recording_device(record, 2, "cuda")};
  for (const Dataset& data : {wandering_rows(true), wandering_rows(false), random_bytes(501, 6, 5),
                              random_floats(501, 6, 5)}) {
    const RowFile file = RowFile::open(testing_support::write_rows(scratch, "rows", data));
    for (Device& device : devices) {
      for (const Scaling scaling : {Scaling::none, Scaling::unit, Scaling::standard}) {
        if (data.rows > 501 && scaling != Scaling::standard) continue;
        const Scaler want = Scaler::fit(device, data, scaling);
        const Scaler got = Scaler::fit(device, file, scaling);
        ASSERT_EQ(got.offset, want.offset);
        ASSERT_EQ(got.factor, want.factor);
        EXPECT_EQ(got.factor_for(file), want.factor_for(data));
        EXPECT_NO_THROW(got.check(file));
        const RowSource few = RowSource(file).slice(100, 301);
        EXPECT_EQ(got.transform(device, few).values,
                  want.transform(device, data.slice(100, 301)).values);
        const ScaledRange range = scaled_range(got, file);
        const ScaledRange all = scaled_range(want, data);
        EXPECT_EQ(range.minimum, all.minimum);
        EXPECT_EQ(range.maximum, all.maximum);
        EXPECT_EQ(range.below_zero, all.below_zero);
        EXPECT_EQ(range.above_one, all.above_one);
        EXPECT_EQ(range.constant_columns, all.constant_columns);
      }
    }
  }
}

TEST(Scaler, BadValuesAreNamedByTheirPlaceWhereverTheyLie) {
  const testing::Scratch scratch;
  Device device = Device::open("cpu", 2);
  // Columns so many that the check goes through several blocks.
  Dataset data = random_floats(300, 9001, 3);
  data.name = "rows";
  auto& values = std::get<1>(data.values);
  const Scaler unit = Scaler::fit(device, data, Scaling::unit);
  const Scaler standard = Scaler::fit(device, data, Scaling::standard);
  const float inf = std::numeric_limits<float>::infinity();
  for (const auto& [place, bad, only_unit] :
       {std::tuple{std::size_t{250 * 9001 + 17}, inf, false},
        {std::size_t{299 * 9001 + 9000}, std::numeric_limits<float>::quiet_NaN(), false},
        {std::size_t{0}, -inf, false},
        {std::size_t{117 * 9001 + 8000}, 1.25f, true},
        {std::size_t{117 * 9001 + 8000}, -1e-30f, true}}) {
    const float before = std::exchange(values[place], bad);
    const RowFile file = RowFile::open(testing_support::write_rows(scratch, "rows", data));
    const std::string where =
        "row " + std::to_string(place / 9001) + ", column " + std::to_string(place % 9001) + " ";
    for (const RowSource& rows : {RowSource(data), RowSource(file)}) {
      const auto refuse = [&](auto&& work) { testing::expect_error(work, {"rows", where}); };
      refuse([&] { unit.check(rows); });
      refuse([&] { (void)unit.transform(device, rows); });
      refuse([&] { (void)Scaler::fit(device, rows, Scaling::unit); });
      // Rows of a slice keep their number.
      if (place >= 9001) refuse([&] { unit.check(rows.slice(1, 299)); });
      if (only_unit) {
        EXPECT_NO_THROW(standard.check(rows));
        continue;
      }
      refuse([&] { standard.check(rows); });
      refuse([&] { (void)standard.transform(device, rows); });
      refuse([&] { (void)Scaler::fit(device, rows, Scaling::standard); });
      refuse([&] { (void)Scaler::fit(device, rows, Scaling::none); });
    }
    values[place] = before;
  }
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
