// Support of the parity tests: which backends are under test, buffers between guard zones, runs
// that are repeated and compared bit by bit, and comparison with the oracle.
//
// A test looks like this:
//
//   class Adam : public parity::BackendTest {};
//   HOURGLASS_FOR_EVERY_BACKEND(Adam);
//   TEST_P(Adam, MatchesTheOracle) {
//     Trial trial = this->trial(seed, "257");       // named in every message
//     auto g = trial.input(values);                 // must not change
//     auto p = trial.in_out(values);                // the same again before each run
//     auto v = trial.output<float>(257);            // NaN before each run
//     trial.run([&](Backend& backend) { backend.adam(...); });
//     trial.expect_close("v", v, oracle, {.absolute = 1e-6, .relative = 1e-5});
//   }
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"
#include "tests/oracle/matrix64.hpp"

namespace hourglass::parity {

// ---- backends ----

struct BackendUnderTest {
  std::string name;  ///< part of the tests' names: letters, digits and _
  std::function<std::unique_ptr<Backend>()> open;
  bool emulated =
      false;  ///< thousands of times slower than the device: tests keep their sizes small
};
void PrintTo(const BackendUnderTest& backend, std::ostream* out);

/// The backends that were registered; where none was, the CPU backend with one thread and with
/// three, and CUDA where its library and a device are present. HOURGLASS_SMALL_SIZES=1 keeps their
/// sizes as small as those of emulated ones, for tools that slow a device down as much.
std::vector<BackendUnderTest> backends_under_test();

/// Why CUDA is not among them; empty where it is.
std::string why_no_cuda();

/// Adds a backend that is linked into the test program. At namespace scope of one of its files:
///   const bool registered = parity::register_backend({"sim", open_sim, true});
bool register_backend(BackendUnderTest backend);

/// Opened at the first call and kept: threads and device contexts outlive a test.
Backend& opened(const BackendUnderTest& backend);

// ---- random input ----

/// Numbers that are the same with every standard library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits();
  double uniform();  ///< in [0, 1)
  double normal();
  std::int64_t below(std::int64_t bound);
  std::vector<float> normals(std::int64_t count, double deviation = 1.0, double mean = 0.0);
  std::vector<float> uniforms(std::int64_t count, double low = 0.0, double high = 1.0);

 private:
  std::uint64_t state_;
};

/// A skew (Trial::set_skew) below `bound` that follows from the seed and from nothing else that a
/// test counts: it must not go with every second activation, or with every case without a gradient.
inline std::int64_t any_skew(std::uint64_t seed, std::int64_t bound) {
  return Random(seed * 1000003).below(bound);
}

std::vector<double> widen(const std::vector<float>& values);

// ---- sizes ----

struct Shape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// Pairs in which every size around the edges of vectors, warps and blocks (1, 31, 32, 33, 255,
/// 256, 257, 784, 785) is both a number of rows and of columns, and the empty ones.
std::vector<Shape> edge_shapes(bool emulated);
/// The sizes alone, and 0.
std::vector<std::int64_t> edge_sizes(bool emulated);

// ---- guarded memory ----

/// Memory of a backend between two zones of a NaN pattern: what reads beyond it computes NaN, what
/// writes beyond it is found.
class GuardedMemory {
 public:
  enum class Role { input, output, in_out };

  /// `skew` bytes shift the payload from its 256-byte alignment.
  GuardedMemory(Backend& backend, Role role, std::vector<std::byte> initial, std::size_t skew);
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory();

  /// Guard zones and payload as they were at first: the initial values, or 0xFF bytes for an
  /// output.
  void reset();
  /// The payload now. What is wrong with the guard zones, or with an input, is added to `problems`.
  std::vector<std::byte> inspect(std::vector<std::string>& problems) const;

  [[nodiscard]] std::byte* payload() const { return memory_ + front_; }
  [[nodiscard]] Role role() const { return role_; }

  /// In builds with AddressSanitizer the guard zones are also out of bounds for all instrumented
  /// code, whose memory the device's then is (cpu, sim): a single read ends the program. Turned off
  /// where that is not what is tested.
  inline static bool sanitizer_guards = true;

  /// The payload after the first of the two runs of a Trial.
  std::vector<std::byte> result;

 private:
  void forbid_guards(bool forbidden) const;

  Backend& backend_;
  Role role_;
  std::vector<std::byte> image_;  ///< guards and payload before a run
  std::size_t front_;             ///< bytes before the payload
  std::size_t size_;              ///< of the payload
  std::byte* memory_;
};

template <class T>
class Argument {
 public:
  Argument() = default;
  Argument(std::shared_ptr<GuardedMemory> memory, std::int64_t size)
      : memory_(std::move(memory)), size_(size) {}

  [[nodiscard]] T* data() const { return reinterpret_cast<T*>(memory_->payload()); }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::span<T> span() const { return {data(), static_cast<std::size_t>(size_)}; }
  [[nodiscard]] MatrixView<T> matrix(std::int64_t rows, std::int64_t columns) const {
    return {data(), rows, columns};
  }
  /// The contents after the first run.
  [[nodiscard]] std::vector<T> values() const {
    std::vector<T> values(static_cast<std::size_t>(size_));
    std::copy(memory_->result.begin(), memory_->result.end(),
              std::as_writable_bytes(std::span(values)).begin());
    return values;
  }

 private:
  std::shared_ptr<GuardedMemory> memory_;
  std::int64_t size_ = 0;
};

// ---- comparison ----

/// |got - want| <= absolute * scale + relative * |want| for every element, where `scale` is 1 or,
/// if given, the element's own (such as the sum of the magnitudes that were added); and, where
/// `norm` is set, |got - want|_2 <= norm * |want|_2. NaN fails unless NaN is wanted; an infinity
/// must be the same one.
struct Tolerance {
  double absolute = 0.0;
  double relative = 0.0;
  double norm = 0.0;
  const oracle::Matrix64* scale = nullptr;
};

/// Empty where everything is close, else what is not: how many elements, the first few with index,
/// got and want, the worst, and the norm.
std::string differences(const std::vector<double>& got, const oracle::Matrix64& want,
                        const Tolerance& tolerance);

// ---- trials ----

class Trial {
 public:
  Trial(const BackendUnderTest& backend, std::uint64_t seed, std::string shape);

  /// Elements by which all later arguments are shifted from the alignment of an allocation, as rows
  /// in the middle of a matrix of odd width are.
  void set_skew(std::int64_t elements) { skew_ = elements; }

  template <class T>
  Argument<T> input(const std::vector<T>& values) {
    return add(GuardedMemory::Role::input, values);
  }
  template <class T>
  Argument<T> in_out(const std::vector<T>& values) {
    return add(GuardedMemory::Role::in_out, values);
  }
  template <class T>
  Argument<T> output(std::int64_t count) {
    return add(GuardedMemory::Role::output, std::vector<T>(static_cast<std::size_t>(count)));
  }

  /// Runs `operation` twice, each time on fresh memory: inputs and guard zones must be untouched
  /// and the results of both runs equal in every bit.
  void run(const std::function<void(Backend&)>& operation);

  /// Compares the result of the first run with the oracle's.
  template <class T>
  void expect_close(std::string_view what, const Argument<T>& got, const oracle::Matrix64& want,
                    const Tolerance& tolerance) {
    const std::vector<T> values = got.values();
    expect_close(what, std::vector<double>(values.begin(), values.end()), want, tolerance);
  }
  template <class T>
  void expect_close(std::string_view what, const Argument<T>& got, const std::vector<double>& want,
                    const Tolerance& tolerance) {
    expect_close(what, got, oracle::Matrix64(1, static_cast<std::int64_t>(want.size()), want),
                 tolerance);
  }
  void expect_close(std::string_view what, const std::vector<double>& got,
                    const oracle::Matrix64& want, const Tolerance& tolerance);
  /// Element by element the same integers.
  void expect_equal(std::string_view what, const std::vector<std::int32_t>& got,
                    const std::vector<std::int32_t>& want, std::int64_t columns);

  /// "cpu_3, 31x33, seed 7": for messages of a test's own.
  [[nodiscard]] const std::string& context() const { return context_; }

 private:
  template <class T>
  Argument<T> add(GuardedMemory::Role role, const std::vector<T>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    auto memory = std::make_shared<GuardedMemory>(
        backend_, role, std::vector<std::byte>(bytes.begin(), bytes.end()),
        static_cast<std::size_t>(skew_) * sizeof(T));
    memories_.push_back(memory);
    return {std::move(memory), static_cast<std::int64_t>(values.size())};
  }

  Backend& backend_;
  std::string context_;
  std::int64_t skew_ = 0;
  std::vector<std::shared_ptr<GuardedMemory>> memories_;
};

/// Fails unless `call` throws std::invalid_argument that names the operation.
void expect_refused(std::string_view operation, const std::function<void()>& call);

// ---- suites ----

class BackendTest : public testing::TestWithParam<BackendUnderTest> {
 protected:
  Backend& backend() { return opened(GetParam()); }
  [[nodiscard]] static bool emulated() { return GetParam().emulated; }
  [[nodiscard]] static Trial trial(std::uint64_t seed, std::string shape) {
    return {GetParam(), seed, std::move(shape)};
  }
  [[nodiscard]] static Trial trial(std::uint64_t seed, Shape shape) {
    return trial(seed, std::to_string(shape.rows) + "x" + std::to_string(shape.columns));
  }
};

/// What a test is called after the backend that it runs on.
inline std::string backend_name(const testing::TestParamInfo<BackendUnderTest>& info) {
  return info.param.name;
}

#define HOURGLASS_FOR_EVERY_BACKEND(Suite)                                                \
  INSTANTIATE_TEST_SUITE_P(On, Suite,                                                     \
                           testing::ValuesIn(::hourglass::parity::backends_under_test()), \
                           ::hourglass::parity::backend_name)

}  // namespace hourglass::parity
