#include "host/article/lanes.hpp"

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

namespace hourglass::article {

Lanes::Lanes(Device& device, int most, std::function<bool()> keep_going)
    : owned_(device.lanes(most)), keep_going_(std::move(keep_going)) {
  for (Device& lane : owned_)
    lanes_.push_back(&lane);
  if (lanes_.empty()) lanes_.push_back(&device);
}

bool Lanes::keep_going() {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return false;
  }
  const std::lock_guard lock(asking_);
  return !keep_going_ || keep_going_();
}

void Lanes::run(std::vector<Piece> pieces) {
  if (count() > 1) {
    std::stable_sort(pieces.begin(), pieces.end(),
                     [](const Piece& a, const Piece& b) { return a.cost > b.cost; });
  }
  next_ = 0;
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min(lanes_.size(), pieces.size()); ++i) {
    try {
      threads.emplace_back([&, i] { work(*lanes_[i], pieces); });
    } catch (const std::system_error&) {
      break;  // the system has no more threads to give: the lanes there are do it all
    }
  }
  work(*lanes_.front(), pieces);
  for (std::thread& thread : threads)
    thread.join();
  if (failure_) std::rethrow_exception(failure_);
}

void Lanes::work(Device& lane, const std::vector<Piece>& pieces) {
  for (;;) {
    const Piece* piece = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (failure_ || next_ == pieces.size()) return;
      piece = &pieces[next_++];
    }
    try {
      piece->work(lane);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }
}

}  // namespace hourglass::article
