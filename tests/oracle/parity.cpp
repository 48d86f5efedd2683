#include "tests/oracle/parity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numbers>
#include <ostream>

#include "host/device_internal.hpp"
#include "kernels/cpu/backend.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define HOURGLASS_PARITY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOURGLASS_PARITY_ASAN 1
#endif
#endif
#if defined(HOURGLASS_PARITY_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace hourglass::parity {
namespace {

std::vector<BackendUnderTest>& registered_backends() {
  static std::vector<BackendUnderTest> backends;
  return backends;
}

/// Found and opened as the product does it.
const LibrarySearch& cuda_library() {
  static const LibrarySearch search = find_cuda_library();
  return search;
}

// As float32 and as float64 a NaN, as integers out of any range, and not the poison of an output.
constexpr unsigned char guard_pattern[4] = {0xA5, 0xA5, 0xFA, 0xFF};
constexpr std::size_t guard_bytes = 1024;

std::byte guard_byte(std::size_t position) {
  return static_cast<std::byte>(guard_pattern[position % sizeof guard_pattern]);
}

/// Where two byte strings differ first, as a number of `bytes` each; -1 where they do not.
std::int64_t first_difference(std::span<const std::byte> a, std::span<const std::byte> b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin());
  return at == a.end() ? -1 : at - a.begin();
}

std::string place(std::size_t index, std::int64_t columns) {
  const auto i = static_cast<std::int64_t>(index);
  return columns > 0 ? fmt::format("[{}, {}]", i / columns, i % columns) : fmt::format("[{}]", i);
}

}  // namespace

// ---- backends ----

void PrintTo(const BackendUnderTest& backend, std::ostream* out) {
  *out << backend.name;
}

std::vector<BackendUnderTest> backends_under_test() {
  if (!registered_backends().empty()) return registered_backends();
  const char* value = std::getenv("HOURGLASS_SMALL_SIZES");
  const bool small = value != nullptr && std::string_view(value) == "1";
  std::vector<BackendUnderTest> backends;
  for (const int threads : {1, 3}) {
    backends.push_back({fmt::format("cpu_{}", threads),
                        [threads] { return std::make_unique<cpu::CpuBackend>(threads); }, small});
  }
  if (const auto& cuda = cuda_library().library) {
    backends.push_back(
        {"cuda", [open = cuda->open] { return std::unique_ptr<Backend>(open(backend_version, 0)); },
         small});
  }
  return backends;
}

std::string why_no_cuda() {
  return cuda_library().reason;
}

bool register_backend(BackendUnderTest backend) {
  registered_backends().push_back(std::move(backend));
  return true;
}

Backend& opened(const BackendUnderTest& backend) {
  // Not destroyed at exit: a CUDA context must not be torn down by a static destructor.
  static auto& backends = *new std::map<std::string, std::unique_ptr<Backend>>;
  std::unique_ptr<Backend>& slot = backends[backend.name];
  if (!slot) slot = backend.open();
  return *slot;
}

// ---- random input ----

std::uint64_t Random::bits() {  // SplitMix64 (Steele et al. 2014)
  state_ += 0x9E3779B97F4A7C15u;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double Random::uniform() {
  return static_cast<double>(bits() >> 11) * 0x1p-53;
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::int64_t Random::below(std::int64_t bound) {
  return static_cast<std::int64_t>(uniform() * static_cast<double>(bound));
}

std::vector<float> Random::normals(std::int64_t count, double deviation, double mean) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values)
    value = static_cast<float>(mean + deviation * normal());
  return values;
}

std::vector<float> Random::uniforms(std::int64_t count, double low, double high) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values)
    value = static_cast<float>(low + (high - low) * uniform());
  return values;
}

std::vector<double> widen(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// ---- sizes ----

std::vector<Shape> edge_shapes(bool emulated) {
  std::vector<Shape> shapes = {{1, 1},   {31, 33},  {32, 32},  {33, 31},
                               {1, 785}, {256, 32}, {32, 256}, {257, 33}};
  if (!emulated) {
    const Shape large[] = {{255, 257}, {256, 784}, {257, 255}, {784, 1}, {785, 31}, {2, 784}};
    shapes.insert(shapes.end(), std::begin(large), std::end(large));
  }
  shapes.insert(shapes.end(), {{0, 5}, {5, 0}, {0, 0}});
  return shapes;
}

std::vector<std::int64_t> edge_sizes(bool emulated) {
  if (emulated) return {1, 31, 32, 33, 256, 257, 785, 0};
  return {1, 31, 32, 33, 255, 256, 257, 784, 785, 50992, 0};
}

// ---- guarded memory ----

GuardedMemory::GuardedMemory(Backend& backend, Role role, std::vector<std::byte> initial,
                             std::size_t skew)
    : backend_(backend), role_(role), front_(guard_bytes + skew), size_(initial.size()) {
  if (role == Role::output) std::fill(initial.begin(), initial.end(), std::byte{0xFF});
  image_.resize(front_ + size_ + guard_bytes);
  for (std::size_t i = 0; i < image_.size(); ++i)
    image_[i] = guard_byte(i);
  std::copy(initial.begin(), initial.end(), image_.begin() + static_cast<std::ptrdiff_t>(front_));
  memory_ = static_cast<std::byte*>(backend_.allocate(image_.size()));
}

GuardedMemory::~GuardedMemory() {
  forbid_guards(false);
  backend_.release(memory_);
}

void GuardedMemory::reset() {
  forbid_guards(false);
  backend_.upload(memory_, image_.data(), image_.size());
  backend_.synchronize();
  forbid_guards(true);
}

void GuardedMemory::forbid_guards([[maybe_unused]] bool forbidden) const {
#if defined(HOURGLASS_PARITY_ASAN)
  if (!forbidden) {
    __asan_unpoison_memory_region(memory_, image_.size());
  } else if (sanitizer_guards) {
    __asan_poison_memory_region(memory_, front_);
    __asan_poison_memory_region(memory_ + front_ + size_, image_.size() - front_ - size_);
  }
#endif
}

std::vector<std::byte> GuardedMemory::inspect(std::vector<std::string>& problems) const {
  std::vector<std::byte> now(image_.size());
  forbid_guards(false);
  backend_.download(now.data(), memory_, now.size());
  const std::span before(image_);
  const std::span after(now);
  if (const std::int64_t at = first_difference(before.first(front_), after.first(front_));
      at >= 0) {
    problems.push_back(
        fmt::format("written {} bytes before its begin", static_cast<std::int64_t>(front_) - at));
  }
  if (const std::int64_t at =
          first_difference(before.subspan(front_ + size_), after.subspan(front_ + size_));
      at >= 0) {
    problems.push_back(fmt::format("written {} bytes behind its end", at));
  }
  if (role_ == Role::input) {
    const std::int64_t at =
        first_difference(before.subspan(front_, size_), after.subspan(front_, size_));
    if (at >= 0) problems.push_back(fmt::format("an input, written at byte {}", at));
  }
  const auto payload = after.subspan(front_, size_);
  return {payload.begin(), payload.end()};
}

// ---- comparison ----

std::string differences(const std::vector<double>& got, const oracle::Matrix64& want,
                        const Tolerance& tolerance) {
  if (got.size() != want.values.size()) {
    return fmt::format("{} elements where {} are wanted", got.size(), want.values.size());
  }
  constexpr std::size_t shown = 4;
  std::string message;
  std::size_t wrong = 0;
  std::size_t worst = 0;
  double worst_error = -1.0;
  double error_squares = 0.0;
  double want_squares = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double w = want.values[i];
    const double g = got[i];
    const double scale = tolerance.scale != nullptr ? tolerance.scale->values[i] : 1.0;
    const double error = std::abs(g - w);
    bool good = error <= tolerance.absolute * scale + tolerance.relative * std::abs(w);
    if (std::isnan(w)) good = std::isnan(g);
    if (std::isinf(w)) good = g == w;
    if (std::isfinite(w)) {
      error_squares += error * error;
      want_squares += w * w;
    }
    if (good) continue;
    if (++wrong <= shown) {
      message += fmt::format("\n  {} got {:.9g}, want {:.9g}", place(i, want.columns), g, w);
    }
    if (!(error <= worst_error)) {
      worst_error = error;
      worst = i;
    }
  }
  if (wrong > shown) {
    message += fmt::format("\n  worst {} got {:.9g}, want {:.9g}", place(worst, want.columns),
                           got[worst], want.values[worst]);
  }
  if (wrong > 0) {
    message = fmt::format("{} of {} elements beyond {:.3g} * scale + {:.3g} * |want|{}", wrong,
                          got.size(), tolerance.absolute, tolerance.relative, message);
  }
  const double norm = std::sqrt(error_squares);
  const double want_norm = std::sqrt(want_squares);
  if (tolerance.norm > 0.0 && !(norm <= tolerance.norm * want_norm)) {
    message += fmt::format("{}|got - want| is {:.4g} of |want|, more than {:.4g}",
                           message.empty() ? "" : "\n  ", norm / want_norm, tolerance.norm);
  }
  return message;
}

// ---- trials ----

Trial::Trial(const BackendUnderTest& backend, std::uint64_t seed, std::string shape)
    : backend_(opened(backend)),
      context_(fmt::format("{}, {}, seed {}", backend.name, shape, seed)) {}

void Trial::run(const std::function<void(Backend&)>& operation) {
  bool sound = true;  // a second run after a first that went wrong would only say so again
  for (int pass = 0; pass < 2 && sound; ++pass) {
    for (const auto& memory : memories_)
      memory->reset();
    try {
      operation(backend_);
      backend_.synchronize();
    } catch (const std::exception& error) {
      ADD_FAILURE() << context_ << ": run " << pass + 1 << " threw " << error.what();
      sound = false;
    }
    for (std::size_t i = 0; i < memories_.size(); ++i) {
      GuardedMemory& memory = *memories_[i];
      std::vector<std::string> problems;
      std::vector<std::byte> result = memory.inspect(problems);
      for (const std::string& problem : problems) {
        ADD_FAILURE() << context_ << ": argument " << i << " " << problem;
        sound = false;
      }
      if (pass == 0) {
        memory.result = std::move(result);
      } else if (const std::int64_t at = first_difference(memory.result, result); at >= 0) {
        ADD_FAILURE() << context_ << ": argument " << i
                      << " differs between two equal runs, first at byte " << at;
      }
    }
  }
}

void Trial::expect_close(std::string_view what, const std::vector<double>& got,
                         const oracle::Matrix64& want, const Tolerance& tolerance) {
  const std::string message = differences(got, want, tolerance);
  if (!message.empty()) ADD_FAILURE() << context_ << ": " << what << ": " << message;
}

void Trial::expect_equal(std::string_view what, const std::vector<std::int32_t>& got,
                         const std::vector<std::int32_t>& want, std::int64_t columns) {
  ASSERT_EQ(got.size(), want.size()) << context_ << ": " << what;
  const auto [at, other] = std::mismatch(got.begin(), got.end(), want.begin());
  if (at == got.end()) return;
  ADD_FAILURE() << context_ << ": " << what
                << place(static_cast<std::size_t>(at - got.begin()), columns) << " got " << *at
                << ", want " << *other;
}

void expect_refused(std::string_view operation, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << operation << " accepted shapes that do not fit";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string_view(error.what()).find(operation), std::string_view::npos)
        << "the message does not name " << operation << ": " << error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << operation << " threw something else: " << error.what();
  }
}

}  // namespace hourglass::parity
