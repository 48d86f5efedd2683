// What include/hourglass/memory.hpp says that work takes on a GPU, against what the CUDA backend's
// allocations come to.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "host/workspace.hpp"
#include "hourglass/autoencoder.hpp"
#include "hourglass/error.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scores.hpp"
#include "hourglass/training.hpp"
#include "hourglass/tsne.hpp"
#include "kernels/cuda/backend.hpp"
#include "tests/memory/row_file.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/sim/machine.hpp"

namespace hourglass {
namespace {

using Work = std::function<void(Device&)>;

Device sim_device() {
  return Device::over(std::make_unique<cuda::CudaBackend>(0), "cuda:0");
}

DeviceInfo gpu() {
  DeviceInfo info;
  info.id = "cuda:0";
  info.backend = "cuda";
  return info;
}

Matrix random_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  parity::Random random(seed);
  Matrix matrix(rows, columns);
  matrix.values = random.uniforms(rows * columns);
  return matrix;
}

/// The plan is enough, and no more than a quarter and the rounding of small parts too much.
void expect_honest(const MemoryPlan& plan, const Work& work) {
  sim::Machine& machine = sim::machine();
  Device device = sim_device();
  const std::size_t before = machine.allocated_bytes;
  machine.peak_bytes = before;
  work(device);
  const std::size_t peak = machine.peak_bytes - before;
  EXPECT_LE(peak, plan.total_bytes()) << plan.needs();
  EXPECT_LE(plan.total_bytes(), peak + peak / 4 + (512 << 10)) << plan.needs();
}

/// With less than the plan free, it is refused with figures before anything is allocated.
void expect_refused(const MemoryPlan& plan, const Work& work) {
  sim::Machine& machine = sim::machine();
  const std::size_t memory = machine.memory_bytes;
  Device device = sim_device();
  machine.memory_bytes = machine.allocated_bytes + plan.total_bytes() - 1;
  machine.peak_bytes = machine.allocated_bytes;
  const std::size_t before = machine.peak_bytes;
  try {
    work(device);
    ADD_FAILURE() << "not refused: " << plan.needs();
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("on cuda:0"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("are free"), std::string::npos) << error.what();
  }
  EXPECT_EQ(machine.peak_bytes, before) << "something was allocated first";
  machine.memory_bytes = memory;
}

void expect_planned(const MemoryPlan& plan, const Work& work) {
  expect_honest(plan, work);
  expect_refused(plan, work);
}

TEST(MemoryPlans, OfTrainingAndItsModel) {
  const Dataset data = Dataset::from_matrix("data", random_matrix(600, 50, 4));
  AutoencoderSpec spec;
  spec.inputs = 50;
  spec.hidden = {40, 8};
  spec.activation = Activation::gelu;  // keeps what goes into it, too
  Device cpu = Device::open("cpu", 1);
  const Autoencoder model = Autoencoder::initialise(spec, Scaler::fit(cpu, data, Scaling::unit), 1);
  TrainingOptions options;
  options.epochs = 1;
  options.batch = 100;
  const auto train = [&](Device& device) {
    Autoencoder trained = model;
    fit(device, trained, data, options, data);
  };
  const MemoryPlan resident = training_memory(gpu(), spec, data, options, DataShape(data));
  expect_honest(resident, train);
  // With less the rows come batch by batch; with less than that takes it is refused.
  DeviceInfo full = gpu();
  full.free_bytes = 1;
  const MemoryPlan streamed = training_memory(full, spec, data, options, DataShape(data));
  EXPECT_LT(streamed.total_bytes(), resident.total_bytes());
  expect_refused(streamed, train);
  options.memory_bytes = resident.total_bytes() - 1;
  expect_honest(streamed, train);
  expect_planned(model_memory(gpu(), spec, data, ModelOutput::codes),
                 [&](Device& device) { (void)model.encode(device, data); });
  expect_planned(model_memory(gpu(), spec, data, ModelOutput::reconstructions),
                 [&](Device& device) { (void)model.reconstruct(device, data); });

  const testing_support::TemporaryRows temporary(random_matrix(9000, 50, 4));
  const RowFile file = temporary.open();
  expect_planned(
      model_memory(gpu(), spec, RowSource(file), ModelOutput::code_blocks),
      [&](Device& device) { model.encode(device, file, [](std::int64_t, std::span<float>) {}); });
  expect_planned(scaler_fit_memory(gpu(), RowSource(file), Scaling::standard),
                 [&](Device& device) { (void)Scaler::fit(device, file, Scaling::standard); });
}

TEST(MemoryPlans, OfPca) {
  for (const auto& [rows, columns] : {std::pair{700, 30}, std::pair{60, 200}}) {
    const Matrix x = random_matrix(rows, columns, 1);
    expect_planned(pca_fit_memory(gpu(), x, 3),
                   [&](Device& device) { (void)Pca::fit(device, x, 3); });
  }
}

TEST(MemoryPlans, OfTsne) {
  const Matrix x = random_matrix(400, 30, 1);
  for (const TsneStart start : {TsneStart::pca, TsneStart::random}) {
    TsneOptions options;
    options.start = start;
    options.perplexity = 20;
    options.iterations = 2;
    options.exaggeration_iterations = 1;
    expect_planned(tsne_memory(gpu(), x, options),
                   [&](Device& device) { (void)tsne(device, x, options); });
  }
}

TEST(MemoryPlans, OfEveryWayOfRepulsion) {
  constexpr std::int64_t n = 1300;
  const WorkspaceModel plan(false, 1);
  for (const std::int64_t dimensions : {2, 3}) {
    for (const double span : {1.0, 40.0, 120.0}) {
      for (const RepulsionMethod method : {RepulsionMethod::exact, RepulsionMethod::fft}) {
        if (method == RepulsionMethod::fft && dimensions == 3) continue;
        cuda::CudaBackend backend(0);
        const std::size_t before = sim::machine().allocated_bytes;
        const auto repulsion = backend.make_repulsion(method, n, dimensions);
        MapBounds bounds;
        bounds.high[0] = static_cast<float>(span);
        repulsion->prepare(bounds);
        const std::size_t taken = sim::machine().allocated_bytes - before;
        const std::uint64_t planned = plan.repulsion(method, n, dimensions, span);
        EXPECT_LE(taken, planned) << dimensions << "-D, span " << span;
        if (method == RepulsionMethod::fft) {  // every pair takes fewer slices on the model
          EXPECT_LE(planned, taken + taken / 4 + (64 << 10)) << "span " << span;
        }
      }
    }
  }
}

TEST(MemoryPlans, OfScores) {
  const Matrix x = random_matrix(400, 30, 1);
  const Matrix map = random_matrix(400, 2, 3);
  std::vector<int> labels;
  for (int i = 0; i < 400; ++i)
    labels.push_back(i % 5);
  expect_planned(one_nn_memory(gpu(), x, std::nullopt),
                 [&](Device& device) { (void)one_nn_leave_one_out_accuracy(device, x, labels); });
  expect_planned(trustworthiness_memory(gpu(), x, map, 40),
                 [&](Device& device) { (void)trustworthiness(device, x, map, 40); });
  expect_planned(silhouette_memory(gpu(), x, 5),
                 [&](Device& device) { (void)silhouette(device, x, labels); });
  expect_planned(tsne_kl_memory(gpu(), x, 30),
                 [&](Device& device) { (void)tsne_kl_divergence(device, x, map, 30); });
}

}  // namespace
}  // namespace hourglass
