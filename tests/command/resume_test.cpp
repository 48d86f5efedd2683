// Training that is killed at random moments and resumed ends with the very bytes of a training that
// was left alone.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/command/run_command.hpp"

namespace hourglass {
namespace {

using testing_support::Outcome;
using testing_support::read_file;
using testing_support::Workplace;
using Clock = std::chrono::steady_clock;

constexpr int rows = 3000;
constexpr int side = 20;

/// Bytes that a code of a few units says much about: a blob somewhere in each picture.
void write_images(const std::filesystem::path& path) {
  std::mt19937 generator(3);
  std::string bytes{'\0', '\0', '\x08', '\x03'};
  for (const int size : {rows, side, side}) {
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes += static_cast<char>(size >> shift & 0xff);
  }
  for (int i = 0; i < rows; ++i) {
    const int x = static_cast<int>(generator() % side);
    const int y = static_cast<int>(generator() % side);
    for (int p = 0; p < side * side; ++p) {
      const int dx = p % side - x;
      const int dy = p / side - y;
      bytes += static_cast<char>(std::max(0, 250 - 9 * (dx * dx + dy * dy)));
    }
  }
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Of a history, what does not depend on the clock.
nlohmann::json figures(const std::filesystem::path& path) {
  nlohmann::json history = nlohmann::json::parse(read_file(path))["history"];
  history.erase("seconds");
  return history;
}

TEST(Resume, KilledAtTwentyRandomMoments) {
  const Workplace work;
  write_images(work.at("images.idx"));
  const std::vector<std::vector<std::string>> kinds{
      {"--scale", "unit"},
      {"--scale", "standard", "--noise", "gaussian:0.5"},
      {"--scale", "unit", "--noise", "mask:0.3", "--validation", "0.1", "--patience", "3"},
      {"--scale", "standard", "--noise", "mask:0.2", "--lr-schedule", "cosine"}};
  std::random_device entropy;
  const std::uint32_t seed = entropy();
  std::mt19937 generator(seed);
  std::cout << "seed of the moments: " << seed << "\n";
  int kills = 0;
  int resumed = 0;  // from a checkpoint, not from the start
  for (const auto& kind : kinds) {
    std::vector<std::string> train{"train",  "--data",    "images.idx", "--hidden",
                                   "64,8",   "--epochs",  "6",          "--out",
                                   "m",      "--batch",   "64",         "--json",
                                   "m.json", "--device",  "cpu",        "--seed",
                                   "4",      "--threads", "1",          "--checkpoint-every",
                                   "20steps"};
    train.insert(train.end(), kind.begin(), kind.end());
    const auto start = Clock::now();
    ASSERT_EQ(work.run(train).status, 0) << read_file(work.at("stderr"));
    const std::chrono::duration<double> whole = Clock::now() - start;
    const std::string want = read_file(work.at("m"));
    const nlohmann::json want_figures = figures(work.at("m.json"));
    std::vector<std::string> resume = train;
    resume.emplace_back("--resume");
    std::uniform_real_distribution<double> moment(0.0, whole.count());
    for (int attempt = 0; attempt < 5; ++attempt) {
      for (const char* name : {"m", "m.json", "m.checkpoint", "m.checkpoint.previous"})
        std::filesystem::remove(work.at(name));
      // Killed twice: the training, and what resumed it.
      for (const auto& arguments : {train, resume}) {
        const pid_t child = work.start(arguments);
        std::this_thread::sleep_for(std::chrono::duration<double>(moment(generator)));
        kill(child, SIGKILL);
        kills += work.finish(child).status == 128 + SIGKILL ? 1 : 0;
      }
      const Outcome outcome = work.run(resume);
      ASSERT_EQ(outcome.status, 0) << outcome.err;
      resumed += outcome.out.find("resumed") != std::string::npos ? 1 : 0;
      EXPECT_EQ(read_file(work.at("m")), want);
      EXPECT_EQ(figures(work.at("m.json")), want_figures);
    }
  }
  std::cout << kills << " of 40 were killed before their end; " << resumed
            << " of 20 went on from a checkpoint\n";
  // Moments are random, but that nearly all come too late, or before the first checkpoint, is not
  // chance.
  EXPECT_GE(kills, 10);
  EXPECT_GE(resumed, 8);
}

TEST(Resume, InterruptedTrainingIsResumedWithoutBeingAskedForCheckpoints) {
  const Workplace work;
  write_images(work.at("images.idx"));
  const std::vector<std::string> train{"train",  "--data",   "images.idx", "--hidden",  "32",
                                       "--out",  "m",        "--epochs",   "12",        "--batch",
                                       "32",     "--device", "cpu",        "--threads", "1",
                                       "--seed", "4"};
  ASSERT_EQ(work.run(train).status, 0);
  const std::string want = read_file(work.at("m"));
  const pid_t child = work.start(train);
  for (int i = 0; i < 5000 && read_file(work.at("stdout")).find("epoch ") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  kill(child, SIGTERM);
  const Outcome interrupted = work.finish(child);
  ASSERT_EQ(interrupted.status, 130) << interrupted.err;
  EXPECT_NE(interrupted.err.find("--resume goes on from m.checkpoint"), std::string::npos)
      << interrupted.err;
  std::vector<std::string> resume = train;
  resume.emplace_back("--resume");
  const Outcome outcome = work.run(resume);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("resumed"), std::string::npos) << outcome.out;
  EXPECT_EQ(read_file(work.at("m")), want);
}

}  // namespace
}  // namespace hourglass
