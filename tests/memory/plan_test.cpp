// What a plan says, and that work without the memory for it is refused before it begins.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "host/memory.hpp"
#include "hourglass/error.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scores.hpp"
#include "hourglass/training.hpp"
#include "hourglass/tsne.hpp"
#include "tests/memory/row_file.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/oracle/recording_backend.hpp"

namespace hourglass {
namespace {

using testing_support::Record;
using testing_support::recording_device;

DeviceInfo cpu_info(int threads = 2) {
  DeviceInfo info;
  info.id = info.backend = "cpu";
  info.host_memory = info.tree = true;
  info.threads = threads;
  return info;
}

DeviceInfo gpu_info() {
  DeviceInfo info;
  info.id = "cuda:0";
  info.backend = "cuda";
  return info;
}

Matrix rows_of(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  parity::Random random(seed);
  Matrix x(rows, columns);
  x.values = random.uniforms(rows * columns);
  return x;
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(MemoryTimeline, KeepsTheLargestMoment) {
  MemoryTimeline memory(cpu_info());
  const auto data = memory.hold("data", 1000);
  {
    const auto more = memory.hold("data", 256);
    auto copy = memory.hold_on_host("copy", 10'000);
    const auto moved = std::move(copy);
  }
  memory.run({0, 2000});
  const auto late = memory.hold("late", 5000);
  const MemoryPlan plan = memory.plan("work", "advice");
  ASSERT_EQ(plan.parts().size(), 2u);  // of the moment with the copy, largest first
  EXPECT_EQ(plan.parts()[0].name, "copy");
  EXPECT_EQ(plan.parts()[0].bytes, 10'000u);
  EXPECT_EQ(plan.parts()[1].name, "data");
  EXPECT_EQ(plan.parts()[1].bytes, 1024u + 256u);  // as the backend aligns
  EXPECT_EQ(plan.total_bytes(), 11'280u);
}

TEST(MemoryTimeline, AGpuHasItsOwnMemoryAndKeepsItsWorkspace) {
  MemoryTimeline memory(gpu_info());
  const auto copy = memory.hold_on_host("copy", 1 << 30);
  constexpr std::uint64_t mebi = std::uint64_t{1} << 20;
  memory.run({40 * mebi, 0});
  memory.run({10 * mebi, 0});
  EXPECT_EQ(memory.plan("", "").total_bytes(), 40 * mebi);
  memory.run({41 * mebi, 0});  // grows to 64, the first 40 stay
  EXPECT_EQ(memory.plan("", "").total_bytes(), 104 * mebi);
  memory.run({100 * mebi, 0});  // beyond the limit what is asked for is taken
  EXPECT_EQ(memory.plan("", "").total_bytes(), 204 * mebi);

  MemoryTimeline host(cpu_info());
  host.run({40 * mebi, 0});
  host.run({41 * mebi, 0});
  EXPECT_EQ(host.plan("", "").total_bytes(), 41 * mebi);
}

TEST(MemoryPlan, SaysWhatItNeedsAndWhatFor) {
  constexpr std::uint64_t mebi = std::uint64_t{1} << 20;
  EXPECT_EQ(MemoryPlan("", "", {{"data", 3000 * mebi}, {"none", 0}, {"map", 7000 * mebi}}).needs(),
            "9.8 GiB (map 6.8, data 2.9)");
  EXPECT_EQ(MemoryPlan("", "", {{"data", 900 * mebi}, {"a", 4 * mebi}, {"b", 3 * mebi}}).needs(),
            "907.0 MiB (data 900.0, other 7.0)");
  EXPECT_EQ(MemoryPlan("", "", {{"data", 2048}}).needs(), "2.0 KiB (data 2.0)");
  EXPECT_EQ(MemoryPlan("", "", {}).needs(), "0.0 KiB");
}

TEST(MemoryPlan, OfTsneOnAGpuIsTheSumOfItsBuffers) {
  TsneOptions options;
  options.start = TsneStart::random;
  const MemoryPlan narrow = tsne_memory(gpu_info(), {1'000'000, 50}, options);
  EXPECT_EQ(narrow.work(), "t-SNE of 1,000,000 x 50 points with 90 neighbours");
  // 2 N k entries of P, in the old and in the new order of the points, and the workspace that made
  // them, each edge twice; 16 numbers a point of maps, steps, gains and forces, and keys to sort
  // by.
  const double edges = 9e7;
  const double sorting = 16 * edges + 16 * edges + 16 * edges + 1e6 * (16 * 4 + 4 + 16 + 2 * 8);
  EXPECT_NEAR(static_cast<double>(narrow.total_bytes()), sorting, 0.02 * sorting);
  EXPECT_EQ(narrow.parts().front().name, "affinities");
  // A start by PCA has wide points on the device again, beside P and the workspace that made it.
  options.start = TsneStart::pca;
  const double starting = 16 * edges + 16 * edges + 4.0 * 1e6 * 784;
  EXPECT_NEAR(static_cast<double>(tsne_memory(gpu_info(), {1'000'000, 784}, options).total_bytes()),
              starting, 0.05 * starting);
  // With fewer neighbours the points weigh more, and the workspace of the search.
  options.perplexity = 3;
  const MemoryPlan few = tsne_memory(gpu_info(), {1'000'000, 784}, options);
  EXPECT_EQ(few.parts().front().name, "data");
  EXPECT_GT(few.total_bytes(), 1'000'000u * 784u * 4u);
  // The CPU centres a copy of the points and holds the results.
  EXPECT_GT(tsne_memory(cpu_info(), {1'000'000, 784}, options).total_bytes(),
            2u * 1'000'000u * 784u * 4u);
}

TEST(MemoryPlan, OfTheCpuGrowsWithItsThreads) {
  const DataShape x(20'000, 784);
  EXPECT_GT(one_nn_memory(cpu_info(64), x, std::nullopt).total_bytes(),
            one_nn_memory(cpu_info(1), x, std::nullopt).total_bytes());
}

TEST(MemoryPlan, SizesBeyondEveryMachineDoNotOverflow) {
  constexpr std::int64_t many = std::int64_t{1} << 40;
  constexpr std::uint64_t pebi = std::uint64_t{1} << 50;
  for (const DeviceInfo& device : {cpu_info(1024), gpu_info()}) {
    TsneOptions options;
    options.perplexity = 1e6;
    EXPECT_GE(tsne_memory(device, {many, many}, options).total_bytes(), pebi);
    EXPECT_GE(pca_fit_memory(device, {many, many}, many).total_bytes(), pebi);
    EXPECT_GE(silhouette_memory(device, {many, many}, many).total_bytes(), pebi);
    AutoencoderSpec spec;
    spec.inputs = 1'000'000;
    spec.hidden = {500'000};
    EXPECT_GE(training_memory(device, spec, {many, spec.inputs}, {.batch = many}).total_bytes(),
              pebi);
  }
}

TEST(MemoryPlan, OfWrongOptionsIsWrongUsage) {
  TsneOptions options;
  options.perplexity = 1e9;
  EXPECT_THROW((void)tsne_memory(gpu_info(), {1000, 3}, options), UsageError);
  options.perplexity = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW((void)tsne_memory(gpu_info(), {1000, 3}, options), UsageError);
  EXPECT_THROW((void)pca_fit_memory(gpu_info(), {1000, 3}, -1), UsageError);
  EXPECT_THROW((void)pca_fit_memory(gpu_info(), {1000, 3}, 1'000'000'000), UsageError);
  EXPECT_THROW((void)trustworthiness_memory(gpu_info(), {1000, 3}, {1000, 2}, 1'000'000),
               UsageError);
  EXPECT_THROW((void)neighbour_preservation_memory(gpu_info(), {1000, 3}, {1000, 2}, -1),
               UsageError);
  EXPECT_THROW((void)tsne_kl_memory(gpu_info(), {1000, 3}, 0), UsageError);
  AutoencoderSpec spec;
  spec.hidden = {};
  EXPECT_THROW((void)training_memory(gpu_info(), spec, {1000, 784}, {}), UsageError);
}

TEST(MemoryPlan, OfAFileGrowsWithItsColumnsAlone) {
  AutoencoderSpec spec;
  for (const DeviceInfo& device : {cpu_info(), gpu_info()}) {
    const auto of = [&](std::int64_t rows, bool in_file) {
      const DataShape data(rows, 784, false, in_file);
      return std::vector<std::uint64_t>{
          model_memory(device, spec, data, ModelOutput::code_blocks).total_bytes(),
          model_memory(device, spec, data, ModelOutput::reconstruction_blocks).total_bytes(),
          model_memory(device, spec, data, ModelOutput::loss).total_bytes(),
          scaler_fit_memory(device, data, Scaling::standard).total_bytes()};
    };
    EXPECT_EQ(of(100'000, true), of(1'000'000'000'000, true));
    for (const std::uint64_t bytes : of(100'000, true))
      EXPECT_LT(bytes, std::uint64_t{100} << 20);
    if (!device.host_memory) {
      EXPECT_EQ(of(100'000, true), of(100'000, false));
    }
  }
  // What is in the host's memory is not brought there again.
  const DataShape here(1'000'000, 784);
  const DataShape file(1'000'000, 784, false, true);
  const std::uint64_t bytes = bytes_of(here);
  EXPECT_LT(training_memory(cpu_info(), spec, here, {}).total_bytes(), bytes / 10);
  EXPECT_GT(training_memory(cpu_info(), spec, file, {}).total_bytes(), bytes);
  EXPECT_GT(training_memory(gpu_info(), spec, here, {}).total_bytes(), bytes);
}

/// Every kind of work, by the plan that it makes.
struct Work {
  MemoryPlan plan;
  std::function<void(Device&)> run;
};

std::vector<Work> every_work(const DeviceInfo& info) {
  // Static: what the closures work on outlives them.
  static const Matrix x = rows_of(300, 20, 1);
  static const Matrix other = rows_of(100, 20, 2);
  static const Matrix map = rows_of(300, 2, 3);
  static const Dataset data = Dataset::from_matrix("data", x);
  static const Dataset validation = Dataset::from_matrix("validation", other);
  static std::vector<std::int32_t> labels(300, 0);
  labels[1] = 1;
  static const Autoencoder model = [] {
    Device device = Device::open("cpu", 1);
    AutoencoderSpec spec;
    spec.inputs = 20;
    spec.hidden = {4};
    return Autoencoder::initialise(spec, Scaler::fit(device, data, Scaling::unit), 1);
  }();
  static const Matrix codes = rows_of(300, 4, 4);
  static const testing_support::TemporaryRows temporary(x);
  static const RowFile file = temporary.open();
  static const RowSink sink = [](std::int64_t, std::span<float>) {};
  static const Pca pca = [] {
    Device device = Device::open("cpu", 1);
    return Pca::fit(device, x, 4);
  }();
  static TsneOptions tsne_options;
  tsne_options.iterations = 10;
  static TrainingOptions training;
  training.epochs = 1;
  training.batch = 64;
  const DataShape shape(x);
  return {
      {training_memory(info, model.spec, data, training, DataShape(validation)),
       [](Device& device) {
         Autoencoder trained = model;
         fit(device, trained, data, training, validation);
       }},
      {model_memory(info, model.spec, data, ModelOutput::codes),
       [](Device& device) { (void)model.encode(device, data); }},
      {model_memory(info, model.spec, data, ModelOutput::reconstructions),
       [](Device& device) { (void)model.reconstruct(device, data); }},
      {model_memory(info, model.spec, shape, ModelOutput::reconstructions),
       [](Device& device) { (void)model.decode(device, codes); }},
      {model_memory(info, model.spec, data, ModelOutput::loss),
       [](Device& device) { (void)model.reconstruction_loss(device, data); }},
      {scaler_fit_memory(info, data, Scaling::standard),
       [](Device& device) { (void)Scaler::fit(device, data, Scaling::standard); }},
      {scaler_transform_memory(info, data),
       [](Device& device) { (void)model.scaler.transform(device, data); }},
      {model_memory(info, model.spec, RowSource(file), ModelOutput::codes),
       [](Device& device) { (void)model.encode(device, file); }},
      {model_memory(info, model.spec, RowSource(file), ModelOutput::code_blocks),
       [](Device& device) { model.encode(device, file, sink); }},
      {model_memory(info, model.spec, RowSource(file), ModelOutput::reconstruction_blocks),
       [](Device& device) { (void)model.reconstruct(device, file, sink); }},
      {scaler_fit_memory(info, RowSource(file), Scaling::standard),
       [](Device& device) { (void)Scaler::fit(device, file, Scaling::standard); }},
      {scaler_transform_memory(info, RowSource(file)),
       [](Device& device) { (void)model.scaler.transform(device, file); }},
      {pca_fit_memory(info, x, 4), [](Device& device) { (void)Pca::fit(device, x, 4); }},
      {pca_transform_memory(info, x, 4), [](Device& device) { (void)pca.transform(device, x); }},
      {pca_inverse_memory(info, x, 4),
       [](Device& device) { (void)pca.inverse_transform(device, codes); }},
      {tsne_memory(info, x, tsne_options),
       [](Device& device) { (void)tsne(device, x, tsne_options); }},
      {one_nn_memory(info, x, std::nullopt),
       [](Device& device) { (void)one_nn_leave_one_out_accuracy(device, x, labels); }},
      {one_nn_memory(info, x, shape),
       [](Device& device) { (void)one_nn_accuracy(device, x, labels, x, labels); }},
      {one_nn_split_memory(info, x),
       [](Device& device) { (void)one_nn_split_accuracy(device, x, labels); }},
      {trustworthiness_memory(info, x, map, 12),
       [](Device& device) { (void)trustworthiness(device, x, map, 12); }},
      {neighbour_preservation_memory(info, x, map, 12),
       [](Device& device) { (void)neighbour_preservation(device, x, map, 12); }},
      {map_figures_memory(info, x, map), [](Device& device) { (void)map_figures(device, x, map); }},
      {silhouette_memory(info, x, 2), [](Device& device) { (void)silhouette(device, x, labels); }},
      {tsne_kl_memory(info, x, 30),
       [](Device& device) { (void)tsne_kl_divergence(device, x, map, 30); }},
  };
}

TEST(TooLittleMemory, IsSaidBeforeAnythingIsAllocated) {
  for (const char* backend : {"cpu", "cuda"}) {
    const auto record = std::make_shared<Record>();
    record->backend_name = backend;
    record->free_bytes = 1;
    const std::string id = std::string(backend) == "cpu" ? "cpu" : "cuda:3";
    Device device = recording_device(record, 1, id);
    for (const Work& work : every_work(device.info())) {
      SCOPED_TRACE(work.plan.work() + " on " + id);
      ASSERT_GT(work.plan.total_bytes(), 1u);
      record->free_bytes = work.plan.total_bytes() - 1;
      record->allocations = 0;
      const std::string message = error_of([&] { work.run(device); });
      EXPECT_EQ(record->allocations, 0);
      EXPECT_EQ(message.find(work.plan.work() + " needs " + work.plan.needs() + " on " + id + ", "),
                0u)
          << message;
      EXPECT_NE(message.find(" are free: use "), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      EXPECT_EQ(message.ends_with(", or --device cpu"), id != "cpu") << message;
    }
  }
}

TEST(TooLittleMemory, IsNotSaidWhereItIsEnoughOrNotKnown) {
  const auto record = std::make_shared<Record>();
  Device device = recording_device(record);
  for (const Work& work : every_work(device.info())) {
    SCOPED_TRACE(work.plan.work());
    // Steps of a whole, such as a PCA within t-SNE, are parts of its plan: no later check fails.
    for (const std::uint64_t free : {work.plan.total_bytes(), std::uint64_t{0}}) {
      record->free_bytes = free;
      EXPECT_EQ(error_of([&] { work.run(device); }), "(no error)");
    }
  }
}

TEST(TooLittleMemory, TheLinearProbeNeedsTheHostsOnly) {
  const auto record = std::make_shared<Record>();
  record->free_bytes = 1;
  const Matrix x = rows_of(300, 20, 1);
  const std::vector<std::int32_t> labels(300, 1);
  Device cpu = recording_device(record);
  EXPECT_NE(error_of([&] {
              (void)linear_probe_accuracy(cpu, x, labels, x, labels);
            }).find("the linear probe of 300 x 20 rows needs "),
            std::string::npos);
  record->backend_name = "cuda";
  Device gpu = recording_device(record, 1, "cuda:0");
  EXPECT_EQ(linear_probe_accuracy(gpu, x, labels, x, labels), 1.0);
}

}  // namespace
}  // namespace hourglass
