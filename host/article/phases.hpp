// What the lanes of a run spend their time on.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "host/article/run.hpp"

namespace hourglass::article {

struct PhaseTime {
  std::string phase;
  double seconds = 0;       ///< over all lanes
  double wall_seconds = 0;  ///< during which at least one lane was at it
};

/// Safe to use from several threads at a time.
class PhaseClock {
 public:
  using Clock = std::chrono::steady_clock;

  /// Returns what `work` does, and counts how long it takes as `phase`. Phases do not nest: the
  /// time of a lane belongs to one of them.
  template <class Work>
  auto time(std::string_view phase, Work&& work) {
    return time_into(phase, nullptr, std::forward<Work>(work));
  }
  /// The same, and adds it to a run's own seconds.
  template <class Work>
  auto time(std::string_view phase, Figures& seconds, Work&& work) {
    return time_into(phase, &seconds, std::forward<Work>(work));
  }

  void add(std::string_view phase, Clock::time_point begin, Clock::time_point end,
           Figures* seconds = nullptr);

  /// By falling seconds.
  [[nodiscard]] std::vector<PhaseTime> times() const;

 private:
  template <class Work>
  auto time_into(std::string_view phase, Figures* seconds, Work&& work) {
    const Clock::time_point begin = Clock::now();
    if constexpr (std::is_void_v<std::invoke_result_t<Work>>) {
      std::forward<Work>(work)();
      add(phase, begin, Clock::now(), seconds);
    } else {
      auto result = std::forward<Work>(work)();
      add(phase, begin, Clock::now(), seconds);
      return result;
    }
  }

  using Interval = std::pair<Clock::time_point, Clock::time_point>;

  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Interval>, std::less<>> intervals_;
};

}  // namespace hourglass::article
