// Rows on their way to a device that has the host's memory, and to one that has its own.
#include "host/train/features.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/oracle/recording_backend.hpp"
#include "tests/train/row_files.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::random_bytes;
using testing_support::random_floats;
using testing_support::Record;
using testing_support::recording_device;
using testing_support::write_rows;

class FeaturesTest : public ::testing::TestWithParam<const char*> {
 protected:
  // Several blocks, of which the last one is not full.
  static constexpr std::int64_t rows = 2 * 4096 + 100;
  static constexpr std::int64_t columns = 5;

  FeaturesTest() { record_->backend_name = GetParam(); }
  [[nodiscard]] Backend& backend() { return device_.backend(); }
  [[nodiscard]] bool on_host() const { return std::string(GetParam()) == "cpu"; }

  void expect_rows(FeatureView view, const Dataset& data, std::int64_t first, std::int64_t count) {
    ASSERT_EQ(view.rows, count);
    ASSERT_EQ(view.columns, columns);
    ASSERT_EQ(view.bytes, data.is_bytes());
    const RowSource want = RowSource(data).slice(first, count);
    std::vector<unsigned char> got(static_cast<std::size_t>(count * want.row_bytes()));
    backend().download(got.data(), view.data, got.size());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size()), 0);
  }

  std::shared_ptr<Record> record_ = std::make_shared<Record>();
  Device device_ = recording_device(record_, 2, "cpu");
  testing::Scratch scratch_;
};
INSTANTIATE_TEST_SUITE_P(Devices, FeaturesTest, ::testing::Values("cpu", "cuda"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(FeaturesTest, AreTheRowsOfEverySource) {
  for (const Dataset& data : {random_bytes(rows, columns, 1), random_floats(rows, columns, 2)}) {
    const RowFile file = RowFile::open(write_rows(scratch_, "rows", data));
    for (const RowSource& source : {RowSource(data), RowSource(file)}) {
      FeatureBuffer buffer(backend(), source, rows);
      expect_rows(buffer.load(source, 0, rows, ValueCheck::unit), data, 0, rows);
      expect_rows(buffer.load(source, 4000, 200), data, 4000, 200);
      expect_rows(buffer.load(source.slice(7, 90), 3, 50), data, 10, 50);
      for (const std::int64_t block : {std::int64_t{100}, std::int64_t{4096}, 2 * rows}) {
        std::int64_t next = 0;
        for_blocks(backend(), source, block, ValueCheck::unit,
                   [&](std::int64_t first, std::int64_t count, FeatureView view) {
                     EXPECT_EQ(first, next);
                     EXPECT_EQ(count, std::min(block, rows - first));
                     expect_rows(view, data, first, count);
                     next += count;
                   });
        EXPECT_EQ(next, rows);
      }
    }
  }
}

TEST_P(FeaturesTest, StayWhereTheyAreInTheHostsMemory) {
  const Dataset data = random_floats(rows, columns, 2);
  record_->allocations = 0;
  FeatureBuffer buffer(backend(), data, rows);
  const FeatureView view = buffer.load(data, 5, 100);
  EXPECT_EQ(record_->allocations, on_host() ? 0 : 1);
  EXPECT_EQ(view.data == RowSource(data).slice(5, 100).data(), on_host());
}

TEST_P(FeaturesTest, AreLookedAtWhereThatIsAskedFor) {
  Dataset data = random_floats(rows, columns, 2);
  std::get<1>(data.values)[(4096 + 50) * columns + 3] = 2.0f;
  const RowFile file = RowFile::open(write_rows(scratch_, "rows", data));
  for (const RowSource& source : {RowSource(data), RowSource(file)}) {
    FeatureBuffer buffer(backend(), source, rows);
    for (const RowSource& part : {source, source.slice(1000, 4000)}) {
      EXPECT_NO_THROW((void)buffer.load(part, 0, part.rows(), ValueCheck::finite));
      testing::expect_error([&] { (void)buffer.load(part, 0, part.rows(), ValueCheck::unit); },
                            {"row 4146, column 3"});
    }
    EXPECT_NO_THROW((void)buffer.load(source, 0, 4146, ValueCheck::unit));
  }
}

TEST_P(FeaturesTest, ThatTheBufferHasNoRoomForAreRefused) {
  const Dataset data = random_floats(rows, columns, 2);
  const RowFile file = RowFile::open(write_rows(scratch_, "rows", data));
  FeatureBuffer buffer(backend(), file, 10);
  EXPECT_THROW((void)buffer.load(file, 0, 11), std::invalid_argument);
}

}  // namespace
}  // namespace hourglass
