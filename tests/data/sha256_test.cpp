#include "host/data/sha256.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

// NIST's example vectors (FIPS 180-4, SHA-2 additional examples).
TEST(Sha256, GivesTheStandardVectors) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                   "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(sha256("\xbd"), "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b");
  EXPECT_EQ(sha256(std::string(55, '\0')),
            "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7");
  EXPECT_EQ(sha256(std::string(56, '\0')),
            "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb");
  EXPECT_EQ(sha256(std::string(64, '\0')),
            "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
  EXPECT_EQ(sha256(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheBytesArrive) {
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += static_cast<char>(i * 7);
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const std::string whole = sha256(std::string_view(text).substr(0, length));
    for (const std::size_t step : {1U, 3U, 63U, 64U, 65U}) {
      Sha256 hash;
      for (std::size_t at = 0; at < length; at += step) {
        hash.update(text.data() + at, std::min(step, length - at));
      }
      ASSERT_EQ(hash.finish(), whole) << length << " bytes by " << step;
    }
  }
}

TEST(Sha256, OfAFileIsThatOfItsBytes) {
  const testing::Scratch scratch;
  const std::string bytes(600001, 'z');
  EXPECT_EQ(sha256_of_file(scratch.file("z", bytes)), sha256(bytes));
  EXPECT_EQ(sha256_of_file(scratch.file("empty", "")), sha256(""));
  testing::expect_error([&] { (void)sha256_of_file(scratch.path("none")); },
                        {scratch.path("none"), "No such file"});
}

}  // namespace
}  // namespace hourglass
