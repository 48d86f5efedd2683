// Files that are whole or absent: the bytes go to a temporary file in the target's directory, which
// takes the target's name only once everything is written. A reader, or a run that is killed, never
// meets half a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hourglass {

/// Streams bytes into a file that appears under its name at commit(). Without a commit the target
/// is left as it was and the temporary file is removed.
///
///   AtomicFile file("map.npy");
///   file.write(header);
///   file.write(rows);
///   file.commit();
///
/// A symbolic link is followed and kept. An existing file's permissions are kept. A device, a pipe
/// or /dev/stdout cannot be renamed over: those are written to directly. There is no fsync: the
/// promise is against cut writes and killed processes, not against power failure. Every member
/// throws InputError that names the target and the reason: a missing or unwritable directory, a
/// target that is a directory, a full disk.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  /// With `temporary` for the temporary file's name, in the target's directory: what a killed run
  /// has left there is overwritten, so that one at most is left over. For one writer at a time.
  AtomicFile(std::string path, std::string temporary);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view bytes);
  void write(std::span<const std::byte> bytes);
  void commit();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void open_temporary();
  [[noreturn]] void fail_to_open(const std::string& directory, int error_number);
  void write_through(const char* bytes, std::size_t count);
  [[noreturn]] void fail(const std::string& action, int error_number) const;

  std::string path_;
  std::string target_;     // path_ with symbolic links resolved
  std::string temporary_;  // empty where the target is written to directly
  int descriptor_ = -1;
  std::vector<char> buffer_;
};

/// The whole of `bytes` as the file `path`; see AtomicFile.
void write_file_atomically(const std::string& path, std::string_view bytes);
void write_file_atomically(const std::string& path, std::span<const std::byte> bytes);

}  // namespace hourglass
