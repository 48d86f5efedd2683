// What every benchmark of an operation is made of. A file bench/<op>_bench.cpp registers its
// operation once; the program runs it on every device that it is told to (--device), through the
// table of operations, with its data in the caches and out of them:
//
//   const Registration adam([](const Device& device) {
//     device.add("adam", "50992", [](Backend& backend, Timer& timer) {
//       Buffer<float> p = random_buffer(backend, 50992); ...
//       timer.run({.bytes = 28.0 * 50992, .flops = 12.0 * 50992}, [&] { backend.adam(...); });
//     });
//   });
//
// gives <device>/adam/50992/warm and <device>/adam/50992/cold. What is timed and counted:
// bench/README.md.
#pragma once

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <regex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/ceilings.hpp"
#include "bench/data.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass::bench {

/// Which ceiling the arithmetic of an operation is held against.
enum class Rate { fma, gemm };

/// What a call must move and compute at least; not what it does. Of one step, where a call makes
/// several.
struct Cost {
  double bytes = 0.0;
  double flops = 0.0;
  Rate rate = Rate::fma;
  /// Bytes that calls touch one after another, where that is more than one call's; decides whether
  /// warm data can lie in a cache.
  double working_set = 0.0;
  int steps = 1;  ///< of a call; the time that is told is that of one
};

/// Which cases are asked for: --benchmark_filter, a regular expression as Google Benchmark takes
/// it, with a leading - for all but those that match.
class Filter {
 public:
  /// Throws UsageError where it is no regular expression.
  explicit Filter(std::string text);
  /// A case is found by any of its names.
  [[nodiscard]] bool selects(const std::vector<std::string>& names) const;

 private:
  bool inverted_ = false;
  std::regex expression_;
};

enum class Caches {
  warm,  ///< calls after one another, each on the data of the one before
  cold,  ///< a call at a time, after the caches were filled with other data
  whole  ///< as warm, with the time that the host needs to ask for the work
};

/// A device under test, and what a timing needs beside the operation.
class Bench {
 public:
  Bench(std::string name, Backend& backend, double min_seconds);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Backend& backend() const { return backend_; }
  /// A GPU: work is made large enough to fill it.
  [[nodiscard]] bool large() const { return large_; }
  [[nodiscard]] double min_seconds() const { return min_seconds_; }
  [[nodiscard]] double cache_bytes() const { return cache_bytes_; }

  /// Measures the ceilings; before the first timing.
  void prepare();
  [[nodiscard]] const Ceilings& ceilings() const { return ceilings_; }

  /// Reads and writes more than every cache holds.
  void displace();
  [[nodiscard]] double displace_seconds() const { return displace_seconds_; }
  /// Keeps a GPU busy for about so long without touching its caches, so that what is asked of it
  /// next is queued by the time that it begins. Nothing on a device that computes within the call.
  void give_head_start(double seconds);

 private:
  std::string name_;
  Backend& backend_;
  bool large_;
  double min_seconds_;
  double cache_bytes_;
  Ceilings ceilings_;
  Buffer<unsigned char> other_data_;
  double displace_seconds_ = 0.0;
  Buffer<float> chain_;
  double terms_per_second_ = 0.0;
};

class Timer {
 public:
  Timer(benchmark::State& state, Bench& bench, Caches caches)
      : state_(state), bench_(bench), caches_(caches) {}

  /// Times `operation`, once in a benchmark. `restore`, where given, is called before each sample
  /// and not timed: it puts back what calls change.
  void run(const Cost& cost, const std::function<void()>& operation,
           const std::function<void()>& restore = {});

 private:
  struct Plan {
    int calls = 1;            ///< between start and stop
    int samples = 1;          ///< of these
    double head_start = 0.0;  ///< seconds
  };
  Plan make_plan(Stopwatch& watch, const std::function<void()>& operation);
  void count(const Cost& cost, const std::vector<double>& seconds);  // sorted

  benchmark::State& state_;
  Bench& bench_;
  Caches caches_;
};

/// A device as the benchmarks' files see it when they register their cases.
class Device {
 public:
  using Body = std::function<void(Backend&, Timer&)>;

  Device(Bench& bench, const Filter& filter) : bench_(&bench), filter_(&filter) {}

  [[nodiscard]] Backend& backend() const { return bench_->backend(); }
  [[nodiscard]] bool large() const { return bench_->large(); }

  /// <device>/<operation>/<shape>/warm and .../cold. `operation` is one of kernels.hpp, whose
  /// kernels' names find the case as well. `body` prepares buffers and calls the timer's run once.
  void add(const std::string& operation, const std::string& shape, const Body& body) const;
  /// <device>/<name>/<shape>: a training step or an iteration with all its operations.
  void add_whole(const std::string& name, const std::string& shape, const Body& body) const;

 private:
  void add_case(const std::vector<std::string>& names, Caches caches, const Body& body) const;

  Bench* bench_;
  const Filter* filter_;
};

/// Cases that were registered, and of those that ran the ones that failed.
struct Tally {
  int selected = 0;
  int failed = 0;
};
Tally& tally();

using Suite = void (*)(const Device& device);

/// Every operation that was registered.
std::vector<Suite>& suites();

struct Registration {
  explicit Registration(Suite suite) { suites().push_back(suite); }
};

}  // namespace hourglass::bench
