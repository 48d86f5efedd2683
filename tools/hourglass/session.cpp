#include "session.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "host/data/atomic_file.hpp"
#include "host/data/input_file.hpp"
#include "hourglass/error.hpp"

namespace hourglass::command {
namespace {

volatile sig_atomic_t interrupted = 0;

void on_signal(int) {
  interrupted = 1;
}

std::string canonical(const std::string& path) {
  std::error_code error;
  const auto canonical = std::filesystem::weakly_canonical(path, error);
  return error ? path : canonical.string();
}

}  // namespace

bool is_interrupted() {
  return interrupted != 0;
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) {
    // A background job of a shell without job control is born with SIGINT ignored: that stays so.
    struct sigaction before {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

void Session::begin(std::string command) {
  command_ = std::move(command);
  if (!common.json.empty() && common.json != "-") claim_output(common.json);
}

void Session::claim_output(const std::string& path) {
  { const AtomicFile probe(path); }
  const std::string target = canonical(path);
  for (const auto& [other, given] : outputs_) {
    if (other == target && !std::filesystem::is_character_file(target)) {
      throw UsageError(
          fmt::format("{} and {} are the same file, expected one for each output", given, path));
    }
  }
  outputs_.emplace_back(target, path);
}

void Session::claim_matrix(const std::string& path) {
  const std::string extension = path.ends_with(".gz") ? ".gz" : data_extension(path);
  if (extension != ".npy" && extension != ".csv" && extension != ".tsv") {
    throw UsageError(fmt::format("{}: expected a name that ends in .npy, .csv or .tsv", path));
  }
  claim_output(path);
}

Device& Session::open_device() {
  if (!device_) {
    time("device", [&] { device_ = Device::open(common.device, common.threads); });
    const DeviceInfo& info = device_->info();
    print_field("device",
                fmt::format("{}, {}", info.name,
                            info.host_memory ? fmt::format("{} thread{}", info.threads,
                                                           info.threads == 1 ? "" : "s")
                                             : fmt::format("{} MiB", info.memory_bytes >> 20)));
    print_field("", device_->choice());
  }
  return *device_;
}

void Session::plan(const MemoryPlan& plan) {
  plan.check(open_device());
  estimated_bytes_ = std::max(estimated_bytes_, plan.total_bytes());
}

void Session::throw_interrupted() {
  throw Interrupted("interrupted");
}

Dataset Session::load(const std::string& source) {
  Dataset data = time("load", [&] { return load_dataset(source); });
  print_data(data);
  return data;
}

OpenRows Session::open_rows(const std::string& source) {
  if (!RowFile::can_open(source)) return OpenRows(load(source));
  RowFile file = time("load", [&] { return RowFile::open(source); });
  print_data(file);
  return OpenRows(std::move(file));
}

void Session::print_data(const RowSource& rows) {
  print_field("data", fmt::format("{}: {} x {}{}{}", rows.name(), grouped(rows.rows()),
                                  grouped(rows.columns()), rows.is_bytes() ? " bytes" : " floats",
                                  rows.image_height() > 0
                                      ? fmt::format(", images of {} x {}", rows.image_height(),
                                                    rows.image_width())
                                      : ""));
}

void Session::print_field(std::string_view name, std::string_view value) {
  print("{:<18} {}", name, value);
}

void Session::warn(const std::string& message) {
  clear_progress();
  fmt::print(stderr, "hourglass {}: warning: {}\n", command_, message);
}

void Session::print_line(const std::string& line) {
  clear_progress();
  fmt::print("{}\n", line);
  // Lines of a long run are seen when they are printed, in a pipe too.
  std::fflush(stdout);
}

void Session::progress(const std::string& line, bool plain) {
  if (common.quiet) return;
  if (isatty(STDERR_FILENO) == 1) {
    fmt::print(stderr, "\r{}\x1b[K", line);
    std::fflush(stderr);
    progress_shown_ = true;
  } else if (plain) {
    fmt::print(stderr, "{}\n", line);
  }
}

void Session::clear_progress() {
  if (!progress_shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  progress_shown_ = false;
}

void Session::add_time(const std::string& phase,
                       std::chrono::steady_clock::time_point start) noexcept {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (auto& [name, sum] : timings_) {
    if (name == phase) {
      sum += seconds;
      return;
    }
  }
  timings_.emplace_back(phase, seconds);
}

void Session::finish() {
  clear_progress();
  if (!common.json.empty()) {
    Json json;
    json["command"] = command_;
    json["options"] = options;
    json["options"]["seed"] = common.seed;
    if (device_) {
      const DeviceInfo& info = device_->info();
      json["device"] = {{"id", info.id},
                        {"backend", info.backend},
                        {"name", info.name},
                        {"threads", info.threads},
                        {"choice", device_->choice()}};
      if (estimated_bytes_ > 0) {
        json["device"]["memory"] = {{"estimated_bytes", estimated_bytes_}};
      }
    } else {
      json["device"] = nullptr;
    }
    add_time("total", start_);
    json["timings"] = Json::object();
    for (const auto& [name, seconds] : timings_)
      json["timings"][name] = seconds;
    json.update(results);
    // Names of files may be any bytes: what is not UTF-8 is replaced.
    const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    if (common.json == "-") {
      std::fwrite(text.data(), 1, text.size(), stdout);
    } else {
      write_file_atomically(common.json, text);
    }
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw InputError(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
  }
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3; at -= 3)
    digits.insert(at - 3, ",");
  return digits;
}

std::string duration(double seconds) {
  if (seconds < 10.0) return fmt::format("{:.2f} s", seconds);
  if (seconds < 120.0) return fmt::format("{:.0f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::lround(seconds));
  return fmt::format("{} min {} s", whole / 60, whole % 60);
}

std::uint64_t parse_bytes(std::string_view option, std::string_view text) {
  constexpr std::string_view units = "KMGT";
  std::uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  bool good = error == std::errc{} && bytes > 0 && unit.size() <= 1;
  if (good && !unit.empty()) {
    const std::size_t power = units.find(unit[0]);
    good = power != std::string_view::npos &&
           !__builtin_mul_overflow(bytes, std::uint64_t{1} << (10 * (power + 1)), &bytes);
  }
  if (!good) {
    throw UsageError(fmt::format(
        "{} {}: expected a number of bytes above 0, such as 1000, 512M or 8G (K, M, G, T)", option,
        text));
  }
  return bytes;
}

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

double shortest(float value) {
  return std::stod(fmt::format("{}", value));
}

}  // namespace hourglass::command
