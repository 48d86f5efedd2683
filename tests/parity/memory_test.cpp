// What is no arithmetic: memory of a backend, copies, time.
#include <chrono>
#include <cstdint>
#include <thread>

#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class Memory : public BackendTest {};
HOURGLASS_FOR_EVERY_BACKEND(Memory);

TEST_P(Memory, SaysWhatItIs) {
  const BackendInfo info = backend().info();
  EXPECT_EQ(info.backend, GetParam().name.starts_with("cpu") ? "cpu" : "cuda");
  EXPECT_FALSE(info.name.empty());
  EXPECT_GE(info.threads, 1);
  EXPECT_GT(info.memory_bytes, 0u);
  EXPECT_GT(info.free_bytes, 0u);
  EXPECT_LE(info.free_bytes, info.memory_bytes);
}

TEST_P(Memory, IsAlignedAndSeparate) {
  void* first = backend().allocate(1);
  void* second = backend().allocate(1000);
  void* none = backend().allocate(0);
  EXPECT_NE(first, second);
  for (const void* memory : {first, second, none}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 256, 0u);
  }
  for (void* memory : {first, second, none})
    backend().release(memory);
}

TEST_P(Memory, UploadCopyFillAndDownloadMoveExactlyTheirBytes) {
  for (const std::int64_t size : {0, 1, 3, 255, 256, 4097, (1 << 18) + 4099}) {
    Trial trial = this->trial(1, std::to_string(size));
    trial.set_skew(3);
    std::vector<unsigned char> bytes(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<unsigned char>(i * 7 + 1);
    auto from = trial.input(bytes);
    auto copied = trial.output<unsigned char>(size);
    auto filled = trial.output<unsigned char>(size);
    auto uploaded = trial.output<unsigned char>(size);
    trial.run([&](Backend& backend) {
      backend.copy(copied.data(), from.data(), bytes.size());
      backend.fill(filled.data(), 0x5A, bytes.size());
      std::vector<unsigned char> temporary = bytes;
      backend.upload(uploaded.data(), temporary.data(), temporary.size());
      std::fill(temporary.begin(), temporary.end(), static_cast<unsigned char>(0));
    });
    EXPECT_EQ(copied.values(), bytes) << trial.context();
    EXPECT_EQ(uploaded.values(), bytes) << trial.context();
    EXPECT_EQ(filled.values(), std::vector<unsigned char>(bytes.size(), 0x5A)) << trial.context();
  }
}

TEST_P(Memory, DownloadWaitsForWhatWasAskedBefore) {
  const std::size_t size = emulated() ? 1 << 12 : 1 << 24;
  void* a = backend().allocate(size);
  void* b = backend().allocate(size);
  backend().fill(a, 1, size);
  backend().fill(a, 2, size);
  backend().copy(b, a, size);
  unsigned char last = 0;
  backend().download(&last, static_cast<unsigned char*>(b) + size - 1, 1);
  EXPECT_EQ(last, 2);
  backend().release(a);
  backend().release(b);
}

TEST_P(Memory, StopwatchMeasuresWhatLiesBetweenStartAndStop) {
  const std::int64_t size = emulated() ? 1 << 16 : 1 << 26;
  Buffer<unsigned char> from(backend(), size);
  Buffer<unsigned char> to(backend(), size);
  const auto watch = backend().make_stopwatch();
  const auto wall_start = std::chrono::steady_clock::now();
  watch->start();
  for (int i = 0; i < 4; ++i)
    backend().copy(to.data(), from.data(), static_cast<std::size_t>(size));
  watch->stop();
  const double seconds = watch->seconds();
  const double wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_start).count();
  EXPECT_GT(seconds, 0.0);
  EXPECT_LE(seconds, wall);
}

TEST_P(Memory, RangesNest) {
  const Range outer(backend(), "outer");
  const Range inner(backend(), "inner");
}

}  // namespace
}  // namespace hourglass::parity
