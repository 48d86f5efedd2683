// What every command does around its own work: the common options, the device, timings, printing,
// the JSON file, and ending early on Ctrl-C.
#pragma once

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hourglass/dataset.hpp"
#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/rows.hpp"

namespace hourglass::command {

using Json = nlohmann::ordered_json;

struct CommonOptions {
  std::string device = "auto";
  int threads = 0;
  std::uint64_t seed = 0;
  std::string json;  ///< empty: none; "-": standard output, which then holds nothing else
  bool quiet = false;
};

/// Rows that are read from their file as they are needed, or a dataset in memory where the file
/// cannot be read so: text, gzip.
class OpenRows {
 public:
  explicit OpenRows(RowFile file) : file_(std::move(file)) {}
  explicit OpenRows(Dataset data) : data_(std::move(data)) {}
  [[nodiscard]] bool in_memory() const { return data_.has_value(); }
  /// Valid while this lives and is not moved.
  [[nodiscard]] RowSource source() const { return data_ ? RowSource(*data_) : RowSource(*file_); }

 private:
  std::optional<RowFile> file_;
  std::optional<Dataset> data_;
};

/// From SIGINT or SIGTERM on. A second signal ends the process at once.
bool is_interrupted();
void catch_interrupts();

class Session {
 public:
  CommonOptions common;
  Json options = Json::object();  ///< the command's own, effective
  Json results = Json::object();  ///< keys beside `command`, `options`, `device`, `timings`

  void begin(std::string command);

  // ---- outputs
  /// Throws InputError where `path` cannot be written and UsageError where another output has it:
  /// to be called for every output before the work begins.
  void claim_output(const std::string& path);
  /// The same for a matrix, whose format follows from its name.
  void claim_matrix(const std::string& path);

  // ---- work
  Device& open_device();
  /// Throws DeviceError where the opened device has not the memory; the largest plan of a command
  /// is in the JSON file.
  void plan(const MemoryPlan& plan);
  /// Runs `work` as one phase of `timings`; throws Interrupted before it where that was asked for.
  template <class Work>
  auto time(const std::string& phase, Work&& work) {
    check_interrupt();
    const Phase timer(*this, phase);
    return std::forward<Work>(work)();
  }
  [[noreturn]] static void throw_interrupted();
  static void check_interrupt() {
    if (is_interrupted()) throw_interrupted();
  }
  Dataset load(const std::string& source);
  OpenRows open_rows(const std::string& source);

  // ---- printing
  /// A line on standard output, unless --quiet or --json -.
  template <class... T>
  void print(fmt::format_string<T...> format, T&&... values) {
    if (prints()) print_line(fmt::format(format, std::forward<T>(values)...));
  }
  /// "name            value": a result.
  void print_field(std::string_view name, std::string_view value);
  /// A line on standard error, whatever --quiet says.
  void warn(const std::string& message);
  /// A line on standard error that the next one replaces, where that is a terminal. `plain` asks
  /// for it as a line of its own where it is not.
  void progress(const std::string& line, bool plain = false);
  void clear_progress();

  /// Writes the JSON file and flushes standard output.
  void finish();

 private:
  class Phase {
   public:
    Phase(Session& session, std::string name)
        : session_(session), name_(std::move(name)), start_(std::chrono::steady_clock::now()) {}
    ~Phase() { session_.add_time(name_, start_); }

   private:
    Session& session_;
    std::string name_;
    std::chrono::steady_clock::time_point start_;
  };

  void print_data(const RowSource& rows);
  [[nodiscard]] bool prints() const { return !common.quiet && common.json != "-"; }
  void add_time(const std::string& phase, std::chrono::steady_clock::time_point start) noexcept;
  void print_line(const std::string& line);

  std::string command_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::optional<Device> device_;
  std::uint64_t estimated_bytes_ = 0;
  std::vector<std::pair<std::string, double>> timings_;
  std::vector<std::pair<std::string, std::string>> outputs_;  // canonical path, as given
  bool progress_shown_ = false;
};

/// "12,345"
std::string grouped(std::int64_t number);
/// "0.31 s", "12 s", "3 min 20 s"
std::string duration(double seconds);
/// A number of bytes: "1000", or a whole number of K, M, G or T, powers of 1024: "512M". Throws
/// UsageError that names the option.
std::uint64_t parse_bytes(std::string_view option, std::string_view text);
/// null for what is not finite, which JSON cannot say.
Json number(double value);
/// The double that reads like the float: 1e-7f as 1e-07, not as 1.0000000116860974e-07.
double shortest(float value);

}  // namespace hourglass::command
