#include "host/data/atomic_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::content;
using testing::expect_error;
using testing::Scratch;

// Limits the size that a file may reach: the same error path as a full disk, on any file system.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int) = nullptr;
};

TEST(AtomicFile, WritesTheWholeAndNothingElse) {
  const Scratch scratch;
  const std::string path = scratch.path("out.bin");
  write_file_atomically(path, std::string_view("a\0b\n", 4));
  EXPECT_EQ(content(path), std::string("a\0b\n", 4));
  EXPECT_EQ(scratch.names(), std::vector<std::string>{"out.bin"});
  write_file_atomically(path, std::string_view());
  EXPECT_EQ(content(path), "");
}

TEST(AtomicFile, StreamsAnySizesInOrder) {
  const Scratch scratch;
  const std::string path = scratch.path("out.bin");
  AtomicFile file(path);
  std::string expected;
  for (const std::size_t bytes : {0U, 1U, 65535U, 65536U, 65537U, 3U, 200000U, 65536U, 7U}) {
    std::string piece(bytes, static_cast<char>('a' + expected.size() % 26));
    file.write(piece);
    expected += piece;
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << "the file has its name before it is whole";
  file.commit();
  EXPECT_EQ(content(path), expected);
  EXPECT_EQ(scratch.names().size(), 1U);
}

TEST(AtomicFile, LeavesTheOldFileWithoutACommit) {
  const Scratch scratch;
  const std::string path = scratch.file("out.txt", "old");
  {
    AtomicFile file(path);
    file.write(std::string(100000, 'x'));
  }
  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(scratch.names(), std::vector<std::string>{"out.txt"});
}

TEST(AtomicFile, KeepsPermissionsAndHonoursTheUmask) {
  const Scratch scratch;
  const std::string path = scratch.file("out.txt", "old");
  chmod(path.c_str(), 0640);
  write_file_atomically(path, std::string_view("new"));
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0640U);

  const mode_t before = umask(027);
  write_file_atomically(scratch.path("fresh.txt"), std::string_view("new"));
  umask(before);
  ASSERT_EQ(stat(scratch.path("fresh.txt").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0640U);
}

TEST(AtomicFile, FollowsALinkAndKeepsIt) {
  const Scratch scratch;
  std::filesystem::create_directory(scratch.root() / "there");
  std::filesystem::create_symlink("there/file", scratch.path("link"));
  write_file_atomically(scratch.path("link"), std::string_view("first"));
  EXPECT_EQ(content(scratch.path("there/file")), "first");
  write_file_atomically(scratch.path("link"), std::string_view("second"));
  EXPECT_TRUE(std::filesystem::is_symlink(scratch.path("link")));
  EXPECT_EQ(content(scratch.path("there/file")), "second");
}

TEST(AtomicFile, TakesTheLongestNameThatTheFileSystemDoes) {
  const Scratch scratch;
  const std::string path = scratch.path(std::string(255, 'n'));
  write_file_atomically(path, std::string_view("x"));
  EXPECT_EQ(content(path), "x");
}

TEST(AtomicFile, NamesTheMissingDirectory) {
  const Scratch scratch;
  const std::string path = scratch.path("missing/out.npy");
  expect_error([&] { AtomicFile file(path); },
               {path, "directory " + scratch.path("missing") + " does not exist"});
  expect_error([&] { AtomicFile file(scratch.file("plain", "x") + "/out.npy"); },
               {"is not a directory"});
}

TEST(AtomicFile, RefusesADirectoryAndAnEmptyName) {
  const Scratch scratch;
  expect_error([&] { AtomicFile file(scratch.root().string()); },
               {scratch.root().string(), "is a directory"});
  expect_error([&] { AtomicFile file(scratch.path("new") + "/"); }, {"is a directory"});
  expect_error([] { AtomicFile file(""); }, {"empty name"});
}

// Runs as an ordinary user for a while: the superuser may write anywhere.
class OrdinaryUser {
 public:
  OrdinaryUser() { is_ordinary_ = geteuid() != 0 || seteuid(65534) == 0; }
  ~OrdinaryUser() {
    if (geteuid() != getuid()) [[maybe_unused]]
      const int ignored = seteuid(getuid());
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;
  [[nodiscard]] bool is_ordinary() const { return is_ordinary_; }

 private:
  bool is_ordinary_ = false;
};

TEST(AtomicFile, RefusesWhatTheUserMayNotWrite) {
  const Scratch scratch;
  std::filesystem::create_directory(scratch.root() / "locked");
  std::filesystem::create_directory(scratch.root() / "open");
  const std::string read_only = scratch.file("open/read-only", "old");
  chmod(scratch.root().c_str(), 0755);
  chmod(scratch.path("locked").c_str(), 0555);
  chmod(scratch.path("open").c_str(), 0777);
  chmod(read_only.c_str(), 0444);
  {
    const OrdinaryUser user;
    if (!user.is_ordinary()) GTEST_SKIP() << "the superuser may write anywhere";
    expect_error([&] { AtomicFile file(scratch.path("locked/out")); },
                 {scratch.path("locked"), "Permission denied"});
    expect_error([&] { write_file_atomically(read_only, std::string_view("new")); },
                 {read_only, "Permission denied"});
    EXPECT_NO_THROW(write_file_atomically(scratch.path("open/out"), std::string_view("new")));
  }
  EXPECT_EQ(content(read_only), "old");
}

TEST(AtomicFile, RefusesADirectoryThatTakesNoFiles) {
  expect_error([] { AtomicFile file("/proc/self/task/out"); }, {"/proc/self/task/out"});
  expect_error([] { AtomicFile file("/sys/out"); }, {"cannot write /sys/out"});
}

TEST(AtomicFile, AFullDiskLeavesTheOldFileAndNoRubbish) {
  const Scratch scratch;
  const std::string path = scratch.file("out.bin", "old");
  for (const std::size_t bytes : {5000U, 500000U}) {
    const FileSizeLimit limit(4096);
    expect_error([&] { write_file_atomically(path, std::string(bytes, 'x')); },
                 {path, "File too large"});
  }
  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(scratch.names(), std::vector<std::string>{"out.bin"});
}

TEST(AtomicFile, WritesThroughToADevice) {
  expect_error([] { write_file_atomically("/dev/full", std::string_view("x")); },
               {"/dev/full", "No space left"});
  write_file_atomically("/dev/null", std::string_view("x"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null")) << "the device was replaced";
}

TEST(AtomicFile, WritersOfOneTargetNeverMix) {
  const Scratch scratch;
  const std::string path = scratch.path("out.bin");
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&path, w] {
      const std::string bytes(100000, static_cast<char>('a' + w));
      for (int i = 0; i < 20; ++i)
        write_file_atomically(path, bytes);
    });
  }
  for (std::thread& writer : writers)
    writer.join();
  const std::string got = content(path);
  ASSERT_EQ(got.size(), 100000U);
  EXPECT_EQ(got, std::string(100000, got[0]));
  EXPECT_EQ(scratch.names().size(), 1U);
}

}  // namespace
}  // namespace hourglass
