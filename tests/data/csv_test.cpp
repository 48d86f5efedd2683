#include "host/data/csv.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "hourglass/dataset.hpp"
#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::content;
using testing::expect_error;
using testing::gzip;
using testing::Scratch;

void expect_table(const std::string& text, std::int64_t rows, const std::vector<float>& values,
                  const std::string& name = "t.csv") {
  SCOPED_TRACE(text);
  const Scratch scratch;
  const Matrix matrix = read_csv(scratch.file(name, text));
  EXPECT_EQ(matrix.rows, rows);
  EXPECT_EQ(matrix.columns * rows, static_cast<std::int64_t>(values.size()));
  EXPECT_EQ(matrix.values, values);
}

TEST(Csv, ReadsNumbersInEveryUsualDress) {
  expect_table("1,2\n3,4\n", 2, {1, 2, 3, 4});
  expect_table("1,2\n3,4", 2, {1, 2, 3, 4});
  expect_table("1,2\r\n3,4\r\n", 2, {1, 2, 3, 4});
  expect_table("1,2\n3,4\n\n \r\n\n", 2, {1, 2, 3, 4});
  expect_table(
      "\xef\xbb\xbf"
      "1,2\n",
      1, {1, 2});
  expect_table(" 1 ,\t2 \n", 1, {1, 2});
  expect_table("\"1\",\" 2\"\n", 1, {1, 2});
  expect_table("+1,-2.5e3\n.5,1E-2\n", 2, {1, -2500, 0.5F, 0.01F});
  expect_table("7\n", 1, {7});
  expect_table("1\t2\n3\t4\n", 2, {1, 2, 3, 4}, "t.tsv");
  expect_table("1\t2\n3\t4\n", 2, {1, 2, 3, 4}, "t.TSV");
  expect_table(gzip("1,2\n3,4\n"), 2, {1, 2, 3, 4}, "t.csv.gz");
  expect_table(gzip("1\t2\n"), 1, {1, 2}, "t.tsv.gz");
}

TEST(Csv, TheNumbersAreTheNearestFloats) {
  expect_table("0.1,16777217,3.4028235e38,1e-45,-0\n", 1,
               {0.1F, 16777217.0F, std::numeric_limits<float>::max(), 1e-45F, -0.0F});
  // Below float32's range: zero, as any rounding would have it.
  expect_table("1e-60,-1e-60,1e-400\n", 1, {0, 0, 0});
}

TEST(Csv, AFirstLineWithAWordIsAHeader) {
  expect_table("x,y\n1,2\n", 1, {1, 2});
  expect_table("1,y\n1,2\n", 1, {1, 2});
  expect_table("\"a, b\",c\n1,2\n", 1, {1, 2});
  expect_table(",x\n1,2\n", 1, {1, 2});
  expect_table("label\r\n5\r\n", 1, {5});
}

TEST(Csv, ErrorsNameLineAndColumn) {
  const Scratch scratch;
  const auto expect_bad = [&](const std::string& text,
                              std::initializer_list<std::string_view> fragments,
                              const std::string& name = "bad.csv") {
    SCOPED_TRACE(text);
    expect_error([&] { (void)read_csv(scratch.file(name, text)); }, fragments);
  };
  expect_bad("", {"bad.csv", "is empty"});
  expect_bad("\n\n", {"is empty"});
  expect_bad("x,y\n", {"header line only"});
  expect_bad("1,2\n3\n", {"line 2 has 1 columns, expected 2 as on line 1"});
  expect_bad("x,y\n1,2\n3,4,5\n", {"line 3 has 3 columns, expected 2 as on line 2"});
  expect_bad("1,2\n\n3,4\n", {"line 2 is empty"});
  expect_bad("\n1,2\n", {"line 1 is empty"});
  expect_bad("1,2\n3,\n", {"line 2, column 2 is empty"});
  expect_bad("1,2,\n", {"line 1, column 3 is empty"});
  expect_bad("1\t2\t\n", {"line 1, column 3 is empty"}, "bad.tsv");
  expect_bad("1,2\n3,four\n", {"line 2, column 2 is \"four\""});
  expect_bad("1,2\n3,4x\n", {"column 2 is \"4x\""});
  expect_bad("1,2\n3,+-4\n", {"column 2 is \"+-4\""});
  expect_bad("1,2\n0x10,4\n", {"column 1 is \"0x10\""});
  expect_bad("1,2\n1 2,4\n", {"column 1 is \"1 2\""});
  expect_bad("1;2\n3;4\n", {"line 2, column 1 is \"3;4\""});
  expect_bad("1,2\n\"3,4\n", {"line 2, column 1 is \"\"3\""});
  expect_bad("1,2\n3,nan\n", {"line 2, column 2 is nan", "finite"});
  expect_bad("inf,2\n", {"line 1, column 1 is inf", "finite"});
  expect_bad("1,2\n-Infinity,2\n", {"line 2, column 1 is -Infinity", "finite"});
  expect_bad("1,2\n3,1e39\n", {"line 2, column 2 is 1e39", "float32's range"});
  expect_bad("1,1e999\n", {"line 1, column 2 is 1e999", "float32's range"});
  expect_bad("1\n" + std::string(1000, 'x') + "\n", {"x..."});
  expect_bad(std::string("1\n\x01\x02\0\xff", 6), {"\"????\""});
}

TEST(Csv, SurvivesEveryChangeOfAByteAndEveryCut) {
  const Scratch scratch;
  const std::string good = "a,\"b\"\r\n1,-2.5e-3\n+3,4\n";
  const auto load = [](const std::string& path) { (void)read_csv(path); };
  testing::expect_survives_mutation(scratch, "m.csv", good, load);
  for (std::size_t length = 0; length < good.size(); ++length) {
    try {
      load(scratch.file("cut.csv", good.substr(0, length)));
    } catch (const InputError&) {
    }
  }
}

TEST(Csv, LabelsAreOneColumnOfWholeNumbers) {
  const Scratch scratch;
  const auto labels = [&](const std::string& text) {
    return read_csv_labels(scratch.file("l.csv", text));
  };
  EXPECT_EQ(labels("5\n0\n-3\n"), (std::vector<std::int32_t>{5, 0, -3}));
  EXPECT_EQ(labels("digit\n7.0\n2147483647\n16777217\n-2147483648\n"),
            (std::vector<std::int32_t>{7, 2147483647, 16777217, std::int32_t{-2147483647} - 1}));
  expect_error([&] { (void)labels("1,2\n"); }, {"l.csv", "line 1 has 2 columns"});
  expect_error([&] { (void)labels("l\n1.5\n"); }, {"line 2 is 1.5"});
  expect_error([&] { (void)labels("2147483648\n"); }, {"line 1 is 2147483648"});
  expect_error([&] { (void)labels("-2147483649\n"); }, {"line 1"});
  expect_error([&] { (void)labels("1\ncat\n"); }, {"line 2, column 1 is \"cat\""});
  expect_error([&] { (void)labels("1\nnan\n"); }, {"line 2, column 1 is nan"});
}

TEST(Csv, WhatIsWrittenReadsBackBitForBit) {
  const Scratch scratch;
  Matrix matrix(3, 2);
  matrix.values = {0.1F,   -0.0F,       std::numeric_limits<float>::max(),
                   1e-45F, 1.0F / 3.0F, 16777216.0F};
  for (const char* name : {"o.csv", "o.tsv"}) {
    save_matrix(scratch.path(name), matrix);
    const Matrix back = read_csv(scratch.path(name));
    ASSERT_EQ(back.rows, 3);
    ASSERT_EQ(back.columns, 2);
    EXPECT_EQ(back.values, matrix.values);
    EXPECT_TRUE(std::signbit(back.values[1]));
  }
  EXPECT_EQ(content(scratch.path("o.csv")).substr(0, 7), "0.1,-0\n");
}

}  // namespace
}  // namespace hourglass
