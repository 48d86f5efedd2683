// Which backends the suite runs on, and whether its own harness finds what it is there to find.
#include <gtest/gtest-spi.h>

#include <cstdlib>
#include <limits>
#include <string>

#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

bool gpu_required() {
  const char* value = std::getenv("HOURGLASS_REQUIRE_GPU");
  return value != nullptr && std::string(value) == "1";
}

TEST(BackendsUnderTest, CudaIsAmongThem) {
  const std::string reason = why_no_cuda();
  if (reason.empty()) {
    bool found = false;
    for (const BackendUnderTest& backend : backends_under_test())
      found |= backend.name == "cuda";
    EXPECT_TRUE(found);
    return;
  }
  if (gpu_required()) FAIL() << "HOURGLASS_REQUIRE_GPU=1, but there is no CUDA backend: " << reason;
  GTEST_SKIP() << "the CUDA backend is not tested: " << reason;
}

class Memory : public BackendTest {};
HOURGLASS_FOR_EVERY_BACKEND(Memory);

TEST_P(Memory, SaysWhatItIs) {
  const BackendInfo info = backend().info();
  EXPECT_EQ(GetParam().name.substr(0, info.backend.size()), info.backend);
  EXPECT_FALSE(info.name.empty());
  EXPECT_GE(info.threads, 1);
  EXPECT_GT(info.memory_bytes, 0u);
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
  for (const std::int64_t size : {0, 1, 3, 255, 256, 4097}) {
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

// ---- the harness itself: one thread of the CPU backend does wrong on purpose ----

BackendUnderTest some_backend() {
  return backends_under_test().front();
}

TEST(Harness, FindsAWriteBehindTheEnd) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        auto out = trial.output<float>(4);
        trial.run([&](Backend& backend) { backend.fill(out.data(), 0, 5 * sizeof(float)); });
      },
      "behind its end");
}

TEST(Harness, FindsAWriteBeforeTheBegin) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        trial.set_skew(1);
        auto out = trial.output<float>(4);
        trial.run([&](Backend& backend) { backend.fill(out.data() - 1, 0, 4 * sizeof(float)); });
      },
      "before its begin");
}

TEST(Harness, FindsAWrittenInput) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        auto in = trial.input(std::vector<float>{1, 2, 3, 4});
        trial.run([&](Backend& backend) { backend.fill(in.data() + 2, 0x11, 1); });
      },
      "an input, written at byte 8");
}

TEST(Harness, FindsRunsThatDiffer) {
  unsigned char run = 0;
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "1");
        auto out = trial.output<float>(1);
        trial.run([&](Backend& backend) { backend.fill(out.data(), ++run, sizeof(float)); });
      },
      "differs between two equal runs");
}

TEST(Harness, FindsAnElementThatIsNotWritten) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        auto out = trial.output<float>(4);
        trial.run([&](Backend& backend) { backend.fill(out.data(), 0, 3 * sizeof(float)); });
        trial.expect_close("out", out, std::vector<double>(4, 0.0), {.absolute = 1.0});
      },
      "[0, 3] got ");
}

TEST(Harness, ComparesSoThatNanAndInfinityFail) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const oracle::Matrix64 want(1, 2, std::vector<double>{1.0, 2.0});
  const Tolerance loose{.absolute = 1e9, .relative = 1e9};
  EXPECT_EQ(differences({1.0, 2.0}, want, {}), "");
  EXPECT_NE(differences({1.0, nan}, want, loose), "");
  EXPECT_NE(differences({infinity, 2.0}, want, loose), "");
  EXPECT_NE(differences({1.0}, want, loose), "");
  EXPECT_NE(differences({1.0, 2.1}, want, {.relative = 0.01}), "");
  EXPECT_NE(differences({1.0, 2.01}, want, {.absolute = 1.0, .norm = 1e-3}), "");

  const oracle::Matrix64 special(1, 2, std::vector<double>{nan, infinity});
  EXPECT_EQ(differences({nan, infinity}, special, {}), "");
  EXPECT_NE(differences({0.0, infinity}, special, loose), "");
  EXPECT_NE(differences({nan, -infinity}, special, loose), "");
}

TEST(Harness, WantsTheRightRefusal) {
  EXPECT_NONFATAL_FAILURE(expect_refused("gemm", [] {}), "accepted");
  EXPECT_NONFATAL_FAILURE(expect_refused("gemm", [] { throw std::invalid_argument("no"); }),
                          "does not name");
  EXPECT_NONFATAL_FAILURE(expect_refused("gemm", [] { throw std::runtime_error("gemm"); }),
                          "something else");
  expect_refused("gemm", [] { throw std::invalid_argument("gemm: shapes"); });
}

}  // namespace
}  // namespace hourglass::parity
