#include "host/data/npy.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "hourglass/dataset.hpp"
#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::bytes_of_number;
using testing::content;
using testing::expect_error;
using testing::gzip;
using testing::Scratch;

std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string text = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
  if (version == 1) {
    text += bytes_of_number(static_cast<std::uint16_t>(header.size()), false);
  } else {
    text += bytes_of_number(static_cast<std::uint32_t>(header.size()), false);
  }
  return text + header + data;
}

std::string dictionary(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
}

template <class T>
std::string little(const std::vector<T>& values) {
  std::string text;
  for (const T value : values)
    text += bytes_of_number(value, false);
  return text;
}

const std::vector<float> six{1.0F, -2.5F, 0.0F, 3e30F, 1e-40F, 7.0F};

TEST(Npy, ReadsEveryVersion) {
  const Scratch scratch;
  for (const int version : {1, 2, 3}) {
    const std::string path =
        scratch.file("a.npy", npy(dictionary("<f4", "(2, 3)"), little(six), version));
    const Array array = read_npy(path);
    EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(std::get<std::vector<float>>(array.values), six);
  }
  const Array array =
      read_npy(scratch.file("a.npy.gz", gzip(npy(dictionary("<f4", "(2, 3)"), little(six)))));
  EXPECT_EQ(std::get<std::vector<float>>(array.values), six);
}

template <class T>
void expect_type(const std::string& descr, const std::vector<T>& wanted) {
  const Scratch scratch;
  const std::string shape = fmt::format("({},)", wanted.size());
  const Array array =
      read_npy(scratch.file("a.npy", npy(dictionary(descr, shape), little(wanted))));
  ASSERT_TRUE(std::holds_alternative<std::vector<T>>(array.values)) << descr;
  EXPECT_EQ(std::get<std::vector<T>>(array.values), wanted) << descr;
}

TEST(Npy, ReadsEveryType) {
  expect_type<std::uint8_t>("|u1", {0, 255});
  expect_type<std::uint8_t>("|b1", {0, 1});
  expect_type<std::int8_t>("|i1", {-128, 127});
  expect_type<std::uint16_t>("<u2", {1, 65535});
  expect_type<std::int16_t>("<i2", {-32768, 258});
  expect_type<std::uint32_t>("<u4", {1, 4294967295U});
  expect_type<std::int32_t>("<i4", {-2147483647, 16909060});
  expect_type<std::uint64_t>("<u8", {1, 0xFFFFFFFFFFFFFFFFU});
  expect_type<std::int64_t>("<i8", {-1, 0x7FFFFFFFFFFFFFFF});
  expect_type<float>("<f4", six);
  expect_type<double>("<f8", {-1.5, 1e300});
}

TEST(Npy, TheHeaderMayBeWrittenInAnyWayPythonDoes) {
  const Scratch scratch;
  for (const std::string header :
       {"{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "  { 'fortran_order' : False , 'shape' : ( 2 , 3 , ) , 'descr' : '<f4' , }   \n",
        "{'descr':'<f4','fortran_order':False,'shape':(2,3)}\n\n\n"}) {
    EXPECT_EQ(read_npy(scratch.file("a.npy", npy(header, little(six)))).shape,
              (std::vector<std::int64_t>{2, 3}))
        << header;
  }
  // One dimension has one order.
  EXPECT_EQ(read_npy(scratch.file("a.npy", npy("{'descr':'<f4','fortran_order':True,'shape':(6,)}",
                                               little(six))))
                .shape,
            (std::vector<std::int64_t>{6}));
}

TEST(Npy, BadHeadersAreErrorsThatGiveTheByte) {
  const Scratch scratch;
  const auto expect_bad = [&](const std::string& header,
                              std::initializer_list<std::string_view> fragments) {
    SCOPED_TRACE(header);
    expect_error([&] { (void)read_npy(scratch.file("bad.npy", npy(header, little(six)))); },
                 fragments);
  };
  expect_bad("", {"bad.npy", "at byte 10", "expected '{'"});
  expect_bad("{", {"at byte 11", "expected a quoted string"});
  expect_bad("{}", {"expected a 'descr'"});
  expect_bad("{'descr': '<f4'}", {"expected a 'fortran_order'"});
  expect_bad("{'descr': '<f4', 'fortran_order': False}", {"expected a 'shape'"});
  expect_bad("{'descr': '<f4', 'descr': '<f4'}", {"at byte 27", "one each of"});
  expect_bad("{'descr': '<f4', 'size': 3}", {"at byte 27", "one each of"});
  expect_bad("{'descr': '<f4}", {"closing quote"});
  expect_bad("{'descr' '<f4'}", {"expected ':'"});
  expect_bad("{'descr': '<f4' 'shape': (6,)}", {"expected '}'"});
  expect_bad(dictionary("<f4", "(6 7)"), {"expected ')'"});
  expect_bad(dictionary("<f4", "6"), {"expected '('"});
  expect_bad(dictionary("<f4", "(-6,)"), {"expected a size"});
  expect_bad(dictionary("<f4", "(six,)"), {"expected a size"});
  expect_bad(dictionary("<f4", "(99999999999999999999,)"), {"expected a size"});
  expect_bad(dictionary("<f4", "(6,)") + "x", {"end of the header"});
  expect_bad(dictionary("<f4", "()"), {"single number"});
  expect_bad(dictionary("<f4", "(0, 3)"), {"0 x 3", "at least 1"});
  expect_bad("{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", {"True or False"});
  expect_bad("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}",
             {"Fortran order", "numpy.ascontiguousarray"});
  expect_bad("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (6,)}",
             {"records of several fields"});
  expect_bad(dictionary(">f4", "(6,)"), {"big-endian", "astype('<f4')"});
  expect_bad(dictionary("<f2", "(6,)"), {"'<f2'", "astype('float32')"});
  expect_bad(dictionary("<c8", "(6,)"), {"'<c8'"});
  expect_bad(dictionary("|O", "(6,)"), {"'|O'"});
  expect_bad(dictionary("", "(6,)"), {"''"});
}

TEST(Npy, LyingSizesAreErrors) {
  const Scratch scratch;
  const auto load = [&](const std::string& bytes) {
    return [&scratch, bytes] { (void)read_npy(scratch.file("lie.npy", bytes)); };
  };
  expect_error(load(npy(dictionary("<f4", "(2, 4)"), little(six))), {"expected", "2 x 4"});
  expect_error(load(npy(dictionary("<f4", "(2, 2)"), little(six))), {"expected", "2 x 2"});
  expect_error(load(npy(dictionary("<f4", "(9223372036854775807, 2)"), little(six))),
               {"than 64 bits can count"});
  expect_error(load(npy(dictionary("<f8", "(4294967296, 4294967296)"), little(six))),
               {"than 64 bits can count"});
  expect_error(load(gzip(npy(dictionary("<f4", "(1000000000000, 1)"), little(six)))), {"lie.npy"});
  std::string long_header = npy("", "", 2);
  long_header.replace(8, 4, "\xff\xff\xff\xff");
  expect_error(load(long_header), {"4294967295 bytes long"});
  expect_error(load(npy(dictionary("<f4", "(6,)"), little(six), 4)), {"version 4"});
  expect_error(load(npy(dictionary("<f4", "(6,)"), little(six), 0)), {"version 0"});
  expect_error(load("PK\x03\x04 a .npz archive"), {"NUMPY"});
}

TEST(Npy, CutAtEveryByteIsAnError) {
  const Scratch scratch;
  const std::string good = npy(dictionary("<f4", "(2, 3)"), little(six));
  for (std::size_t length = 0; length < good.size(); ++length) {
    expect_error([&] { (void)read_npy(scratch.file("cut.npy", good.substr(0, length))); },
                 {"cut.npy"});
  }
  expect_error([&] { (void)read_npy(scratch.file("long.npy", good + "x")); }, {"long.npy"});
}

TEST(Npy, SurvivesEveryChangeOfAByte) {
  const Scratch scratch;
  testing::expect_survives_mutation(scratch, "m.npy", npy(dictionary("<f4", "(2, 3)"), little(six)),
                                    [](const std::string& path) { (void)read_npy(path); });
}

TEST(Npy, WritesWhatNumpyWrites) {
  const Scratch scratch;
  Matrix matrix(2, 3);
  matrix.values = six;
  const std::string path = scratch.path("out.npy");
  save_matrix(path, matrix);
  const std::string bytes = content(path);
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  header.resize(117, ' ');
  EXPECT_EQ(bytes, std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" + little(six));
  ASSERT_EQ(bytes.size(), 128U + 24U);
}

TEST(Npy, RoundTripsEveryBitAndAlignsTheData) {
  const Scratch scratch;
  const std::string path = scratch.path("out.npy");
  for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{33}, std::int64_t{100000}}) {
    Matrix matrix(rows, 2);
    for (std::size_t i = 0; i < matrix.values.size(); ++i) {
      matrix.values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(i * 2654435761U));
    }
    save_matrix(path, matrix);
    EXPECT_EQ((content(path).size() - matrix.values.size() * 4) % 64, 0U);
    const Array array = read_npy(path);
    ASSERT_EQ(array.shape, (std::vector<std::int64_t>{rows, 2}));
    const auto& values = std::get<std::vector<float>>(array.values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]),
                std::bit_cast<std::uint32_t>(matrix.values[i]));
    }
  }
}

}  // namespace
}  // namespace hourglass
