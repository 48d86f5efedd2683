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

// ---- the harness itself: one thread of the CPU backend does wrong on purpose ----

class Harness : public testing::Test {
 protected:
  Harness() { GuardedMemory::sanitizer_guards = false; }
  ~Harness() override { GuardedMemory::sanitizer_guards = true; }
};

BackendUnderTest some_backend() {
  return backends_under_test().front();
}

TEST_F(Harness, FindsAWriteBehindTheEnd) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        auto out = trial.output<float>(4);
        trial.run([&](Backend& backend) { backend.fill(out.data(), 0, 5 * sizeof(float)); });
      },
      "behind its end");
}

TEST_F(Harness, FindsAWriteBeforeTheBegin) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        trial.set_skew(1);
        auto out = trial.output<float>(4);
        trial.run([&](Backend& backend) { backend.fill(out.data() - 1, 0, 4 * sizeof(float)); });
      },
      "before its begin");
}

TEST_F(Harness, FindsAWrittenInput) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        auto in = trial.input(std::vector<float>{1, 2, 3, 4});
        trial.run([&](Backend& backend) { backend.fill(in.data() + 2, 0x11, 1); });
      },
      "an input, written at byte 8");
}

TEST_F(Harness, FindsRunsThatDiffer) {
  unsigned char run = 0;
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "1");
        auto out = trial.output<float>(1);
        trial.run([&](Backend& backend) { backend.fill(out.data(), ++run, sizeof(float)); });
      },
      "differs between two equal runs");
}

TEST_F(Harness, FindsAnElementThatIsNotWritten) {
  EXPECT_NONFATAL_FAILURE(
      {
        Trial trial(some_backend(), 1, "4");
        auto out = trial.output<float>(4);
        trial.run([&](Backend& backend) { backend.fill(out.data(), 0, 3 * sizeof(float)); });
        trial.expect_close("out", out, std::vector<double>(4, 0.0), {.absolute = 1.0});
      },
      "[0, 3] got ");
}

TEST_F(Harness, ComparesSoThatNanAndInfinityFail) {
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

TEST_F(Harness, WantsTheRightRefusal) {
  EXPECT_NONFATAL_FAILURE(expect_refused("gemm", [] {}), "accepted");
  EXPECT_NONFATAL_FAILURE(expect_refused("gemm", [] { throw std::invalid_argument("no"); }),
                          "does not name");
  EXPECT_NONFATAL_FAILURE(expect_refused("gemm", [] { throw std::runtime_error("gemm"); }),
                          "something else");
  expect_refused("gemm", [] { throw std::invalid_argument("gemm: shapes"); });
}

}  // namespace
}  // namespace hourglass::parity
