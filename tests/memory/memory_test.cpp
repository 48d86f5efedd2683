// Whether plans say what is really taken: everything that the library allocates on the CPU, by its
// backend or by operator new, is counted while it works.
#include "hourglass/memory.hpp"

#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <span>
#include <string>

#include "host/embed/affinities.hpp"
#include "host/embed/memory.hpp"
#include "host/memory.hpp"
#include "hourglass/error.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scores.hpp"
#include "hourglass/training.hpp"
#include "hourglass/tsne.hpp"
#include "tests/memory/row_file.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/oracle/recording_backend.hpp"

namespace {

std::atomic<std::int64_t> live{0};
std::atomic<std::int64_t> peak{0};

void taken(std::size_t bytes) {
  const std::int64_t now =
      live.fetch_add(static_cast<std::int64_t>(bytes)) + static_cast<std::int64_t>(bytes);
  std::int64_t most = peak.load();
  while (now > most && !peak.compare_exchange_weak(most, now)) {
  }
}

void given_back(std::size_t bytes) {
  live.fetch_sub(static_cast<std::int64_t>(bytes));
}

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  taken(malloc_usable_size(memory));
  return memory;
}

void uncounted(void* memory) noexcept {
  if (memory != nullptr) given_back(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  return counted(std::malloc(size));
}
void* operator new[](std::size_t size) {
  return counted(std::malloc(size));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  void* memory = std::malloc(size);
  if (memory != nullptr) taken(malloc_usable_size(memory));
  return memory;
}
void* operator new[](std::size_t size, const std::nothrow_t& nothrow) noexcept {
  return operator new(size, nothrow);
}
void operator delete(void* memory) noexcept {
  uncounted(memory);
}
void operator delete[](void* memory) noexcept {
  uncounted(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  uncounted(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  uncounted(memory);
}

namespace hourglass {
namespace {

/// Counts what the CPU backend hands out.
class CountingBackend final : public testing_support::ForwardingBackend {
 public:
  explicit CountingBackend(int threads)
      : ForwardingBackend(std::make_unique<cpu::CpuBackend>(threads)) {}
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    void* memory = inner().allocate(bytes);
    taken(malloc_usable_size(memory));
    return memory;
  }
  void release(void* memory) noexcept override {
    if (memory != nullptr) given_back(malloc_usable_size(memory));
    inner().release(memory);
  }
};

Matrix random_rows(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  parity::Random random(seed);
  Matrix x(rows, columns);
  x.values = random.uniforms(rows * columns);
  return x;
}

Dataset random_bytes(std::int64_t rows, std::int64_t columns) {
  Dataset data;
  data.name = "bytes";
  data.rows = rows;
  data.columns = columns;
  std::vector<std::uint8_t> values(static_cast<std::size_t>(rows * columns));
  parity::Random random(1);
  for (std::uint8_t& value : values)
    value = static_cast<std::uint8_t>(random.bits() >> 56);
  data.values = std::move(values);
  return data;
}

std::vector<std::int32_t> labels_of(std::int64_t rows, std::int32_t classes) {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < rows; ++i)
    labels.push_back(static_cast<std::int32_t>(i % classes));
  return labels;
}

class MemoryPlans : public testing::TestWithParam<int> {
 protected:
  [[nodiscard]] const DeviceInfo& info() const { return device_.info(); }

  /// What `work` takes beyond what is there lies between 1 / 1.25 of the plan, but for a few MiB
  /// that do not grow with the work, and the plan.
  template <class Work>
  void compare(const MemoryPlan& plan, Work&& work) {
    SCOPED_TRACE(plan.work() + ": " + plan.needs());
    const std::int64_t before = live.load();
    peak.store(before);
    work();
    const auto took = static_cast<double>(peak.load() - before);
    const auto planned = static_cast<double>(plan.total_bytes());
    constexpr double trifles = 64 * 1024.0;  // names, vectors of a few elements
    constexpr double constant = 4 * 1024 * 1024.0;
    EXPECT_LE(took, planned + trifles);
    EXPECT_LE(planned, 1.25 * took + constant);
  }

  Device device_ = Device::over(std::make_unique<CountingBackend>(GetParam()), "cpu");
};
INSTANTIATE_TEST_SUITE_P(Threads, MemoryPlans, testing::Values(1, 2),
                         [](const auto& info) { return std::to_string(info.param); });

AutoencoderSpec spec_of(std::int64_t inputs, std::vector<std::int64_t> hidden) {
  AutoencoderSpec spec;
  spec.inputs = inputs;
  spec.hidden = std::move(hidden);
  return spec;
}

class TemporaryFile {
 public:
  ~TemporaryFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() /
                       ("hourglass-memory-test-" + std::to_string(getpid())))
                          .string();
};

TEST_P(MemoryPlans, OfTraining) {
  struct Case {
    std::int64_t rows, columns;
    std::vector<std::int64_t> hidden;
    std::int64_t batch, validation;
    Activation activation;
    TrainingOptions options{};
  };
  const TemporaryFile checkpoint;
  for (const Case& c : {Case{20000, 784, {32}, 256, 0, Activation::relu},
                        Case{3000, 784, {1024, 64, 2}, 256, 5000, Activation::gelu},
                        Case{40000, 5, {3}, 40000, 0, Activation::selu},
                        Case{1000, 3000, {512}, 1000, 100, Activation::tanh},
                        Case{3000,
                             784,
                             {256},
                             1024,
                             100,
                             Activation::relu,
                             {.optimiser = Optimiser::sgd,
                             .noise = {Noise::Kind::gaussian, 0.5f},
                             .patience = 1,
                             .checkpoint = {.path = checkpoint.path(), .every_epochs = 1}}}}) {
    AutoencoderSpec spec = spec_of(c.columns, c.hidden);
    spec.activation = c.activation;
    const Dataset data = random_bytes(c.rows, c.columns);
    const Dataset validation = random_bytes(std::max<std::int64_t>(c.validation, 1), c.columns);
    std::optional<DataShape> shape;
    if (c.validation > 0) shape = validation;
    Autoencoder model = Autoencoder::initialise(spec, Scaler::fit(device_, data, Scaling::unit), 1);
    TrainingOptions options = c.options;
    options.epochs = 1;
    options.batch = c.batch;
    compare(training_memory(info(), spec, data, options, shape), [&] {
      fit(device_, model, data, options,
          c.validation > 0 ? std::optional<RowSource>(validation) : std::nullopt);
    });
  }
}

TEST_P(MemoryPlans, OfTrainedModels) {
  for (const auto& [rows, columns, hidden] :
       {std::tuple<std::int64_t, std::int64_t, std::vector<std::int64_t>>{30000, 784, {32}},
        {200, 784, {2048, 16}},
        {100000, 10, {4}}}) {
    const Dataset data = random_bytes(rows, columns);
    const Autoencoder model = Autoencoder::initialise(spec_of(columns, hidden),
                                                      Scaler::fit(device_, data, Scaling::unit), 1);
    compare(model_memory(info(), model.spec, data, ModelOutput::codes),
            [&] { (void)model.encode(device_, data); });
    compare(model_memory(info(), model.spec, data, ModelOutput::reconstructions),
            [&] { (void)model.reconstruct(device_, data); });
    compare(model_memory(info(), model.spec, data, ModelOutput::loss),
            [&] { (void)model.reconstruction_loss(device_, data); });
    const Matrix codes = random_rows(rows, hidden.back(), 2);
    compare(model_memory(info(), model.spec, {rows, columns}, ModelOutput::reconstructions),
            [&] { (void)model.decode(device_, codes); });
  }
}

TEST_P(MemoryPlans, OfTrainingOnAFileLoadedAndStreamed) {
  const testing_support::TemporaryRows temporary(random_rows(20000, 784, 1));  // 60 MiB
  const RowFile file = temporary.open();
  const RowSource rows = RowSource(file).slice(0, 19000);
  const RowSource validation = RowSource(file).slice(19000, 1000);
  const AutoencoderSpec spec = spec_of(784, {64});
  const Scaler scaler = Scaler::fit(device_, file, Scaling::unit);
  for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{40} << 20}) {
    TrainingOptions options;
    options.epochs = 1;
    options.batch = 1024;
    options.memory_bytes = limit;
    EXPECT_EQ(training_streams(info(), spec, rows, options, validation), limit > 0);
    Autoencoder model = Autoencoder::initialise(spec, scaler, 1);
    const MemoryPlan plan = training_memory(info(), spec, rows, options, validation);
    if (limit > 0) {
      EXPECT_LE(plan.total_bytes(), limit);
    }
    compare(plan, [&] { fit(device_, model, rows, options, validation); });
  }
}

TEST_P(MemoryPlans, OfTrainedModelsOnAFile) {
  for (const auto& [rows, columns, hidden] :
       {std::tuple<std::int64_t, std::int64_t, std::vector<std::int64_t>>{30000, 784, {32}},
        {500, 9000, {2048, 16}},
        {100000, 10, {40}}}) {
    const testing_support::TemporaryRows temporary(random_rows(rows, columns, 1));
    const RowFile file = temporary.open();
    const Autoencoder model = Autoencoder::initialise(spec_of(columns, hidden),
                                                      Scaler::fit(device_, file, Scaling::unit), 1);
    const auto plan = [&](ModelOutput output) {
      return model_memory(info(), model.spec, RowSource(file), output);
    };
    const RowSink sink = [](std::int64_t, std::span<float>) {};
    compare(plan(ModelOutput::codes), [&] { (void)model.encode(device_, file); });
    compare(plan(ModelOutput::code_blocks), [&] { model.encode(device_, file, sink); });
    compare(plan(ModelOutput::reconstructions), [&] { (void)model.reconstruct(device_, file); });
    compare(plan(ModelOutput::reconstruction_blocks),
            [&] { (void)model.reconstruct(device_, file, sink); });
    compare(plan(ModelOutput::loss), [&] { (void)model.reconstruction_loss(device_, file); });
  }
}

TEST_P(MemoryPlans, OfScalers) {
  const Dataset bytes = random_bytes(20000, 784);
  const Dataset floats = Dataset::from_matrix("floats", random_rows(40000, 300, 1));
  const testing_support::TemporaryRows temporary(random_rows(40000, 300, 1));
  const RowFile file = temporary.open();
  for (const RowSource& data : {RowSource(bytes), RowSource(floats), RowSource(file)}) {
    Scaler scaler;
    compare(scaler_fit_memory(info(), data, Scaling::standard),
            [&] { scaler = Scaler::fit(device_, data, Scaling::standard); });
    compare(scaler_transform_memory(info(), data), [&] { (void)scaler.transform(device_, data); });
  }
  compare(scaler_fit_memory(info(), RowSource(file), Scaling::unit),
          [&] { (void)Scaler::fit(device_, file, Scaling::unit); });
  EXPECT_EQ(scaler_fit_memory(info(), bytes, Scaling::unit).total_bytes(), 0u);
}

TEST_P(MemoryPlans, OfPca) {
  struct Case {
    std::int64_t rows, columns, components;
  };
  for (const Case& c :
       {Case{20000, 100, 2}, Case{3000, 784, 50}, Case{500, 8000, 20}, Case{200000, 3, 2}}) {
    const Matrix x = random_rows(c.rows, c.columns, 3);
    Pca pca;
    compare(pca_fit_memory(info(), x, c.components),
            [&] { pca = Pca::fit(device_, x, c.components); });
    Matrix codes;
    compare(pca_transform_memory(info(), x, c.components),
            [&] { codes = pca.transform(device_, x); });
    compare(pca_inverse_memory(info(), x, c.components),
            [&] { (void)pca.inverse_transform(device_, codes); });
  }
}

TEST_P(MemoryPlans, OfTsne) {
  struct Case {
    std::int64_t rows, columns;
    double perplexity;
    TsneMethod method;
    TsneStart start;
  };
  for (const Case& c : {Case{3000, 400, 30, TsneMethod::automatic, TsneStart::pca},
                        Case{8000, 16, 10, TsneMethod::automatic, TsneStart::random},
                        Case{1500, 50, 300, TsneMethod::exact, TsneStart::pca},
                        Case{2500, 300, 5, TsneMethod::exact, TsneStart::given},
                        Case{16000, 2, 1, TsneMethod::tree, TsneStart::random}}) {
    const Matrix x = random_rows(c.rows, c.columns, 4);
    TsneOptions options;
    if (c.start == TsneStart::given) options.given_start = random_rows(c.rows, 2, 8);
    options.perplexity = c.perplexity;
    options.method = c.method;
    options.start = c.start;
    options.iterations = 30;
    options.exaggeration_iterations = 10;
    compare(tsne_memory(info(), x, options), [&] { (void)tsne(device_, x, options); });
  }
}

TEST_P(MemoryPlans, OfPointsPlacedInAMap) {
  for (const std::int64_t dimensions : {2, 3}) {
    const Matrix reference = random_rows(6000, 60, 5), map = random_rows(6000, dimensions, 6);
    const Matrix x = random_rows(3000, 60, 7);
    TsneTransformOptions options;
    options.iterations = 2;
    compare(tsne_transform_memory(info(), {6000, 60}, 3000, dimensions, options.perplexity),
            [&] { (void)tsne_transform(device_, reference, map, x, options); });
  }
}

TEST_P(MemoryPlans, OfNeighboursInOtherWays) {
  // An upper bound for the approximate search, which finds on its way how many rows it looks at.
  const std::int64_t n = 6000, k = 30;
  const Matrix x = random_rows(n, 40, 9);
  const std::int64_t before = live.load();
  for (const NeighbourMethod method : {NeighbourMethod::exact, NeighbourMethod::approximate}) {
    for (const Metric metric : {Metric::euclidean, Metric::cosine}) {
      const NeighbourOptions options{.method = method, .metric = metric};
      MemoryTimeline memory(info());
      (void)plan_affinities(memory, x, k, options);
      const std::uint64_t planned = memory.plan("", "").total_bytes();
      peak.store(before);
      (void)compute_affinities("test", device_.backend(), x, 10, options);
      const auto took = static_cast<double>(peak.load() - before);
      SCOPED_TRACE(std::string(name_of(method)) + ", " + std::string(name_of(metric)));
      EXPECT_LE(took, static_cast<double>(planned) + 64 * 1024.0);
      EXPECT_LE(static_cast<double>(planned), 2.0 * took);
    }
  }
  NeighbourTable table{n, k, std::vector<std::int32_t>(n * k), std::vector<float>(n * k, 1.0f)};
  for (std::int64_t i = 0; i < n * k; ++i)
    table.index[static_cast<std::size_t>(i)] = static_cast<std::int32_t>((i / k + 1 + i % k) % n);
  MemoryTimeline memory(info());
  (void)plan_given_affinities(memory, n, k);
  compare(memory.plan("given neighbours", ""), [&] {
    Backend& backend = device_.backend();
    (void)affinities_from_neighbours("test", backend, given_neighbours("test", backend, table, k),
                                     10);
  });
}

TEST_P(MemoryPlans, OfScores) {
  for (const DataShape& shape : {DataShape(1200, 784), DataShape(5000, 2)}) {
    const std::int64_t rows = shape.rows;
    const std::int64_t columns = shape.columns;
    const Matrix x = random_rows(rows, columns, 5);
    const Matrix map = random_rows(rows, 2, 6);
    const std::vector<std::int32_t> labels = labels_of(rows, 10);
    compare(one_nn_split_memory(info(), x),
            [&] { (void)one_nn_split_accuracy(device_, x, labels); });
    compare(one_nn_memory(info(), x, std::nullopt),
            [&] { (void)one_nn_leave_one_out_accuracy(device_, x, labels); });
    const Matrix other = random_rows(rows / 3, columns, 7);
    const Labels other_labels = Labels(labels).first(static_cast<std::size_t>(rows / 3));
    compare(one_nn_memory(info(), x, other),
            [&] { (void)one_nn_accuracy(device_, x, labels, other, other_labels); });
    compare(linear_probe_memory(info(), x, other, 10),
            [&] { (void)linear_probe_accuracy(device_, x, labels, other, other_labels); });
    for (const int k : {12, 100}) {
      compare(trustworthiness_memory(info(), x, map, k),
              [&] { (void)trustworthiness(device_, x, map, k); });
      compare(neighbour_preservation_memory(info(), x, map, k),
              [&] { (void)neighbour_preservation(device_, x, map, k); });
    }
    compare(map_figures_memory(info(), x, map), [&] { (void)map_figures(device_, x, map); });
    compare(silhouette_memory(info(), x, 10), [&] { (void)silhouette(device_, x, labels); });
    compare(tsne_kl_memory(info(), x, 30), [&] { (void)tsne_kl_divergence(device_, x, map, 30); });
  }
}

}  // namespace
}  // namespace hourglass
