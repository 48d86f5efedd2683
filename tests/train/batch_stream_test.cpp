// Batches that a thread reads ahead: the right rows, whatever the two sides are slow at.
#include "host/train/batch_stream.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "host/train/features.hpp"
#include "tests/oracle/recording_backend.hpp"
#include "tests/train/row_files.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing::expect_error;
using testing::Scratch;
using testing_support::random_bytes;
using testing_support::random_floats;
using testing_support::Record;
using testing_support::recording_device;
using testing_support::write_rows;

constexpr std::int64_t columns = 13;

std::vector<std::int32_t> shuffled(std::int64_t rows, unsigned seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(rows));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  return order;
}

/// The bytes of a batch on the device.
std::vector<unsigned char> content(Backend& backend, FeatureView batch) {
  const auto bytes =
      static_cast<std::size_t>(batch.rows * batch.columns) * (batch.bytes ? 1 : sizeof(float));
  std::vector<unsigned char> values(bytes);
  backend.download(values.data(), batch.data, bytes);
  return values;
}

/// Rows of `source` as batch `number` of an order has them.
std::vector<unsigned char> expected(const Dataset& data, std::span<const std::int32_t> order,
                                    std::int64_t batch_rows, std::int64_t number) {
  const RowSource rows(data);
  const auto first = static_cast<std::size_t>(number * batch_rows);
  const auto index =
      order.subspan(first, std::min(static_cast<std::size_t>(batch_rows), order.size() - first));
  std::vector<unsigned char> values;
  for (const std::int32_t row : index) {
    const auto* begin = static_cast<const unsigned char*>(rows.data()) + row * rows.row_bytes();
    values.insert(values.end(), begin, begin + rows.row_bytes());
  }
  return values;
}

/// Bytes and floats, in memory and in files; on a device that has the host's memory and on one that
/// has its own.
class BatchStreamTest : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr std::int64_t rows = 103;

  BatchStreamTest() { record_->backend_name = GetParam(); }

  struct Case {
    const Dataset* data;
    RowSource source;
  };
  [[nodiscard]] std::vector<Case> cases() const {
    return {{&bytes_, bytes_}, {&floats_, floats_}, {&bytes_, byte_file_}, {&floats_, float_file_}};
  }
  [[nodiscard]] Backend& backend() { return device_.backend(); }

  void expect_epoch(BatchStream& stream, const Dataset& data, std::span<const std::int32_t> order,
                    std::int64_t batch_rows, std::int64_t first_batch = 0) {
    const auto count = static_cast<std::int64_t>(order.size());
    for (std::int64_t b = first_batch; b * batch_rows < count; ++b) {
      const FeatureView batch = stream.next();
      ASSERT_EQ(batch.rows, std::min(batch_rows, count - b * batch_rows));
      ASSERT_EQ(batch.columns, columns);
      ASSERT_EQ(batch.bytes, data.is_bytes());
      ASSERT_EQ(content(backend(), batch), expected(data, order, batch_rows, b)) << "batch " << b;
    }
    EXPECT_EQ(stream.next().rows, 0);
    EXPECT_EQ(stream.next().rows, 0);
  }

  std::shared_ptr<Record> record_ = std::make_shared<Record>();
  Device device_ = recording_device(record_, 2, "cpu");
  Scratch scratch_;
  Dataset bytes_ = random_bytes(rows, columns, 1);
  Dataset floats_ = random_floats(rows, columns, 2);
  RowFile byte_file_ = RowFile::open(write_rows(scratch_, "bytes", bytes_));
  RowFile float_file_ = RowFile::open(write_rows(scratch_, "floats", floats_));
};
INSTANTIATE_TEST_SUITE_P(Devices, BatchStreamTest, ::testing::Values("cpu", "cuda"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(BatchStreamTest, GivesTheBatchesOfEveryOrder) {
  for (const Case& c : cases()) {
    for (const std::int64_t batch_rows : {1, 7, 103, 500}) {
      for (const auto& [buffers, readers] : {std::pair{2, 1}, {3, 1}, {3, 2}, {2, 5}, {6, 4}}) {
        BatchStream stream(backend(), c.source, batch_rows, ValueCheck::finite, buffers, readers);
        for (const unsigned seed : {1U, 2U, 3U}) {
          const auto order = shuffled(rows, seed);
          stream.begin(order);
          expect_epoch(stream, *c.data, order, batch_rows);
        }
        const auto some = shuffled(50, 4);
        stream.begin(some);
        expect_epoch(stream, *c.data, some, batch_rows);
      }
    }
  }
}

TEST_P(BatchStreamTest, GivesTheRowsAsTheyLie) {
  std::vector<std::int32_t> all(rows);
  std::iota(all.begin(), all.end(), 0);
  for (const Case& c : cases()) {
    BatchStream stream(backend(), c.source, 10);
    stream.begin();
    expect_epoch(stream, *c.data, all, 10);
    stream.begin(3);
    expect_epoch(stream, *c.data, all, 10, 3);
    stream.begin(11);
    expect_epoch(stream, *c.data, all, 10, 11);
    BatchStream part(backend(), c.source.slice(20, 41), 10);
    part.begin();
    expect_epoch(part, *c.data, std::span(all).subspan(20, 41), 10);
  }
}

TEST_P(BatchStreamTest, BeginsAnywhereAndAgainAtAnyTime) {
  const auto order = shuffled(rows, 1);
  const auto other = shuffled(rows, 2);
  for (const Case& c : cases()) {
    BatchStream stream(backend(), c.source, 8, ValueCheck::none, 4, 2);
    EXPECT_EQ(stream.next().rows, 0) << "nothing was begun";
    stream.begin(order, 9);
    expect_epoch(stream, *c.data, order, 8, 9);
    for (int taken = 0; taken < 6; ++taken) {
      stream.begin(order);
      for (int i = 0; i < taken; ++i)
        (void)stream.next();
      stream.begin(other, taken);
      expect_epoch(stream, *c.data, other, 8, taken);
    }
    stream.begin(std::span<const std::int32_t>{});
    EXPECT_EQ(stream.next().rows, 0);
    EXPECT_THROW(stream.begin(order, 14), std::invalid_argument);
    EXPECT_THROW(stream.begin(order, -1), std::invalid_argument);
    const std::vector<std::int32_t> twice(rows + 1, 0);
    EXPECT_THROW(stream.begin(twice), std::invalid_argument);
  }
  EXPECT_THROW(BatchStream(backend(), floats_, 0), std::invalid_argument);
  EXPECT_THROW(BatchStream(backend(), floats_, 1, ValueCheck::none, 1), std::invalid_argument);
  EXPECT_THROW(BatchStream(backend(), floats_, 1, ValueCheck::none, 2, 0), std::invalid_argument);
}

TEST_P(BatchStreamTest, ABatchStaysAsItIsUntilTheNext) {
  const auto order = shuffled(rows, 5);
  for (const Case& c : cases()) {
    BatchStream stream(backend(), c.source, 4, ValueCheck::none, 2);
    stream.begin(order);
    for (std::int64_t b = 0; b < 8; ++b) {
      const FeatureView batch = stream.next();
      // Long enough for the thread to fill every buffer that it may.
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      ASSERT_EQ(content(backend(), batch), expected(*c.data, order, 4, b));
    }
  }
}

TEST_P(BatchStreamTest, FeedsGatherRowsWithTheSameBits) {
  const auto order = shuffled(rows, 6);
  for (const Case& c : cases()) {
    const Scaler scaler = Scaler::fit(device_, *c.data, Scaling::standard);
    const DeviceScaler on_device(backend(), scaler, c.source);
    FeatureBuffer whole(backend(), *c.data, rows);
    const FeatureView view = whole.load(*c.data, 0, rows);
    const Buffer<std::int32_t> index(backend(), std::span<const std::int32_t>(order));
    Buffer<float> want(backend(), 16 * columns);
    Buffer<float> got(backend(), 16 * columns);
    BatchStream stream(backend(), c.source, 16);
    stream.begin(order);
    std::int64_t b = 0;
    for (FeatureView batch; (batch = stream.next()).rows > 0; ++b) {
      on_device.gather(backend(), view, index.data() + 16 * b, 0, want.matrix(batch.rows, columns));
      on_device.gather(backend(), batch, nullptr, 0, got.matrix(batch.rows, columns));
      ASSERT_EQ(got.download(batch.rows * columns), want.download(batch.rows * columns));
    }
    EXPECT_EQ(b, 7);
  }
}

TEST_P(BatchStreamTest, EndsAtAnyTime) {
  const auto order = shuffled(rows, 1);
  for (const Case& c : cases()) {
    { const BatchStream unused(backend(), c.source, 8); }
    for (int taken = 0; taken < 14; ++taken) {
      BatchStream stream(backend(), c.source, 8, ValueCheck::none, 4, 1 + taken % 3);
      stream.begin(order);
      for (int i = 0; i < taken; ++i)
        (void)stream.next();
    }
    // As an exception of the caller's ends it.
    try {
      BatchStream stream(backend(), c.source, 8);
      stream.begin(order);
      (void)stream.next();
      throw std::runtime_error("the caller's");
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "the caller's");
    }
  }
}

TEST_P(BatchStreamTest, WhatFailsIsSaidWhenItsBatchIsDue) {
  std::vector<std::int32_t> order(rows);
  std::iota(order.begin(), order.end(), 0);
  const std::string path = scratch_.path("floats.npy");
  const auto size = std::filesystem::file_size(path);
  BatchStream stream(backend(), float_file_, 10, ValueCheck::none, 3, 2);
  std::filesystem::resize_file(path, size - 3 * columns * 4);  // the last three rows, of batch 10
  for (int time = 0; time < 2; ++time) {
    if (time == 0) {
      stream.begin(order);
    } else {
      stream.begin();
    }
    for (std::int64_t b = 0; b < 10; ++b)
      ASSERT_EQ(content(backend(), stream.next()), expected(floats_, order, 10, b));
    for (int i = 0; i < 3; ++i) {
      expect_error([&] { (void)stream.next(); }, {path, "ends at byte", "row 100"});
    }
  }
  // It can begin anew, and end, with an error that nobody has asked for.
  stream.begin(std::span(order).first(50));
  expect_epoch(stream, floats_, std::span(order).first(50), 10);
  stream.begin(order, 10);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  stream.begin(std::span(order).first(20));
  expect_epoch(stream, floats_, std::span(order).first(20), 10);
  stream.begin(order, 10);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

TEST_P(BatchStreamTest, BadValuesAreNamedByTheirRow) {
  Dataset bad = random_floats(rows, columns, 3);
  std::get<1>(bad.values)[71 * columns + 5] = std::numeric_limits<float>::quiet_NaN();
  std::get<1>(bad.values)[90 * columns + 1] = 1.5f;
  const RowFile file = RowFile::open(write_rows(scratch_, "bad", bad));
  const auto order = shuffled(33, 8);  // of the slice
  for (const RowSource& source : {RowSource(bad), RowSource(file)}) {
    const auto run = [&](const RowSource& rows_of_it, ValueCheck check, bool in_order) {
      BatchStream stream(backend(), rows_of_it, 4, check);
      if (in_order) {
        stream.begin();
      } else {
        stream.begin(order);
      }
      while (stream.next().rows > 0) {
      }
    };
    const RowSource part = source.slice(60, 33);
    for (const bool in_order : {true, false}) {
      expect_error([&] { run(part, ValueCheck::finite, in_order); }, {"row 71, column 5", "nan"});
      expect_error([&] { run(source.slice(72, 31), ValueCheck::unit, true); },
                   {"row 90, column 1", "1.5", "[0, 1]"});
      EXPECT_NO_THROW(run(part, ValueCheck::none, in_order));
      EXPECT_NO_THROW(run(source.slice(72, 31), ValueCheck::finite, true));
    }
    BatchStream stream(backend(), source, 4);
    const std::vector<std::int32_t> outside{0, 1, 103};
    stream.begin(outside);
    expect_error<UsageError>([&] { (void)stream.next(); }, {"row 103"});
  }
}

TEST_P(BatchStreamTest, WhoIsSlowDoesNotMatter) {
  const auto order = shuffled(rows, 7);
  std::mt19937 generator(1);
  for (const Case& c : cases()) {
    BatchStream stream(backend(), c.source, 3, ValueCheck::finite, 4, 3);
    stream.begin(order);
    for (std::int64_t b = 0; b < 35; ++b) {
      std::this_thread::sleep_for(std::chrono::microseconds(generator() % 400));
      ASSERT_EQ(content(backend(), stream.next()), expected(*c.data, order, 3, b));
    }
  }
}

}  // namespace
}  // namespace hourglass
