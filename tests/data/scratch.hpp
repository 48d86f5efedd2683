// What the tests of the data readers share: a directory of their own, files made of bytes, and a
// check that an error is an InputError that says what it must.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/error.hpp"

namespace hourglass::testing {

/// A fresh directory, removed with all that is in it at the end.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "hourglass-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    root_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] std::string path(const std::string& name) const { return (root_ / name).string(); }
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

  /// Writes `bytes` as the file `name` and gives its path.
  std::string file(const std::string& name, std::string_view bytes) const {
    // Removed first: some file systems write a truncated file to the disk at once, which takes
    // milliseconds.
    std::filesystem::remove(root_ / name);
    std::ofstream out(root_ / name, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out) throw std::runtime_error("cannot write " + name);
    return path(name);
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(root_)) {
      found.push_back(entry.path().filename().string());
    }
    return found;
  }

 private:
  std::filesystem::path root_;
};

inline std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline std::string gzip(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// Little-endian or big-endian bytes of a number.
template <class T>
std::string bytes_of_number(T value, bool big_endian) {
  std::string text(reinterpret_cast<const char*>(&value), sizeof value);
  return big_endian ? std::string(text.rbegin(), text.rend()) : text;
}

inline std::string big32(std::uint32_t value) {
  return bytes_of_number(value, true);
}

/// The message of the `Expected` error that `action` throws; a failure where it throws another, or
/// none.
template <class Expected>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Expected& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception: " << error.what();
    return "";
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

template <class Expected = InputError>
void expect_error(const std::function<void()>& action,
                  std::initializer_list<std::string_view> fragments) {
  const std::string message = message_of<Expected>(action);
  for (const std::string_view fragment : fragments) {
    EXPECT_NE(message.find(fragment), std::string::npos)
        << "\"" << fragment << "\" is not in: " << message;
  }
  EXPECT_EQ(message.find('\n'), std::string::npos) << "more than one line: " << message;
}

/// Sets an environment variable for one test (unset where the value is empty), then restores it.
class Environment {
 public:
  Environment(std::string name, const std::string& value) : name_(std::move(name)) {
    if (const char* before = std::getenv(name_.c_str())) before_ = before;
    if (value.empty()) {
      unsetenv(name_.c_str());
    } else {
      setenv(name_.c_str(), value.c_str(), 1);
    }
  }
  ~Environment() {
    if (before_) {
      setenv(name_.c_str(), before_->c_str(), 1);
    } else {
      unsetenv(name_.c_str());
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::string name_;
  std::optional<std::string> before_;
};

/// Every single-byte change of a file (a handful of values for each byte) either loads or is an
/// InputError.
inline void expect_survives_mutation(const Scratch& scratch, const std::string& name,
                                     const std::string& good,
                                     const std::function<void(const std::string&)>& load) {
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char value : {'\0', '\x7f', '\xff', '"', '9', '\n'}) {
      std::string bad = good;
      bad[i] = value;
      const std::string path = scratch.file(name, bad);
      try {
        load(path);
      } catch (const InputError&) {
      } catch (const std::exception& error) {
        ADD_FAILURE() << "byte " << i << " = " << static_cast<int>(value) << ": " << error.what();
      }
    }
  }
}

}  // namespace hourglass::testing
