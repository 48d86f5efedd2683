#include "host/data/subprocess.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using namespace std::chrono_literals;
using testing::Scratch;

TEST(Subprocess, CapturesBothOutputsAndTheStatus) {
  const ProcessResult result =
      run_process({"sh", "-c", "echo out; echo err >&2; exit 7"}, ".", 10s);
  EXPECT_TRUE(result.started);
  EXPECT_FALSE(result.timed_out);
  EXPECT_FALSE(result.succeeded());
  EXPECT_EQ(result.exit_status, 7);
  EXPECT_EQ(result.output, "out\nerr\n");
  EXPECT_TRUE(run_process({"true"}, ".", 10s).succeeded());
}

TEST(Subprocess, ArgumentsReachTheProgramAsTheyAre) {
  const std::string odd = "a b; $(touch x) `y` \"z\" '*'";
  EXPECT_EQ(run_process({"printf", "%s", odd}, ".", 10s).output, odd);
}

TEST(Subprocess, RunsInItsDirectoryWithAnEmptyInput) {
  const Scratch scratch;
  EXPECT_EQ(run_process({"sh", "-c", "pwd -P; cat"}, scratch.root().string(), 10s).output,
            std::filesystem::canonical(scratch.root()).string() + "\n");
}

TEST(Subprocess, AMissingProgramDoesNotStart) {
  const ProcessResult result = run_process({"hourglass-no-such-program"}, ".", 10s);
  EXPECT_FALSE(result.started);
  EXPECT_FALSE(result.succeeded());
}

TEST(Subprocess, TheLimitEndsIt) {
  const auto begin = std::chrono::steady_clock::now();
  for (const char* script :
       {"sleep 30", "exec >/dev/null 2>&1; exec sleep 30", "sleep 30 & exit 0"}) {
    const ProcessResult result = run_process({"sh", "-c", script}, ".", 1s);
    EXPECT_TRUE(result.timed_out) << script;
    EXPECT_FALSE(result.succeeded()) << script;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s);
}

TEST(Subprocess, LongOutputIsKeptFromItsEnd) {
  const ProcessResult result =
      run_process({"sh", "-c", "yes filler | head -c 1000000; echo last"}, ".", 30s);
  EXPECT_TRUE(result.succeeded());
  EXPECT_LE(result.output.size(), 65536U);
  EXPECT_TRUE(result.output.ends_with("last\n"));
}

TEST(Subprocess, TheUsersInterruptIsPassedOn) {
  EXPECT_THROW((void)run_process({"sh", "-c", "kill -INT $$"}, ".", 10s), Interrupted);
  EXPECT_THROW((void)run_process({"sh", "-c", "kill -TERM $$"}, ".", 10s), Interrupted);
  EXPECT_EQ(run_process({"sh", "-c", "kill -KILL $$"}, ".", 10s).exit_status, 128 + 9);
}

}  // namespace
}  // namespace hourglass
