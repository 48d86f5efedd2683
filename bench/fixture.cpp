#include "bench/fixture.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <stdexcept>

#include "bench/kernels.hpp"
#include "hourglass/error.hpp"

namespace hourglass::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The value below which a share of the sorted values lies.
double quantile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

std::regex parse_filter(const std::string& text) {
  try {
    return std::regex(text.empty() || text == "all" ? "." : text, std::regex::extended);
  } catch (const std::regex_error& error) {
    throw UsageError(
        fmt::format("--benchmark_filter={}: {}; expected a POSIX extended regular expression", text,
                    error.what()));
  }
}

}  // namespace

// ---- filter ----

Filter::Filter(std::string text) : inverted_(text.rfind('-', 0) == 0) {
  if (inverted_) text.erase(0, 1);
  expression_ = parse_filter(text);
}

bool Filter::selects(const std::vector<std::string>& names) const {
  const bool found = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::regex_search(name, expression_);
  });
  return found != inverted_;
}

// ---- device under test ----

Bench::Bench(std::string name, Backend& backend, double min_seconds)
    : name_(std::move(name)),
      backend_(backend),
      large_(backend.info().backend != "cpu"),
      min_seconds_(min_seconds),
      cache_bytes_(static_cast<double>(backend.info().cache_bytes)) {}

void Bench::prepare() {
  ceilings_ = measure_ceilings(backend_, large_);

  // A copy of twice the cache: its reads alone displace what was there, also where long copies
  // write past the caches.
  constexpr double least_bytes = 32e6;  // where the size of the cache is not known
  const auto part = static_cast<std::int64_t>(std::max(2.0 * cache_bytes_, least_bytes));
  other_data_ = Buffer<unsigned char>(backend_, 2 * part);
  other_data_.zero();
  displace();
  backend_.synchronize();
  const auto start = Clock::now();
  displace();
  backend_.synchronize();
  displace_seconds_ = seconds_since(start);

  if (!large_) return;
  constexpr int terms = 1 << 16;
  chain_ = Buffer<float>(backend_, 32);
  chain_.zero();
  const auto watch = backend_.make_stopwatch();
  for (int turn = 0; turn < 2; ++turn) {  // the first loads the kernel
    watch->start();
    backend_.fma_chain(0.5f, 0.25f, terms, chain_.span());
    watch->stop();
    terms_per_second_ = terms / watch->seconds();
  }
}

void Bench::displace() {
  const std::int64_t part = other_data_.size() / 2;
  backend_.copy(other_data_.data() + part, other_data_.data(), static_cast<std::size_t>(part));
}

void Bench::give_head_start(double seconds) {
  if (!large_ || seconds <= 0.0) return;
  backend_.fma_chain(0.5f, 0.25f, static_cast<int>(seconds * terms_per_second_) + 1, chain_.span());
}

// ---- timer ----

Timer::Plan Timer::make_plan(Stopwatch& watch, const std::function<void()>& operation) {
  constexpr double sample_seconds = 200e-6;       // of one operation's calls
  constexpr double whole_sample_seconds = 10e-3;  // so that the wait at the end is small beside it
  constexpr double most_calls = 32.0;
  constexpr double most_whole_calls = 256.0;
  constexpr double least_samples = 5.0;
  constexpr double most_samples = 1000.0;
  constexpr double wall_share = 4.0;  // of the time asked for, what lies between samples included
  constexpr double most_head_start = 2e-3;

  operation();  // loads kernels, sizes workspaces
  bench_.backend().synchronize();
  const auto host_start = Clock::now();
  watch.start();
  operation();
  watch.stop();
  const double host_seconds = seconds_since(host_start);
  const double seconds = std::max(watch.seconds(), 1e-9);

  Plan plan;
  if (caches_ == Caches::warm) {
    plan.calls = static_cast<int>(std::clamp(sample_seconds / seconds, 1.0, most_calls));
  } else if (caches_ == Caches::whole) {
    plan.calls =
        static_cast<int>(std::clamp(whole_sample_seconds / seconds, 1.0, most_whole_calls));
  }
  if (caches_ != Caches::whole) {
    plan.head_start = std::min(20e-6 + 1.5 * plan.calls * host_seconds, most_head_start);
  }
  const double sample = plan.calls * seconds;
  const double between = (bench_.large() ? plan.head_start : 0.0) +
                         (caches_ == Caches::cold ? bench_.displace_seconds() : 0.0);
  const double wanted =
      bench_.min_seconds() * std::min(1.0 / sample, wall_share / (sample + between));
  const double least = sample < bench_.min_seconds() ? least_samples : 1.0;
  plan.samples = static_cast<int>(std::clamp(wanted, least, most_samples));
  return plan;
}

void Timer::run(const Cost& cost, const std::function<void()>& operation,
                const std::function<void()>& restore) {
  Backend& backend = bench_.backend();
  const auto watch = backend.make_stopwatch();
  if (restore) restore();
  const Plan plan = make_plan(*watch, operation);
  const int steps = plan.calls * cost.steps;
  const std::int64_t all_steps = std::int64_t{steps} * plan.samples;
  std::vector<double> seconds;  // of a step, a sample each
  // One turn: the program sets the number of iterations itself, and the time is the median.
  while (state_.KeepRunningBatch(all_steps)) {
    for (int sample = 0; sample < plan.samples; ++sample) {
      if (restore) restore();
      if (caches_ == Caches::cold) bench_.displace();
      bench_.give_head_start(plan.head_start);
      watch->start();
      for (int call = 0; call < plan.calls; ++call)
        operation();
      watch->stop();
      seconds.push_back(watch->seconds() / steps);
    }
    std::sort(seconds.begin(), seconds.end());
    state_.SetIterationTime(quantile(seconds, 0.5) * static_cast<double>(all_steps));
  }
  count(cost, seconds);
}

void Timer::count(const Cost& cost, const std::vector<double>& seconds) {
  const double median = quantile(seconds, 0.5);
  const Ceilings& ceilings = bench_.ceilings();
  const double touched = std::max(cost.working_set, cost.bytes);
  const bool cached = caches_ != Caches::cold && touched <= bench_.cache_bytes();
  const double bandwidth = cached ? ceilings.cached_bytes : ceilings.memory_bytes;
  const double rate = cost.rate == Rate::gemm ? ceilings.gemm_flops : ceilings.fma_flops;
  const double floor = std::max(cost.bytes / bandwidth, cost.flops / rate);
  using benchmark::Counter;
  if (cost.bytes > 0.0) state_.counters["bytes/s"] = Counter(cost.bytes / median);
  if (cost.flops > 0.0) state_.counters["flop/s"] = Counter(cost.flops / median);
  if (floor > 0.0) state_.counters["share"] = Counter(floor / median);
  state_.counters["spread"] =
      Counter((quantile(seconds, 0.75) - quantile(seconds, 0.25)) / (2.0 * median));
}

// ---- cases ----

void Device::add(const std::string& operation, const std::string& shape, const Body& body) const {
  const auto known = kernels_of_operation.find(operation);
  if (known == kernels_of_operation.end()) {
    throw std::logic_error("bench/kernels.hpp does not name the operation " + operation);
  }
  for (const Caches caches : {Caches::warm, Caches::cold}) {
    const auto named = [&](std::string_view what) {
      return fmt::format("{}/{}/{}/{}", bench_->name(), what, shape,
                         caches == Caches::warm ? "warm" : "cold");
    };
    std::vector<std::string> names{named(operation)};
    for (const std::string_view kernel : known->second)
      names.push_back(named(kernel));
    add_case(names, caches, body);
  }
}

void Device::add_whole(const std::string& name, const std::string& shape, const Body& body) const {
  add_case({fmt::format("{}/{}/{}", bench_->name(), name, shape)}, Caches::whole, body);
}

void Device::add_case(const std::vector<std::string>& names, Caches caches,
                      const Body& body) const {
  if (!filter_->selects(names)) return;
  ++tally().selected;
  const auto run = [bench = bench_, caches, body](benchmark::State& state) {
    try {
      Timer timer(state, *bench, caches);
      body(bench->backend(), timer);
    } catch (const std::exception& error) {
      ++tally().failed;
      state.SkipWithError(error.what());
    }
  };
  benchmark::RegisterBenchmark(names.front().c_str(), run)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

Tally& tally() {
  static Tally counts;
  return counts;
}

std::vector<Suite>& suites() {
  static std::vector<Suite> all;
  return all;
}

}  // namespace hourglass::bench
