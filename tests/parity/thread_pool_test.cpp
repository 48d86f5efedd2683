// The CPU backend's threads. Meant to be run under ThreadSanitizer too: every test reads and writes
// plain memory from several threads in the way that the operations do.
#include "kernels/cpu/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace hourglass::cpu {
namespace {

TEST(Split, CoversEverythingOnceInMultiplesOfTheGrain) {
  for (const std::int64_t count : {0, 1, 15, 16, 17, 31, 33, 255, 1000, 1001}) {
    for (const std::int64_t grain : {1, 7, 16, 48}) {
      for (const int parts : {1, 2, 3, 8, 64}) {
        std::int64_t next = 0;
        for (int part = 0; part < parts; ++part) {
          const Range range = split(count, part, parts, grain);
          ASSERT_EQ(range.begin, next) << count << " " << grain << " " << part << "/" << parts;
          ASSERT_GE(range.end, range.begin);
          ASSERT_TRUE(range.end == count || range.end % grain == 0) << range.end;
          next = range.end;
        }
        ASSERT_EQ(next, count);
      }
    }
  }
}

TEST(Split, IsEven) {
  for (int part = 0; part < 7; ++part) {
    const std::int64_t grains = split(1000, part, 7, 10).size() / 10;
    EXPECT_TRUE(grains == 14 || grains == 15) << grains;
  }
}

class ThreadPools : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPools, testing::Values(1, 2, 3, 8));

TEST_P(ThreadPools, RunsEveryPartOnce) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.threads(), GetParam());
  std::vector<int> calls(static_cast<std::size_t>(GetParam()));
  for (int round = 1; round <= 2000; ++round) {
    pool.run([&](int part) { ++calls[static_cast<std::size_t>(part)]; });
    // The parts' writes are visible here, without further synchronisation.
    for (const int n : calls)
      ASSERT_EQ(n, round);
  }
}

TEST_P(ThreadPools, PartsRunAtTheSameTime) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> here{0};
    pool.run([&](int) {  // ends only if every part has a thread of its own
      here.fetch_add(1);
      while (here.load() < GetParam())
        std::this_thread::yield();
    });
    ASSERT_EQ(here.load(), GetParam());
  }
}

TEST_P(ThreadPools, TheCallerDoesNotWaitForWorkersThatAreBusyElsewhere) {
  // Regions follow each other so fast that workers come late to most of them.
  ThreadPool pool(GetParam());
  std::int64_t sum = 0;
  for (std::int64_t round = 0; round < 20000; ++round) {
    std::vector<std::int64_t> value(static_cast<std::size_t>(GetParam()));
    pool.run([&](int part) { value[static_cast<std::size_t>(part)] = round; });
    sum += std::accumulate(value.begin(), value.end(), std::int64_t{0});
  }
  EXPECT_EQ(sum, std::int64_t{GetParam()} * 20000 * 19999 / 2);
}

TEST_P(ThreadPools, ResultsOfOneRegionAreInputsOfTheNext) {
  ThreadPool pool(GetParam());
  constexpr std::int64_t count = 1003;
  std::vector<std::int64_t> a(count, 1), b(count);
  for (int round = 0; round < 100; ++round) {
    pool.for_ranges(count, 16, 0, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        // Reads what another thread wrote in the region before.
        b[static_cast<std::size_t>(i)] = a[static_cast<std::size_t>(count - 1 - i)] + 1;
      }
    });
    std::swap(a, b);
  }
  for (const std::int64_t value : a)
    ASSERT_EQ(value, 101);
}

TEST_P(ThreadPools, RangesBelowTheThresholdStayOnTheCaller) {
  ThreadPool pool(GetParam());
  int calls = 0;
  pool.for_ranges(99, 1, 100, [&](std::int64_t begin, std::int64_t end, int part) {
    ++calls;
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 99);
    EXPECT_EQ(part, 0);
  });
  EXPECT_EQ(calls, 1);
  pool.for_ranges(0, 1, 0, [&](std::int64_t, std::int64_t, int) { ++calls; });
  pool.for_chunks(0, 1, [&](std::int64_t, std::int64_t, int) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST_P(ThreadPools, ChunksCoverEverythingOnce) {
  ThreadPool pool(GetParam());
  for (const std::int64_t count : {1, 63, 64, 65, 1000}) {
    std::vector<int> seen(static_cast<std::size_t>(count));
    pool.for_chunks(count, 64, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i)
        ++seen[static_cast<std::size_t>(i)];
    });
    for (const int n : seen)
      ASSERT_EQ(n, 1);
  }
}

TEST_P(ThreadPools, ExceptionsReachTheCallerAndThePoolGoesOn) {
  ThreadPool pool(GetParam());
  for (int thrower = 0; thrower < GetParam(); ++thrower) {
    try {
      pool.run([&](int part) {
        if (part == thrower) throw std::runtime_error("part " + std::to_string(part));
      });
      FAIL() << "no exception from part " << thrower;
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), "part " + std::to_string(thrower));
    }
  }
  try {
    pool.run([](int part) { throw std::runtime_error("part " + std::to_string(part)); });
    FAIL() << "no exception";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "part 0");
  }
  std::vector<int> done(static_cast<std::size_t>(GetParam()));
  pool.run([&](int part) { done[static_cast<std::size_t>(part)] = 1; });
  EXPECT_EQ(std::accumulate(done.begin(), done.end(), 0), GetParam());
}

TEST_P(ThreadPools, WakesAfterSleeping) {
  ThreadPool pool(GetParam());
  std::vector<int> done(static_cast<std::size_t>(GetParam()));
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // far beyond the spinning
    pool.run([&](int part) {
      // The caller sleeps too, in its wait for the last part.
      if (part != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ++done[static_cast<std::size_t>(part)];
    });
  }
  EXPECT_EQ(std::accumulate(done.begin(), done.end(), 0), 3 * GetParam());
}

TEST(ThreadPool, AtLeastOneThread) {
  ThreadPool pool(0);
  EXPECT_EQ(pool.threads(), 1);
  int calls = 0;
  pool.run([&](int) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(ThreadPool, NestedRunIsRefused) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.run([&](int part) {
    if (part == 1) pool.run([](int) {});
  }),
               std::logic_error);
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 20; ++i)
    ThreadPool pool(4);
}

}  // namespace
}  // namespace hourglass::cpu
