#include "hourglass/dataset.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::big32;
using testing::bytes_of_number;
using testing::content;
using testing::Environment;
using testing::expect_error;
using testing::gzip;
using testing::Scratch;

std::string idx(int type, const std::vector<std::uint32_t>& sizes, const std::string& data) {
  std::string text{'\0', '\0', static_cast<char>(type), static_cast<char>(sizes.size())};
  for (const std::uint32_t size : sizes)
    text += big32(size);
  return text + data;
}

template <class T>
std::string npy(const std::string& descr, const std::string& shape, const std::vector<T>& values) {
  const std::string header =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
  std::string text = std::string("\x93NUMPY\x01\x00", 8) +
                     bytes_of_number(static_cast<std::uint16_t>(header.size()), false) + header;
  for (const T value : values)
    text += bytes_of_number(value, false);
  return text;
}

TEST(LoadDataset, KeepsBytesAsBytesAndTheImagesSize) {
  const Scratch scratch;
  for (const std::string& path : {scratch.file("i", idx(8, {2, 2, 3}, "abcdefghijkl")),
                                  scratch.file("i.gz", gzip(idx(8, {2, 2, 3}, "abcdefghijkl")))}) {
    const Dataset data = load_dataset(path);
    EXPECT_EQ(data.name, path);
    EXPECT_EQ(data.rows, 2);
    EXPECT_EQ(data.columns, 6);
    EXPECT_EQ(data.image_height, 2);
    EXPECT_EQ(data.image_width, 3);
    ASSERT_TRUE(data.is_bytes());
    EXPECT_EQ(std::memcmp(data.data(), "abcdefghijkl", 12), 0);
    EXPECT_TRUE(data.labels.empty());
  }
}

TEST(LoadDataset, ReadsFloatsFromEveryFormat) {
  const Scratch scratch;
  const std::vector<float> wanted{1, -2, 3.5F, 4, 5, 6};
  std::string big;
  for (const float value : wanted)
    big += bytes_of_number(value, true);
  for (const std::string& path :
       {scratch.file("f.npy", npy<float>("<f4", "(3, 2)", wanted)),
        scratch.file("d.npy", npy<double>("<f8", "(3, 2)", {1, -2, 3.5, 4, 5, 6})),
        scratch.file("t.csv", "x,y\n1,-2\n3.5,4\n5,6\n"),
        scratch.file("t.tsv", "1\t-2\n3.5\t4\n5\t6\n"),
        scratch.file("f.idx", idx(0x0D, {3, 2}, big))}) {
    SCOPED_TRACE(path);
    const Dataset data = load_dataset(path);
    EXPECT_EQ(data.rows, 3);
    EXPECT_EQ(data.columns, 2);
    EXPECT_EQ(data.image_height, 0);
    EXPECT_EQ(data.image_width, 0);
    ASSERT_FALSE(data.is_bytes());
    EXPECT_EQ(std::get<1>(data.values), wanted);
    EXPECT_EQ(data.data(), std::get<1>(data.values).data());
  }
}

TEST(LoadDataset, OnlyThreeDimensionsAreAnImage) {
  const Scratch scratch;
  const std::vector<std::uint8_t> twelve(12);
  const auto load = [&](const std::string& shape) {
    return load_dataset(scratch.file("a.npy", npy<std::uint8_t>("|u1", shape, twelve)));
  };
  EXPECT_EQ(load("(2, 2, 3)").image_width, 3);
  EXPECT_EQ(load("(2, 2, 3, 1)").image_width, 3);
  EXPECT_EQ(load("(2, 6)").image_width, 0);
  const Dataset colour = load("(1, 2, 2, 3)");
  EXPECT_EQ(colour.columns, 12);
  EXPECT_EQ(colour.image_height, 0) << "height x width would not be the number of columns";
}

TEST(LoadDataset, NotANumberAndInfinityAreNamedByPlace) {
  const Scratch scratch;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  expect_error(
      [&] {
        (void)load_dataset(
            scratch.file("a.npy", npy<float>("<f4", "(2, 3)", {1, 2, 3, 4, nan, inf})));
      },
      {"a.npy", "row 1, column 1", "nan"});
  expect_error(
      [&] {
        (void)load_dataset(
            scratch.file("a.npy", npy<double>("<f8", "(2, 3)", {1, 2, -HUGE_VAL, 4, 5, 6})));
      },
      {"row 0, column 2", "-inf"});
  expect_error(
      [&] {
        (void)load_dataset(scratch.file("a.npy", npy<double>("<f8", "(1, 2)", {1, 1e39})));
      },
      {"row 0, column 1", "1e+39", "float32's range"});
  // Beyond the first block of the search, and at its edges.
  for (const std::size_t place :
       {std::size_t{0}, std::size_t{4095}, std::size_t{4096}, std::size_t{9999}}) {
    std::vector<float> many(10000, 1.0F);
    many[place] = -inf;
    expect_error(
        [&] { (void)load_dataset(scratch.file("a.npy", npy<float>("<f4", "(1000, 10)", many))); },
        {"row " + std::to_string(place / 10) + ", column " + std::to_string(place % 10)});
  }
  std::vector<float> extremes{std::numeric_limits<float>::max(), -std::numeric_limits<float>::max(),
                              1e-45F, 0.0F};
  EXPECT_NO_THROW((void)load_dataset(scratch.file("a.npy", npy<float>("<f4", "(2, 2)", extremes))));
}

TEST(LoadDataset, RefusesWhatIsNoTableOfFeatures) {
  const Scratch scratch;
  expect_error([&] { (void)load_dataset(scratch.file("l", idx(8, {3}, "abc"))); },
               {"one dimension of 3"});
  expect_error(
      [&] {
        (void)load_dataset(scratch.file("i.npy", npy<std::int64_t>("<i8", "(1, 2)", {1, 2})));
      },
      {"i.npy", "int64", "uint8, float32 or float64"});
  expect_error([&] { (void)load_dataset(scratch.path("none.npy")); }, {"none.npy", "No such file"});
  expect_error([&] { (void)load_dataset(scratch.root().string()); }, {"is a directory"});
  expect_error<UsageError>([] { (void)load_dataset("mnist:valid"); }, {"mnist:train"});
}

TEST(LoadDataset, ANamedDatasetIsReadFromTheCacheOrExplained) {
  const Scratch scratch;
  const Environment cache("XDG_CACHE_HOME", scratch.root().string());
  const Environment none("HOURGLASS_DATA_DIR", scratch.path("nowhere"));
  const Environment path("PATH", scratch.root().string());
  expect_error([] { (void)load_dataset("mnist:train"); },
               {"mnist: cannot get train-images-idx3-ubyte", "HOURGLASS_DATA_DIR"});
  expect_error([] { (void)load_labels("mnist:test", -1); }, {"mnist: cannot get"});
}

TEST(LoadLabels, ReadsEveryIntegerType) {
  const Scratch scratch;
  const std::vector<std::int32_t> wanted{3, 0, 9};
  for (const std::string& path :
       {scratch.file("l", idx(8, {3}, std::string("\3\0\x09", 3))),
        scratch.file("l.gz", gzip(idx(8, {3}, std::string("\3\0\x09", 3)))),
        scratch.file("i.idx", idx(0x0C, {3}, big32(3) + big32(0) + big32(9))),
        scratch.file("a.npy", npy<std::uint8_t>("|u1", "(3,)", {3, 0, 9})),
        scratch.file("b.npy", npy<std::int64_t>("<i8", "(3,)", {3, 0, 9})),
        scratch.file("c.npy", npy<std::uint64_t>("<u8", "(3, 1)", {3, 0, 9})),
        scratch.file("d.npy", npy<std::int16_t>("<i2", "(3,)", {3, 0, 9})),
        scratch.file("l.csv", "label\n3\n0\n9\n")}) {
    SCOPED_TRACE(path);
    EXPECT_EQ(load_labels(path, 3), wanted);
    EXPECT_EQ(load_labels(path, -1), wanted);
    expect_error([&] { (void)load_labels(path, 4); }, {path, "has 3 labels, expected 4"});
  }
}

TEST(LoadLabels, RefusesWhatIsNoLabel) {
  const Scratch scratch;
  const auto load = [&](const std::string& bytes) {
    return [&scratch, bytes] { (void)load_labels(scratch.file("l.npy", bytes), -1); };
  };
  expect_error(load(npy<float>("<f4", "(2,)", {1, 2})), {"l.npy", "float32", "integer"});
  expect_error(load(npy<std::int32_t>("<i4", "(2, 2)", {1, 2, 3, 4})), {"2 x 2"});
  expect_error(load(npy<std::int32_t>("<i4", "(1, 2)", {1, 2})), {"1 x 2"});
  expect_error(load(npy<std::int64_t>("<i8", "(2,)", {1, 1LL << 31})), {"row 1", "2147483648"});
  expect_error(load(npy<std::int64_t>("<i8", "(2,)", {-(1LL << 31) - 1, 0})), {"row 0"});
  expect_error(load(npy<std::uint64_t>("<u8", "(1,)", {~0ULL})), {"row 0", "18446744073709551615"});
}

TEST(Matrices, RoundTripByExtension) {
  const Scratch scratch;
  Matrix matrix(2, 3);
  matrix.values = {0.1F, -2, 3e30F, 4, 1e-40F, 6};
  for (const char* name : {"m.npy", "m.csv", "m.tsv", "m.NPY"}) {
    save_matrix(scratch.path(name), matrix);
    const Matrix back = load_matrix(scratch.path(name));
    EXPECT_EQ(back.rows, 2) << name;
    EXPECT_EQ(back.columns, 3) << name;
    EXPECT_EQ(back.values, matrix.values) << name;
  }
  EXPECT_EQ(scratch.names().size(), 4U) << "temporary files are left";
}

TEST(Matrices, BytesBecomeNumbers) {
  const Scratch scratch;
  const Matrix matrix = load_matrix(scratch.file("b", idx(8, {1, 3}, std::string("\0\1\xff", 3))));
  EXPECT_EQ(matrix.values, (std::vector<float>{0, 1, 255}));
}

TEST(Matrices, RefusesOtherExtensionsAndPlaces) {
  const Scratch scratch;
  const Matrix matrix(1, 1);
  for (const char* name : {"m", "m.txt", "m.npz", "m.npy.gz", ".npy/"}) {
    expect_error<UsageError>([&] { save_matrix(scratch.path(name), matrix); },
                             {".npy, .csv or .tsv"});
  }
  expect_error([&] { save_matrix(scratch.path("missing/m.npy"), matrix); },
               {"directory " + scratch.path("missing")});
}

TEST(Matrices, WrittenInPartsAreTheSameFile) {
  const Scratch scratch;
  Matrix matrix(3000, 7);
  for (std::size_t i = 0; i < matrix.values.size(); ++i)
    matrix.values[i] = 1.0F / static_cast<float>(i + 1);
  const std::span<const float> values = matrix.values;
  for (const char* name : {"m.npy", "m.csv", "m.tsv"}) {
    save_matrix(scratch.path(name), matrix);
    const std::string whole = content(scratch.path(name));
    std::filesystem::remove(scratch.path(name));
    MatrixWriter writer(scratch.path(name), 3000, 7);
    std::size_t written = 0;
    for (const std::size_t rows : {1U, 0U, 999U, 1700U, 300U}) {
      writer.write(values.subspan(7 * written, 7 * rows));
      written += rows;
    }
    EXPECT_FALSE(std::filesystem::exists(scratch.path(name)));
    EXPECT_THROW(writer.write(values.first(7)), std::invalid_argument) << "one row too many";
    writer.commit();
    EXPECT_EQ(content(scratch.path(name)), whole) << name;
  }
}

TEST(Matrices, InPartsThatAreNotWholeLeaveNothingBehind) {
  const Scratch scratch;
  const std::vector<float> values(20);
  for (const char* name : {"m.npy", "m.csv"}) {
    MatrixWriter writer(scratch.path(name), 3, 7);
    EXPECT_THROW(writer.write(values), std::invalid_argument) << "not whole rows";
    writer.write(std::span(values).first(14));
    EXPECT_THROW(writer.commit(), std::invalid_argument) << "a row is missing";
    MatrixWriter moved(std::move(writer));
    moved = MatrixWriter(scratch.path("other.npy"), 1, 1);
  }
  EXPECT_TRUE(scratch.names().empty());
  const Matrix empty(0, 4);
  save_matrix(scratch.path("none.npy"), empty);
  EXPECT_NE(content(scratch.path("none.npy")).find("'shape': (0, 4)"), std::string::npos);
}

TEST(Slices, TakeRowsAndTheirLabels) {
  Dataset data;
  data.name = "d";
  data.rows = 3;
  data.columns = 2;
  data.image_height = 1;
  data.image_width = 2;
  data.values = std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6};
  data.labels = {7, 8, 9};
  const Dataset part = data.slice(1, 2);
  EXPECT_EQ(part.name, "d");
  EXPECT_EQ(part.rows, 2);
  EXPECT_EQ(part.columns, 2);
  EXPECT_EQ(part.image_width, 2);
  EXPECT_EQ(std::get<0>(part.values), (std::vector<std::uint8_t>{3, 4, 5, 6}));
  EXPECT_EQ(part.labels, (std::vector<std::int32_t>{8, 9}));
  EXPECT_EQ(data.slice(3, 0).rows, 0);
  EXPECT_EQ(data.slice(0, 3).labels, data.labels);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{-1, 1},
                                     {0, 4},
                                     {3, 1},
                                     {4, 0},
                                     {0, -1},
                                     {1, most},
                                     {most, most}}) {
    expect_error<UsageError>([&, f = first, c = count] { (void)data.slice(f, c); },
                             {"d: ", "it has 3"});
  }
}

TEST(Slices, OfFloatsStayFloats) {
  Matrix matrix(3, 1);
  matrix.values = {1, 2, 3};
  const Dataset data = Dataset::from_matrix("m", matrix);
  EXPECT_EQ(data.name, "m");
  EXPECT_EQ(data.rows, 3);
  EXPECT_EQ(data.columns, 1);
  EXPECT_FALSE(data.is_bytes());
  const Dataset part = data.slice(1, 1);
  EXPECT_EQ(std::get<1>(part.values), std::vector<float>{2});
  EXPECT_TRUE(part.labels.empty());
}

}  // namespace
}  // namespace hourglass
