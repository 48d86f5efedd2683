// Pieces side by side, whatever happens in one of them; and the clock of their phases.
#include "host/article/lanes.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "host/article/phases.hpp"
#include "hourglass/error.hpp"

namespace hourglass::article {
namespace {

using namespace std::chrono_literals;

TEST(Lanes, AreThoseOfTheDevice) {
  Device three = Device::open("cpu", 3);
  EXPECT_EQ(Lanes(three, 8, {}).count(), 3);
  EXPECT_EQ(Lanes(three, 2, {}).count(), 2);
  EXPECT_EQ(Lanes(three, 1, {}).count(), 1);
  Device one = Device::open("cpu", 1);
  EXPECT_EQ(Lanes(one, 8, {}).count(), 1);
}

TEST(Lanes, DoEveryPieceOnceEachOnADeviceOfItsOwn) {
  Device device = Device::open("cpu", 4);
  Lanes lanes(device, 4, {});
  std::mutex mutex;
  std::set<const Device*> busy;
  std::vector<int> done(50, 0);
  int clashes = 0;
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < done.size(); ++i) {
    pieces.push_back({static_cast<double>(i), [&, i](Device& lane) {
                        {
                          const std::lock_guard lock(mutex);
                          clashes += busy.insert(&lane).second ? 0 : 1;
                          ++done[i];
                        }
                        std::this_thread::sleep_for(1ms);
                        const std::lock_guard lock(mutex);
                        busy.erase(&lane);
                      }});
  }
  lanes.run(pieces);
  EXPECT_EQ(clashes, 0);
  EXPECT_EQ(done, std::vector<int>(50, 1));
  lanes.run(pieces);
  EXPECT_EQ(done, std::vector<int>(50, 2));
  lanes.run({});
}

TEST(Lanes, WorkAtTheSameTime) {
  Device device = Device::open("cpu", 3);
  Lanes lanes(device, 3, {});
  std::latch all(3);  // a piece alone would wait for ever
  std::vector<Piece> pieces(3, {1, [&](Device&) { all.arrive_and_wait(); }});
  lanes.run(pieces);
  EXPECT_TRUE(all.try_wait());
}

TEST(Lanes, OneLaneDoesPiecesInTheirOrder) {
  Device device = Device::open("cpu", 1);
  Lanes lanes(device, 1, {});
  std::vector<double> done;
  std::vector<Piece> pieces;
  for (const double cost : {2.0, 5.0, 1.0})
    pieces.push_back({cost, [&done, cost](Device&) { done.push_back(cost); }});
  lanes.run(std::move(pieces));
  EXPECT_EQ(done, (std::vector<double>{2, 5, 1}));
}

TEST(Lanes, OfSeveralTheCostliestPiecesBeginFirst) {
  Device device = Device::open("cpu", 2);
  Lanes lanes(device, 2, {});
  // The two costly ones wait for each other, so the third begins when both have begun.
  std::latch both(2);
  bool cheap_was_last = false;
  std::vector<Piece> pieces;
  pieces.push_back({1, [&](Device&) { cheap_was_last = both.try_wait(); }});
  for (const double cost : {3.0, 2.0})
    pieces.push_back({cost, [&](Device&) { both.arrive_and_wait(); }});
  lanes.run(std::move(pieces));
  EXPECT_TRUE(cheap_was_last);
}

TEST(Lanes, TheFirstErrorEndsAllAndIsThrown) {
  Device device = Device::open("cpu", 2);
  std::atomic<int> asked{0};
  Lanes lanes(device, 2, [&] {
    ++asked;
    return true;
  });
  std::atomic<bool> other_began{false};
  std::atomic<bool> stopped{false};
  std::atomic<int> later{0};
  std::vector<Piece> pieces;
  pieces.push_back({3, [&](Device&) {
                      other_began = true;
                      while (lanes.keep_going())
                        std::this_thread::sleep_for(1ms);
                      stopped = true;
                      throw Interrupted("because of the other");
                    }});
  pieces.push_back({2, [&](Device&) {
                      while (!other_began)
                        std::this_thread::sleep_for(1ms);
                      throw InputError("the first");
                    }});
  for (int i = 0; i < 5; ++i)
    pieces.push_back({1, [&](Device&) { ++later; }});
  try {
    lanes.run(std::move(pieces));
    FAIL() << "the error was lost";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "the first");
  }
  EXPECT_TRUE(stopped);
  EXPECT_EQ(later, 0);
  EXPECT_FALSE(lanes.keep_going());
}

TEST(Lanes, TheCallerIsAskedByOneThreadAtATime) {
  Device device = Device::open("cpu", 4);
  int inside = 0;  // unprotected on purpose: ThreadSanitizer sees two at once too
  int most = 0;
  bool going = true;
  Lanes lanes(device, 4, [&] {
    most = std::max(most, ++inside);
    std::this_thread::sleep_for(100us);
    --inside;
    return going;
  });
  std::vector<Piece> pieces(4, {1, [&](Device&) {
                                  for (int i = 0; i < 20; ++i)
                                    EXPECT_TRUE(lanes.keep_going());
                                }});
  lanes.run(std::move(pieces));
  EXPECT_EQ(most, 1);
  going = false;
  EXPECT_FALSE(lanes.keep_going());
}

TEST(Phases, OverlappingTimesCountOnceOnTheWall) {
  PhaseClock clock;
  const PhaseClock::Clock::time_point start{};
  const auto add = [&](const char* phase, int begin, int end) {
    clock.add(phase, start + std::chrono::seconds(begin), start + std::chrono::seconds(end));
  };
  add("scores", 8, 9);
  add("training", 4, 6);
  add("training", 0, 5);  // two lanes
  add("training", 1, 2);  // within another
  add("training", 10, 11);
  const std::vector<PhaseTime> times = clock.times();
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times[0].phase, "training");
  EXPECT_DOUBLE_EQ(times[0].seconds, 9);
  EXPECT_DOUBLE_EQ(times[0].wall_seconds, 7);
  EXPECT_EQ(times[1].phase, "scores");
  EXPECT_DOUBLE_EQ(times[1].seconds, 1);
  EXPECT_DOUBLE_EQ(times[1].wall_seconds, 1);
}

TEST(Phases, TimeIsAddedToTheRunsOwn) {
  PhaseClock clock;
  Figures seconds;
  EXPECT_EQ(clock.time("codes", seconds, [] { return 7; }), 7);
  clock.time("codes", seconds, [] { std::this_thread::sleep_for(2ms); });
  clock.time("data", [] {});
  ASSERT_EQ(seconds.size(), 1u);
  EXPECT_GE(seconds["codes"], 0.002);
  ASSERT_EQ(clock.times().size(), 2u);
  EXPECT_DOUBLE_EQ(clock.times()[0].seconds, seconds["codes"]);
}

}  // namespace
}  // namespace hourglass::article
