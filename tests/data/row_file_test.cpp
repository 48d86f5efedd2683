// Rows read where they lie: the same values and the same errors as those of a whole dataset.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hourglass/rows.hpp"
#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::big32;
using testing::bytes_of_number;
using testing::Environment;
using testing::expect_error;
using testing::gzip;
using testing::message_of;
using testing::Scratch;

std::string npy_header(const std::string& descr, const std::string& shape) {
  const std::string header =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
  return std::string("\x93NUMPY\x01\x00", 8) +
         bytes_of_number(static_cast<std::uint16_t>(header.size()), false) + header;
}

template <class T>
std::string npy(const std::string& descr, const std::string& shape, const std::vector<T>& values) {
  std::string text = npy_header(descr, shape);
  for (const T value : values)
    text += bytes_of_number(value, false);
  return text;
}

template <class T>
std::string idx(int type, const std::vector<std::uint32_t>& sizes, const std::vector<T>& values) {
  std::string text{'\0', '\0', static_cast<char>(type), static_cast<char>(sizes.size())};
  for (const std::uint32_t size : sizes)
    text += big32(size);
  for (const T value : values)
    text += bytes_of_number(value, true);
  return text;
}

template <class T>
std::vector<T> random_values(std::size_t count) {
  std::mt19937 generator(7);
  std::vector<T> values(count);
  for (T& value : values)
    value = static_cast<T>(static_cast<double>(generator() >> 8) / 65536.0);
  return values;
}

/// A file of 60 rows of 35 values, of 5 x 7 pixels, in every kind that is read.
std::vector<std::string> files_of_every_kind(const Scratch& scratch) {
  const auto bytes = random_values<std::uint8_t>(60 * 35);
  const auto floats = random_values<float>(60 * 35);
  const auto doubles = random_values<double>(60 * 35);
  return {scratch.file("u1.npy", npy("|u1", "(60, 5, 7)", bytes)),
          scratch.file("f4.npy", npy("<f4", "(60, 35)", floats)),
          scratch.file("f8.npy", npy("<f8", "(60, 5, 7, 1)", doubles)),
          scratch.file("bytes.idx", idx(0x08, {60, 5, 7}, bytes)),
          scratch.file("floats.idx", idx(0x0D, {60, 35}, floats)),
          scratch.file("doubles.idx", idx(0x0E, {60, 35}, doubles))};
}

/// The bytes of the rows, gathered by memcpy from a whole dataset.
std::vector<unsigned char> rows_of(const Dataset& data, const std::vector<std::int32_t>& index) {
  const auto bytes = static_cast<std::size_t>(data.columns) * (data.is_bytes() ? 1 : 4);
  std::vector<unsigned char> rows(index.size() * bytes);
  for (std::size_t b = 0; b < index.size(); ++b) {
    std::memcpy(
        rows.data() + b * bytes,
        static_cast<const unsigned char*>(data.data()) + static_cast<std::size_t>(index[b]) * bytes,
        bytes);
  }
  return rows;
}

std::vector<std::int32_t> counting(std::int32_t first, std::int32_t count) {
  std::vector<std::int32_t> index;
  for (std::int32_t i = 0; i < count; ++i)
    index.push_back(first + i);
  return index;
}

std::vector<unsigned char> read_of(const RowSource& rows, std::int64_t first, std::int64_t count) {
  std::vector<unsigned char> out(static_cast<std::size_t>(count * rows.row_bytes()), 0xA5);
  rows.read(first, count, out.data());
  return out;
}

std::vector<unsigned char> gather_of(const RowSource& rows,
                                     const std::vector<std::int32_t>& index) {
  std::vector<unsigned char> out(index.size() * static_cast<std::size_t>(rows.row_bytes()), 0xA5);
  rows.gather(index, out.data());
  return out;
}

const std::vector<std::int32_t> mixed{59, 0, 1, 2, 3, 3, 2, 40, 41, 17, 59};

TEST(RowFile, GivesTheRowsOfTheWholeDataset) {
  const Scratch scratch;
  for (const std::string& path : files_of_every_kind(scratch)) {
    SCOPED_TRACE(path);
    const Dataset data = load_dataset(path);
    ASSERT_TRUE(RowFile::can_open(path));
    const RowFile file = RowFile::open(path);
    EXPECT_EQ(file.name(), data.name);
    EXPECT_EQ(file.rows(), 60);
    EXPECT_EQ(file.columns(), 35);
    EXPECT_EQ(file.image_height(), data.image_height);
    EXPECT_EQ(file.image_width(), data.image_width);
    EXPECT_EQ(file.is_bytes(), data.is_bytes());
    for (const RowSource& rows : {RowSource(data), RowSource(file)}) {
      EXPECT_EQ(read_of(rows, 0, 60), rows_of(data, counting(0, 60)));
      EXPECT_EQ(read_of(rows, 59, 1), rows_of(data, {59}));
      EXPECT_TRUE(read_of(rows, 60, 0).empty());
      EXPECT_EQ(gather_of(rows, mixed), rows_of(data, mixed));
      EXPECT_TRUE(gather_of(rows, {}).empty());
      const RowSource part = rows.slice(10, 45).slice(5, 40);
      EXPECT_EQ(part.rows(), 40);
      EXPECT_EQ(part.first_row(), 15);
      EXPECT_EQ(part.name(), path);
      EXPECT_EQ(part.image_height(), data.image_height);
      EXPECT_EQ(part.image_width(), data.image_width);
      EXPECT_EQ(read_of(part, 3, 7), rows_of(data, counting(18, 7)));
      EXPECT_EQ(gather_of(part, {39, 0, 1, 2}), rows_of(data, {54, 15, 16, 17}));
    }
    EXPECT_EQ(RowSource(data).data(), data.data());
    EXPECT_EQ(RowSource(data).slice(2, 3).data(),
              static_cast<const char*>(data.data()) + 2 * RowSource(data).row_bytes());
    EXPECT_EQ(RowSource(file).data(), nullptr);
    EXPECT_FALSE(RowSource(file).in_memory());
  }
}

TEST(RowFile, GathersWhatTheSystemHasNotInItsCache) {
  const Scratch scratch;
  for (const std::string& path : files_of_every_kind(scratch)) {
    const Dataset data = load_dataset(path);
    const RowFile file = RowFile::open(path);
    const int descriptor = open(path.c_str(), O_RDONLY);
    fsync(descriptor);
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    close(descriptor);
    EXPECT_EQ(gather_of(file, mixed), rows_of(data, mixed)) << path;
  }
}

TEST(RowFile, RowsOutsideAreWrongUsage) {
  const Scratch scratch;
  const std::string path = scratch.file("f4.npy", npy("<f4", "(2, 3)", random_values<float>(6)));
  const Dataset data = load_dataset(path);
  const RowFile file = RowFile::open(path);
  std::vector<float> out(100);
  for (const RowSource& rows : {RowSource(data), RowSource(file), RowSource(data).slice(0, 2),
                                RowSource(file).slice(0, 2)}) {
    for (const auto& [first, count] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {-1, 1}, {0, 3}, {2, 1}, {3, 0}, {1, -1}, {1, INT64_MAX}, {INT64_MAX, INT64_MAX}}) {
      expect_error<UsageError>([&, f = first, c = count] { rows.read(f, c, out.data()); },
                               {"f4.npy", "it has 2"});
      expect_error<UsageError>([&, f = first, c = count] { (void)rows.slice(f, c); },
                               {"f4.npy", "it has 2"});
    }
    for (const std::int32_t row : {-1, 2}) {
      const std::vector<std::int32_t> index{0, row};
      expect_error<UsageError>([&] { rows.gather(index, out.data()); },
                               {"from row " + std::to_string(row)});
    }
    // Rows of the file, but not of the slice.
    const RowSource part = rows.slice(1, 1);
    expect_error<UsageError>([&] { part.gather(std::vector<std::int32_t>{-1}, out.data()); },
                             {"it has 1"});
    expect_error<UsageError>([&] { part.read(0, 2, out.data()); }, {"it has 1"});
  }
}

/// What load_dataset() and RowFile::open() say of a file: the same, or nothing both.
void expect_same_verdict(const std::string& path) {
  const auto verdict = [](auto&& work) -> std::string {
    try {
      work();
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(verdict([&] { (void)RowFile::open(path); }),
            verdict([&] { (void)load_dataset(path); }));
}

TEST(RowFile, SaysOfAHeaderWhatLoadDatasetSays) {
  const Scratch scratch;
  const std::vector<std::uint8_t> six{'a', 'b', 'c', 'd', 'e', 'f'};
  const std::uint32_t huge = 0xFFFFFFFF;
  for (const std::string& bytes :
       {npy("|u1", "(6,)", six), npy("|u1", "()", six), npy("|i1", "(2, 3)", six),
        npy(">f4", "(2, 3)", six), npy("<f2", "(1, 3)", six), npy("|u1", "(2, 4)", six),
        npy("|u1", "(2, 2)", six), npy("|u1", "(0, 3)", six), npy("|u1", "(2, 3, 0)", six),
        npy("<f4", "(9223372036854775807, 2)", six), npy("<f8", "(4294967296, 4294967296)", six),
        npy("|u1", "(9223372036854775807, 1)", six), npy("|u1", "(2, 3)", six) + "x",
        std::string()}) {
    expect_same_verdict(scratch.file("a.npy", bytes));
    EXPECT_THROW((void)RowFile::open(scratch.path("a.npy")), InputError) << bytes;
  }
  for (const std::string& bytes :
       {idx(0x08, {6}, six), idx(0x09, {2, 3}, six), idx(0x0B, {1, 3}, six), idx(0x08, {2, 4}, six),
        idx(0x08, {2, 2}, six), idx(0x08, {0, 3}, six), idx(0x08, {huge, huge, huge}, six),
        idx(0x0E, {huge, huge, huge, huge, huge, huge, huge, huge}, six), idx(0x0A, {2, 3}, six)}) {
    expect_same_verdict(scratch.file("a", bytes));
    EXPECT_THROW((void)RowFile::open(scratch.path("a")), InputError);
  }
  expect_same_verdict(scratch.path("none.npy"));
  expect_same_verdict(scratch.root().string());
  expect_same_verdict("");
}

TEST(RowFile, SaysOfEveryCutAndEveryChangeOfAByteWhatLoadDatasetSays) {
  const Scratch scratch;
  const std::vector<std::uint8_t> six{'a', 'b', 'c', 'd', 'e', 'f'};
  for (const auto& [name, good] :
       {std::pair<std::string, std::string>{"a.npy", npy("|u1", "(2, 3)", six)},
        {"a.idx", idx(0x08, {2, 3}, six)}}) {
    for (std::size_t length = 0; length < good.size(); ++length) {
      const std::string path = scratch.file(name, good.substr(0, length));
      expect_same_verdict(path);
      EXPECT_THROW((void)RowFile::open(path), InputError) << length;
    }
    for (std::size_t i = 0; i < good.size(); ++i) {
      for (const char value : {'\0', '\x7f', '\xff', '"', '9', '\n'}) {
        std::string bad = good;
        bad[i] = value;
        expect_same_verdict(scratch.file(name, bad));
      }
    }
  }
}

TEST(RowFile, WhatCannotBeReadInPlaceSaysWhatToDo) {
  const Scratch scratch;
  const std::string bytes = npy("<f4", "(2, 3)", random_values<float>(6));
  const auto expect_refused = [](const std::string& path, std::string_view advice) {
    EXPECT_FALSE(RowFile::can_open(path)) << path;
    expect_error([&] { (void)RowFile::open(path); },
                 {path, "cannot be read where they lie", advice});
  };
  expect_refused(scratch.file("a.npy.gz", gzip(bytes)), "decompress");
  expect_refused(scratch.file("renamed.npy", gzip(bytes)), "decompress");
  expect_refused(scratch.file("t.csv", "1,2\n3,4\n"), ".npy");
  expect_refused(scratch.file("t.TSV", "1\t2\n3\t4\n"), ".npy");
  const std::string pipe = scratch.path("pipe.npy");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(RowFile::can_open(pipe));
  std::thread writer([&] { std::ofstream(pipe, std::ios::binary) << bytes; });
  expect_error([&] { (void)RowFile::open(pipe); }, {"pipe.npy", "is no regular file"});
  writer.join();
  // Compression is told by the content, not by the name.
  EXPECT_TRUE(RowFile::can_open(scratch.file("raw.npy.gz", bytes)));
  EXPECT_EQ(RowFile::open(scratch.path("raw.npy.gz")).rows(), 2);
  EXPECT_FALSE(RowFile::can_open(scratch.path("none.npy")));
  EXPECT_FALSE(RowFile::can_open(scratch.root().string()));
}

TEST(RowFile, ANamedDatasetThatCannotBeHadIsExplained) {
  const Scratch scratch;
  const Environment cache("XDG_CACHE_HOME", scratch.root().string());
  const Environment none("HOURGLASS_DATA_DIR", scratch.path("nowhere"));
  const Environment path("PATH", scratch.root().string());
  EXPECT_TRUE(RowFile::can_open("mnist:train"));
  EXPECT_EQ(message_of<InputError>([] { (void)RowFile::open("mnist:train"); }),
            message_of<InputError>([] { (void)load_dataset("mnist:train"); }));
  expect_error<UsageError>([] { (void)RowFile::open("mnist:valid"); }, {"mnist:train"});
}

TEST(RowFile, ThatBecomesShorterIsAnErrorWithThePlace) {
  const Scratch scratch;
  for (const std::string& path : files_of_every_kind(scratch)) {
    SCOPED_TRACE(path);
    const Dataset data = load_dataset(path);
    const RowFile file = RowFile::open(path);
    const auto size = std::filesystem::file_size(path);
    // Within the last value of row 50.
    const auto last_rows = static_cast<std::uintmax_t>(9 * 35 * file.element_bytes());
    std::filesystem::resize_file(path, size - last_rows - 1);
    EXPECT_EQ(read_of(file, 0, 50), rows_of(data, counting(0, 50)));
    EXPECT_EQ(gather_of(file, {49, 3}), rows_of(data, {49, 3}));
    const std::string place = "ends at byte " + std::to_string(size - last_rows - 1);
    const std::string expected = "expected " + std::to_string(size) + " bytes";
    expect_error([&] { (void)read_of(file, 40, 11); }, {path, place, "row 50", expected});
    expect_error([&] { (void)gather_of(file, {3, 50, 4}); }, {path, place, "row 50", expected});
    expect_error([&] { (void)gather_of(file, {51}); }, {path, "row 51"});
  }
}

TEST(RowFile, WiderThanFloat32IsAnErrorWithThePlace) {
  const Scratch scratch;
  const double inf = std::numeric_limits<double>::infinity();
  const std::string path = scratch.file(
      "f8.npy", npy<double>("<f8", "(4, 3)", {1, 2, 3, inf, 5, 6, 7, 8, -1e39, NAN, 11, 12}));
  const RowFile file = RowFile::open(path);
  EXPECT_EQ(read_of(file, 0, 1), read_of(Dataset::from_matrix("",
                                                              [] {
                                                                Matrix m(1, 3);
                                                                m.values = {1, 2, 3};
                                                                return m;
                                                              }()),
                                         0, 1));
  // Infinity and NaN are told apart from a value that does not fit; who uses them refuses them.
  std::vector<float> row(3);
  file.read(1, 1, row.data());
  EXPECT_EQ(row[0], std::numeric_limits<float>::infinity());
  file.read(3, 1, row.data());
  EXPECT_TRUE(std::isnan(row[0]));
  for (const auto& work : std::vector<std::function<void()>>{
           [&] { (void)read_of(file, 1, 2); },
           [&] {
             (void)gather_of(file, {0, 2});
           },
           [&] { (void)read_of(RowSource(file).slice(2, 2), 0, 1); }}) {
    expect_error(work, {"f8.npy", "row 2, column 2", "-1e+39", "float32's range"});
  }
}

TEST(RowFile, WideRowsOfDoublesAreReadInParts) {
  const Scratch scratch;
  const auto doubles = random_values<double>(3 * 20011);
  const std::string path = scratch.file("wide.npy", npy("<f8", "(3, 20011)", doubles));
  const Dataset data = load_dataset(path);
  EXPECT_EQ(gather_of(RowFile::open(path), {2, 0, 1}), rows_of(data, {2, 0, 1}));
  EXPECT_EQ(read_of(RowFile::open(path), 0, 3), rows_of(data, {0, 1, 2}));
}

TEST(RowFile, RowsBeyondFourGigabytesAreReached) {
  const Scratch scratch;
  // Sparse: takes a few blocks of the disk.
  const auto make = [&](const std::string& name, const std::string& header, std::int64_t bytes) {
    const std::string path = scratch.file(name, header);
    std::filesystem::resize_file(path, header.size() + static_cast<std::uintmax_t>(bytes));
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(-4, std::ios::end);
    file << bytes_of_number(2.5f, false);
    file.close();
    return path;
  };
  const std::string floats =
      make("f4.npy", npy_header("<f4", "(2000000, 784)"), std::int64_t{2000000} * 784 * 4);
  const RowFile file = RowFile::open(floats);
  std::vector<float> row(784);
  file.gather(std::vector<std::int32_t>{1999999}, row.data());
  EXPECT_EQ(row[783], 2.5f);
  EXPECT_EQ(row[782], 0.0f);
  const std::string bytes =
      make("u1.npy", npy_header("|u1", "(3000000000, 1)"), std::int64_t{3000000000});
  const RowFile many = RowFile::open(bytes);
  EXPECT_EQ(many.rows(), 3000000000);
  const auto end = read_of(many, 2999999996, 4);
  EXPECT_EQ(std::memcmp(end.data(), bytes_of_number(2.5f, false).data(), 4), 0);
  // An index has 32 bits; a slice brings the end within its reach.
  EXPECT_EQ(gather_of(RowSource(many).slice(2999999990, 10), {9, 8, 7, 6}),
            (std::vector<unsigned char>{end[3], end[2], end[1], end[0]}));
}

TEST(RowFile, IsReadBySeveralThreadsAtOnce) {
  const Scratch scratch;
  for (const std::string& path : files_of_every_kind(scratch)) {
    const Dataset data = load_dataset(path);
    const RowFile file = RowFile::open(path);
    const auto want_all = rows_of(data, counting(0, 60));
    const auto want_mixed = rows_of(data, mixed);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) {
          wrong += gather_of(file, mixed) != want_mixed;
          wrong += read_of(file, 0, 60) != want_all;
        }
      });
    }
    for (std::thread& thread : threads)
      thread.join();
    EXPECT_EQ(wrong, 0) << path;
  }
}

TEST(RowFile, MovesAndKeepsTheFileOpenWhateverItsNameDoes) {
  const Scratch scratch;
  const std::string path = scratch.file("f4.npy", npy("<f4", "(2, 3)", random_values<float>(6)));
  const Dataset data = load_dataset(path);
  RowFile file = RowFile::open(path);
  RowFile moved(std::move(file));
  RowFile assigned = RowFile::open(path);
  assigned = std::move(moved);
  std::filesystem::remove(path);
  EXPECT_EQ(read_of(assigned, 0, 2), rows_of(data, {0, 1}));
  EXPECT_EQ(assigned.name(), path);
}

}  // namespace
}  // namespace hourglass
