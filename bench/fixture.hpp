// What every benchmark of an operation is made of. A file bench/<op>_bench.cpp registers its
// operation once; the program runs it on every device that it is told to (--device), through the
// table of operations, and names the case <device>/<operation>/<shape>:
//
//   const Registration adam([](const Device& device) {
//     device.add("adam", "50992", [](Backend& backend, Timer& timer) {
//       Buffer<float> p(backend, values(50992)); ...
//       timer.run({.bytes = 28.0 * 50992, .flops = 12.0 * 50992}, [&] { backend.adam(...); });
//     });
//   });
//
// Times are of the wall clock, an operation after the other without a wait between them, as they
// come in a training step: data is where the operation before left it, in cache if it fits. The
// counters bytes/s and flop/s come from the counts that the benchmark states: what the operation
// must move and compute at least, not what it does.
#pragma once

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"
#include "kernels/philox.hpp"

namespace hourglass::bench {

struct Cost {
  double bytes = 0.0;
  double flops = 0.0;
};

class Timer {
 public:
  Timer(benchmark::State& state, Backend& backend) : state_(state), backend_(backend) {}

  template <class Operation>
  void run(Cost cost, Operation&& operation) {
    constexpr int calls =
        8;  // between waits for the device, whose latency would be timed otherwise
    operation();
    backend_.synchronize();
    while (state_.KeepRunningBatch(calls)) {
      for (int i = 0; i < calls; ++i)
        operation();
      backend_.synchronize();
    }
    using benchmark::Counter;
    const auto rate = Counter::kIsIterationInvariantRate;
    if (cost.bytes > 0.0) state_.counters["bytes/s"] = Counter(cost.bytes, rate);
    if (cost.flops > 0.0) state_.counters["flop/s"] = Counter(cost.flops, rate);
  }

 private:
  benchmark::State& state_;
  Backend& backend_;
};

class Device {
 public:
  Device(std::string name, Backend& backend) : name_(std::move(name)), backend_(&backend) {}

  [[nodiscard]] Backend& backend() const { return *backend_; }

  /// One case. `body` prepares buffers and calls the timer's run once.
  void add(const std::string& operation, const std::string& shape,
           std::function<void(Backend&, Timer&)> body) const {
    benchmark::RegisterBenchmark(
        fmt::format("{}/{}/{}", name_, operation, shape).c_str(),
        [backend = backend_, body = std::move(body)](benchmark::State& state) {
          Timer timer(state, *backend);
          body(*backend, timer);
        })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }

 private:
  std::string name_;
  Backend* backend_;
};

using Suite = void (*)(const Device& device);

/// Every operation that was registered.
inline std::vector<Suite>& suites() {
  static std::vector<Suite> all;
  return all;
}

struct Registration {
  explicit Registration(Suite suite) { suites().push_back(suite); }
};

/// Numbers evenly distributed over [low, high), the same on every machine.
inline std::vector<float> values(std::int64_t count, float low = -1.0f, float high = 1.0f) {
  std::vector<float> result(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::uint32_t bits = philox4x32(1, i, 0, 0).v[0];
    result[i] = low + (high - low) * static_cast<float>(bits >> 8) * 0x1p-24f;
  }
  return result;
}

/// A matrix of such numbers in the backend's memory.
inline Buffer<float> random_buffer(Backend& backend, std::int64_t count, float low = -1.0f,
                                   float high = 1.0f) {
  return {backend, std::span<const float>(values(count, low, high))};
}

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
  [[nodiscard]] std::int64_t size() const { return rows * columns; }
  [[nodiscard]] std::string name() const { return fmt::format("{}x{}", rows, columns); }
};

}  // namespace hourglass::bench
