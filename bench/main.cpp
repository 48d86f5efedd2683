// The benchmarks of all operations on the devices that are asked for:
//   hourglass_bench [--device cpu,cuda:0] [--threads N] [Google Benchmark's options]
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include "bench/fixture.hpp"
#include "hourglass/device.hpp"

namespace {

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

int run(std::vector<char*> arguments) {
  const std::string ids = take_option(arguments, "--device", "cpu");
  const int threads = std::atoi(take_option(arguments, "--threads", "0").c_str());
  std::vector<hourglass::Device> devices;
  std::istringstream list(ids);
  for (std::string id; std::getline(list, id, ',');) {
    devices.push_back(hourglass::Device::open(id, threads));
    const hourglass::DeviceInfo& info = devices.back().info();
    benchmark::AddCustomContext(info.id, fmt::format("{}, {} threads", info.name, info.threads));
  }
  for (hourglass::Device& device : devices) {
    for (const hourglass::bench::Suite suite : hourglass::bench::suites())
      suite({device.info().backend, device.backend()});
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::ClearRegisteredBenchmarks();
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run({arguments, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hourglass_bench: %s\n", error.what());
    return 1;
  }
}
