#include "host/article/phases.hpp"

#include <algorithm>

namespace hourglass::article {
namespace {

double seconds_of(PhaseClock::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

void PhaseClock::add(std::string_view phase, Clock::time_point begin, Clock::time_point end,
                     Figures* seconds) {
  if (seconds != nullptr) (*seconds)[std::string(phase)] += seconds_of(end - begin);
  const std::lock_guard lock(mutex_);
  auto found = intervals_.find(phase);
  if (found == intervals_.end()) found = intervals_.emplace(phase, std::vector<Interval>()).first;
  found->second.emplace_back(begin, end);
}

std::vector<PhaseTime> PhaseClock::times() const {
  const std::lock_guard lock(mutex_);
  std::vector<PhaseTime> times;
  for (const auto& [phase, recorded] : intervals_) {
    PhaseTime time{phase, 0, 0};
    std::vector<Interval> intervals = recorded;
    std::sort(intervals.begin(), intervals.end());
    // The length of their union, by rising beginnings.
    Clock::time_point covered = Clock::time_point::min();
    for (const auto& [begin, end] : intervals) {
      time.seconds += seconds_of(end - begin);
      if (end <= covered) continue;
      time.wall_seconds += seconds_of(end - std::max(begin, covered));
      covered = end;
    }
    times.push_back(std::move(time));
  }
  std::stable_sort(times.begin(), times.end(),
                   [](const PhaseTime& a, const PhaseTime& b) { return a.seconds > b.seconds; });
  return times;
}

}  // namespace hourglass::article
