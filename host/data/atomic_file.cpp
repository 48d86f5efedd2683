#include "host/data/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <utility>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

constexpr std::size_t buffer_bytes = 1 << 16;

// Names that stand for a descriptor of this process: what they resolve to must not be renamed over,
// since others hold the same open file.
bool names_a_descriptor(std::string_view path) {
  return path.starts_with("/dev/std") || path.starts_with("/dev/fd/") || path.starts_with("/proc/");
}

// The file that `path` leads to, through symbolic links. A link to a file that does not exist yet
// is followed by hand, since realpath() refuses it.
std::string resolve(const std::string& path) {
  std::string current = path;
  for (int links = 0; links < 40; ++links) {
    char buffer[PATH_MAX];
    const ssize_t length = readlink(current.c_str(), buffer, sizeof buffer);
    if (length < 0) return current;
    const std::filesystem::path target(std::string(buffer, static_cast<std::size_t>(length)));
    current = (std::filesystem::path(current).parent_path() / target).string();
  }
  return current;
}

std::string directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : AtomicFile(std::move(path), {}) {}

AtomicFile::AtomicFile(std::string path, std::string temporary)
    : path_(std::move(path)), temporary_(std::move(temporary)) {
  if (path_.empty()) throw InputError("cannot write a file with an empty name");
  target_ = names_a_descriptor(path_) ? path_ : resolve(path_);

  struct stat status {};
  const bool exists = stat(target_.c_str(), &status) == 0;
  if ((exists && S_ISDIR(status.st_mode)) || target_.ends_with('/')) {
    throw InputError(
        fmt::format("cannot write {}: it is a directory, expected the name of a file", path_));
  }
  buffer_.reserve(buffer_bytes);
  if (names_a_descriptor(path_) || (exists && !S_ISREG(status.st_mode))) {
    temporary_.clear();
    descriptor_ = open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("open", errno);
    return;
  }
  // Another process may have removed it since: then there is nothing to replace.
  if (exists && faccessat(AT_FDCWD, target_.c_str(), W_OK, AT_EACCESS) != 0 && errno != ENOENT) {
    fail("replace", errno);
  }
  open_temporary();
  if (exists) {
    // Best effort: a file system without permissions still takes the data.
    [[maybe_unused]] const int ignored = fchmod(descriptor_, status.st_mode & 07777);
  }
}

void AtomicFile::open_temporary() {
  const std::string directory = directory_of(target_);
  if (!temporary_.empty()) {
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail_to_open(directory, errno);
    return;
  }
  static std::atomic<unsigned> counter{0};
  std::random_device random;
  // The name is independent of the target's, whose length may already be the longest that is
  // allowed.
  for (int attempt = 0; attempt < 100; ++attempt) {
    temporary_ = fmt::format("{}/.hourglass-{}-{}-{:08x}.partial", directory, getpid(),
                             counter.fetch_add(1), random());
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) return;
    if (errno != EEXIST) break;
  }
  fail_to_open(directory, errno);
}

void AtomicFile::fail_to_open(const std::string& directory, int error_number) {
  temporary_.clear();
  if (error_number == ENOENT) {
    throw InputError(
        fmt::format("cannot write {}: the directory {} does not exist", path_, directory));
  }
  if (error_number == ENOTDIR) {
    throw InputError(fmt::format("cannot write {}: {} is not a directory", path_, directory));
  }
  fail(fmt::format("create a file in the directory {}", directory), error_number);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::fail(const std::string& action, int error_number) const {
  throw InputError(
      fmt::format("cannot write {}: cannot {}: {}", path_, action, std::strerror(error_number)));
}

void AtomicFile::write(std::string_view bytes) {
  if (buffer_.size() + bytes.size() <= buffer_bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return;
  }
  write_through(buffer_.data(), buffer_.size());
  buffer_.clear();
  if (bytes.size() < buffer_bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  } else {
    write_through(bytes.data(), bytes.size());
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void AtomicFile::write_through(const char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t written = ::write(descriptor_, bytes, count);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(fmt::format("write {} bytes", count), errno);
    }
    bytes += written;
    count -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  write_through(buffer_.data(), buffer_.size());
  buffer_.clear();
  // Network file systems report a full disk only here.
  if (close(std::exchange(descriptor_, -1)) != 0) fail("finish writing", errno);
  if (temporary_.empty()) return;
  if (rename(temporary_.c_str(), target_.c_str()) != 0) fail("give the file its name", errno);
  temporary_.clear();
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const std::string& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace hourglass
