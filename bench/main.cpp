// The benchmarks of all operations on the devices that are asked for; bench/README.md.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <exception>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "bench/fixture.hpp"
#include "hourglass/device.hpp"
#include "hourglass/error.hpp"

namespace {

using namespace hourglass;

constexpr const char* usage =
    "hourglass_bench [--device cpu,cuda:0] [--threads N] [--benchmark_filter=REGEX]\n"
    "                [--benchmark_min_time=SECONDS] [Google Benchmark's other options]\n"
    "The filter finds an operation, a CUDA kernel, a device, a shape, warm or cold; 0.05 seconds a "
    "case by default.\n\n";

/// The value of `name VALUE` or `name=VALUE`, taken out of the arguments; `otherwise` where absent.
std::string take_option(std::vector<char*>& arguments, const std::string& name,
                        std::string otherwise) {
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    const auto at = arguments.begin() + static_cast<std::ptrdiff_t>(i);
    if (argument.rfind(name + "=", 0) == 0) {
      arguments.erase(at);
      return argument.substr(name.size() + 1);
    }
    if (argument == name && i + 1 < arguments.size()) {
      std::string value = arguments[i + 1];
      arguments.erase(at, at + 2);
      return value;
    }
  }
  return otherwise;
}

template <class Number>
Number parse(const std::string& option, const std::string& text, Number least, Number most) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= least) ||
      !(value <= most)) {
    throw UsageError(
        fmt::format("{} {}; expected a number from {} to {}", option, text, least, most));
  }
  return value;
}

void add_context(const std::string& name, const DeviceInfo& info, std::uint64_t cache_bytes,
                 const bench::Ceilings& ceilings) {
  const auto add = [&](const char* what, const std::string& value) {
    benchmark::AddCustomContext(name + "." + what, value);
  };
  add("name", info.name);
  add("threads", std::to_string(info.threads));
  add("cache_bytes", std::to_string(cache_bytes));
  add("copy_bytes_per_second", fmt::format("{:.4g}", ceilings.copy_bytes));
  add("memory_bytes_per_second", fmt::format("{:.4g}", ceilings.memory_bytes));
  add("cached_bytes_per_second", fmt::format("{:.4g}", ceilings.cached_bytes));
  add("fma_flops_per_second", fmt::format("{:.4g}", ceilings.fma_flops));
  add("gemm_flops_per_second", fmt::format("{:.4g}", ceilings.gemm_flops));
}

int run(std::vector<char*> arguments) {
  const auto has = [&](const char* option) {
    return std::any_of(arguments.begin() + 1, arguments.end(),
                       [&](const char* argument) { return std::string(argument) == option; });
  };
  if (has("--help")) std::fputs(usage, stdout);
  const std::string ids = take_option(arguments, "--device", "cpu");
  const int threads = parse("--threads", take_option(arguments, "--threads", "0"), 0, 4096);
  std::string min_time = take_option(arguments, "--benchmark_min_time", "0.05");
  if (min_time.ends_with('s'))
    min_time.pop_back();  // as later versions of Google Benchmark have it
  const double min_seconds = parse("--benchmark_min_time", min_time, 1e-6, 3600.0);
  // Taken from Google Benchmark, which knows one name of a case and not those of its kernels.
  const bench::Filter filter(take_option(arguments, "--benchmark_filter", ""));
  const bool list = has("--benchmark_list_tests") || has("--benchmark_list_tests=true");
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;

  std::vector<Device> devices;
  std::istringstream stream(ids);
  for (std::string id; std::getline(stream, id, ',');)
    devices.push_back(Device::open(id, threads));
  if (devices.empty()) throw UsageError("--device: expected at least one device");

  std::vector<std::unique_ptr<bench::Bench>> benches;
  for (Device& device : devices) {
    const DeviceInfo& info = device.info();
    const bool several = std::count_if(devices.begin(), devices.end(), [&](const Device& other) {
                           return other.info().backend == info.backend;
                         }) > 1;
    benches.push_back(std::make_unique<bench::Bench>(several ? info.id : info.backend,
                                                     device.backend(), min_seconds));
    for (const bench::Suite suite : bench::suites())
      suite({*benches.back(), filter});
  }
  if (bench::tally().selected == 0) throw UsageError("no benchmark matches --benchmark_filter");
  for (std::size_t i = 0; i < benches.size() && !list; ++i) {
    benches[i]->prepare();
    add_context(benches[i]->name(), devices[i].info(), devices[i].backend().info().cache_bytes,
                benches[i]->ceilings());
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::ClearRegisteredBenchmarks();
  if (bench::tally().failed > 0) {
    std::fprintf(stderr, "hourglass_bench: %d cases failed\n", bench::tally().failed);
    return 1;
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run({arguments, arguments + count});
  } catch (const Error& error) {
    std::fprintf(stderr, "hourglass_bench: %s\n", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hourglass_bench: %s\n", error.what());
    return 1;
  }
}
