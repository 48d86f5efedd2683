#include "host/data/tar.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/data/scratch.hpp"
#include "tests/data/tar_archive.hpp"

namespace hourglass {
namespace {

using testing::expect_error;
using testing::gzip;
using testing::Scratch;
using testing::tar_end;
using testing::tar_member;

std::string text_of(const std::vector<std::uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

std::string archive() {
  return tar_member("package/readme", "not wanted") + tar_member("package/data/one", "1") +
         tar_member("package/data", "", '5') +
         tar_member("package/data/two", std::string(1025, '2')) +
         tar_member("package/data/none", "") + tar_end();
}

TEST(Tar, GivesTheWantedFiles) {
  const Scratch scratch;
  for (const std::string& bytes : {archive(), gzip(archive())}) {
    const auto found = read_from_tar(
        scratch.file("a.tar", bytes),
        {"package/data/one", "package/data/two", "package/data/none", "package/data/three"}, 4096);
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(text_of(found.at("package/data/one")), "1");
    EXPECT_EQ(text_of(found.at("package/data/two")), std::string(1025, '2'));
    EXPECT_TRUE(found.at("package/data/none").empty());
  }
}

TEST(Tar, JoinsALongNameFromItsPrefix) {
  const Scratch scratch;
  const std::string path =
      scratch.file("a.tar", tar_member("file", "x", '0', "a/long/prefix") + tar_end());
  EXPECT_EQ(read_from_tar(path, {"a/long/prefix/file"}, 10).size(), 1U);
  EXPECT_TRUE(read_from_tar(path, {"file"}, 10).empty());
}

TEST(Tar, OnlyRegularFilesCount) {
  const Scratch scratch;
  const std::string path = scratch.file("a.tar", tar_member("file", "", '2') + tar_end());
  EXPECT_TRUE(read_from_tar(path, {"file"}, 10).empty());
}

TEST(Tar, CutAtEveryByteBeforeTheLastWantedFileIsAnError) {
  const Scratch scratch;
  const std::string good = tar_member("one", "1") + tar_member("two", "22");
  for (std::size_t length = 0; length < good.size(); ++length) {
    expect_error(
        [&] { (void)read_from_tar(scratch.file("cut.tar", good.substr(0, length)), {"two"}, 10); },
        {"cut.tar"});
  }
  EXPECT_EQ(read_from_tar(scratch.file("a.tar", good), {"two"}, 10).size(), 1U);
}

TEST(Tar, DamageAndLiesAreErrors) {
  const Scratch scratch;
  const auto load = [&](const std::string& bytes) {
    return [&scratch, bytes] { (void)read_from_tar(scratch.file("bad.tar", bytes), {"two"}, 10); };
  };
  std::string damaged = tar_member("two", "22");
  damaged[1] ^= 1;
  expect_error(load(damaged), {"checksum"});
  expect_error(load(tar_member("two", std::string(11, 'x'))), {"two", "expected at most 10"});
  expect_error(load(tar_member("one", "", '0', "", "77777777777")), {"bad.tar"});
  expect_error(load(tar_member("one", "", '0', "", "9")), {"octal"});
  expect_error(load(tar_member("one", "", '0', "", " ")), {"no number"});
  testing::expect_survives_mutation(
      scratch, "m.tar", tar_member("two", "22").substr(0, 512) + std::string(512, '2'),
      [](const std::string& path) { (void)read_from_tar(path, {"two"}, 10); });
}

}  // namespace
}  // namespace hourglass
