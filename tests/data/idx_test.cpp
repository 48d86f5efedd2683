#include "host/data/idx.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::big32;
using testing::bytes_of_number;
using testing::expect_error;
using testing::gzip;
using testing::Scratch;

std::string header(int type, const std::vector<std::uint32_t>& sizes) {
  std::string text{'\0', '\0', static_cast<char>(type), static_cast<char>(sizes.size())};
  for (const std::uint32_t size : sizes)
    text += big32(size);
  return text;
}

// Two images of 2 x 3.
std::string two_images() {
  return header(0x08, {2, 2, 3}) + "abcdefuvwxyz";
}

void expect_two_images(const std::string& path) {
  const Array array = read_idx(path);
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 2, 3}));
  const auto& values = std::get<std::vector<std::uint8_t>>(array.values);
  EXPECT_EQ(std::string(values.begin(), values.end()), "abcdefuvwxyz");
}

TEST(Idx, ReadsBytesRawAndCompressedWhateverTheName) {
  const Scratch scratch;
  expect_two_images(scratch.file("images", two_images()));
  expect_two_images(scratch.file("raw-but-named.gz", two_images()));
  expect_two_images(scratch.file("compressed", gzip(two_images())));
  expect_two_images(
      scratch.file("members.gz", gzip(two_images().substr(0, 7)) + gzip(two_images().substr(7))));
}

template <class T>
void expect_big_endian(int type, const std::vector<T>& wanted) {
  const Scratch scratch;
  std::string bytes = header(type, {static_cast<std::uint32_t>(wanted.size())});
  for (const T value : wanted)
    bytes += bytes_of_number(value, true);
  const Array array = read_idx(scratch.file("array", bytes));
  ASSERT_TRUE(std::holds_alternative<std::vector<T>>(array.values));
  EXPECT_EQ(std::get<std::vector<T>>(array.values), wanted);
}

TEST(Idx, ReadsEveryTypeBigEndian) {
  expect_big_endian<std::uint8_t>(0x08, {0, 1, 255});
  expect_big_endian<std::int8_t>(0x09, {-128, 0, 127});
  expect_big_endian<std::int16_t>(0x0B, {-32768, 1, 258});
  expect_big_endian<std::int32_t>(0x0C, {-2147483647, 1, 16909060});
  expect_big_endian<float>(0x0D, {-1.5F, 0.0F, 3.25e30F});
  expect_big_endian<double>(0x0E, {-1.5, 0.1, 1e300});
}

TEST(Idx, CutAtEveryByteIsAnError) {
  const Scratch scratch;
  const std::string good = two_images();
  for (std::size_t length = 0; length < good.size(); ++length) {
    const std::string path = scratch.file("cut", good.substr(0, length));
    expect_error([&] { (void)read_idx(path); },
                 {path, length == 0 ? "is empty" : std::to_string(length)});
    const std::string inside = scratch.file("cut-inside", gzip(good.substr(0, length)));
    expect_error([&] { (void)read_idx(inside); }, {inside});
  }
}

TEST(Idx, CompressedCutAtEveryByteIsAnError) {
  const Scratch scratch;
  const std::string good = gzip(two_images());
  for (std::size_t length = 0; length < good.size(); ++length) {
    const std::string path = scratch.file("cut.gz", good.substr(0, length));
    expect_error([&] { (void)read_idx(path); }, {path});
  }
}

TEST(Idx, CorruptCompressionIsAnError) {
  const Scratch scratch;
  std::string images = header(0x08, {100, 10, 10});
  for (int i = 0; i < 10000; ++i)
    images += static_cast<char>(i * i % 251);
  const std::string good = gzip(images);
  // Behind the 10 bytes of header every bit counts: data, CRC and length.
  for (std::size_t i = 10; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    const std::string path = scratch.file("bad.gz", bad);
    EXPECT_THROW((void)read_idx(path), InputError) << "byte " << i;
  }
  expect_error([&] { (void)read_idx(scratch.file("more.gz", good + "rubbish")); },
               {"more.gz", "followed by something else"});
}

TEST(Idx, OverLongIsAnError) {
  const Scratch scratch;
  expect_error([&] { (void)read_idx(scratch.file("long", two_images() + "!")); },
               {"has 29 bytes, expected 28", "2 x 2 x 3"});
  expect_error([&] { (void)read_idx(scratch.file("long.gz", gzip(two_images() + "!"))); },
               {"goes on at byte 28"});
  expect_error([&] { (void)read_idx(scratch.file("two.gz", gzip(two_images()) + gzip("!"))); },
               {"goes on at byte 28"});
}

TEST(Idx, LyingSizesCostNoMemory) {
  const Scratch scratch;
  const std::uint32_t huge = 0xFFFFFFFF;
  for (const auto& sizes :
       std::vector<std::vector<std::uint32_t>>{{huge},
                                               {huge, huge},
                                               {huge, huge, huge},
                                               {huge, huge, huge, huge, huge, huge, huge, huge},
                                               {0x80000000, 0x80000000, 2},
                                               {0x10000, 0x10000, 0x10000, 0x10000},
                                               {3, 2, 3},
                                               {2, 2, 2}}) {
    for (const int type : {0x08, 0x0E}) {
      const std::string bytes = header(type, sizes) + "abcdefuvwxyz";
      expect_error([&] { (void)read_idx(scratch.file("lie", bytes)); }, {"lie"});
      expect_error([&] { (void)read_idx(scratch.file("lie.gz", gzip(bytes))); }, {"lie.gz"});
    }
  }
  expect_error(
      [&] {
        (void)read_idx(scratch.file("lie", header(0x08, {huge, huge, huge})));
      },
      {"more bytes", "than 64 bits can count"});
}

TEST(Idx, AZeroSizeIsAnError) {
  const Scratch scratch;
  for (const auto& sizes : std::vector<std::vector<std::uint32_t>>{{0}, {0, 28, 28}, {2, 0}}) {
    expect_error([&] { (void)read_idx(scratch.file("zero", header(0x08, sizes))); },
                 {"expected every size to be at least 1"});
  }
}

TEST(Idx, WrongMagicSaysWhatIsThere) {
  const Scratch scratch;
  expect_error([&] { (void)read_idx(scratch.file("png", "\x89PNG\r\n")); },
               {"begins with 89 50", "IDX", ".npy"});
  for (const int type : {0x00, 0x07, 0x0A, 0x0F, 0xFF}) {
    expect_error([&] { (void)read_idx(scratch.file("type", header(type, {1}) + "a")); },
                 {"byte 2 is", "08 (uint8)"});
  }
  expect_error([&] { (void)read_idx(scratch.file("scalar", header(0x08, {}) + "a")); },
               {"byte 3 is 0"});
  expect_error(
      [&] {
        (void)read_idx(scratch.file("deep", header(0x08, std::vector<std::uint32_t>(9, 1)) + "a"));
      },
      {"byte 3 is 9"});
}

TEST(Idx, SurvivesEveryChangeOfAByte) {
  const Scratch scratch;
  const auto load = [](const std::string& path) { (void)read_idx(path); };
  testing::expect_survives_mutation(scratch, "raw", two_images(), load);
  testing::expect_survives_mutation(scratch, "gz", gzip(two_images()), load);
}

TEST(Idx, MissingFilesAndDirectoriesAreNamed) {
  const Scratch scratch;
  expect_error([&] { (void)read_idx(scratch.path("none")); },
               {scratch.path("none"), "No such file"});
  expect_error([&] { (void)read_idx(scratch.root().string()); }, {"is a directory"});
  expect_error([] { (void)read_idx(""); }, {"empty name"});
}

}  // namespace
}  // namespace hourglass
