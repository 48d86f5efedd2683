// What the scores take. Each plan has the buffers of the code that it is made for.
#include <fmt/format.h>

#include "host/embed/affinities.hpp"
#include "host/embed/memory.hpp"
#include "host/score/common.hpp"

namespace hourglass {
namespace {

constexpr const char* data = "data";
constexpr const char* neighbours = "neighbours";
constexpr const char* advice = "use fewer rows";

std::string score_of(const char* name, const DataShape& x) {
  return fmt::format("{} of {} rows", name, size_text(x));
}

void plan_nearest(MemoryTimeline& memory, const DataShape& train,
                  const std::optional<DataShape>& test) {
  const std::int64_t rows = test ? test->rows : train.rows;
  const auto references = memory.hold(data, bytes_of(train));
  const auto found = memory.hold(neighbours, bytes_of<std::int32_t>({2, rows}));
  MemoryTimeline::Held queries;
  if (test) queries = memory.hold(data, bytes_of(*test));
  memory.run(memory.operations().nearest_neighbours(rows, train.rows, train.columns, 1, !test));
  const auto downloaded = memory.hold_on_host(neighbours, bytes_of<std::int32_t>(rows));
}

/// neighbours_of() of neighbourhood.cpp: the index stays held.
MemoryTimeline::Held plan_neighbours_of(MemoryTimeline& memory, const DataShape& x,
                                        std::int64_t k) {
  auto index = memory.hold(neighbours, bytes_of<std::int32_t>({x.rows, k}));
  const auto distance = memory.hold(neighbours, bytes_of<float>({x.rows, k}));
  memory.run(memory.operations().nearest_neighbours(x.rows, x.rows, x.columns, k, true));
  return index;
}

}  // namespace

MemoryPlan one_nn_memory(const DeviceInfo& device, const DataShape& train,
                         const std::optional<DataShape>& test) {
  MemoryTimeline memory(device);
  plan_nearest(memory, train, test);
  return memory.plan(score_of("1-NN accuracy", test ? *test : train), advice);
}

MemoryPlan one_nn_split_memory(const DeviceInfo& device, const DataShape& x) {
  MemoryTimeline memory(device);
  const auto halves = memory.hold_on_host(data, bytes_of(x));
  plan_nearest(memory, DataShape(x.rows / 2, x.columns), DataShape(x.rows - x.rows / 2, x.columns));
  return memory.plan(score_of("1-NN accuracy", x), advice);
}

MemoryPlan linear_probe_memory(const DeviceInfo& device, const DataShape& train,
                               const DataShape& test, std::int64_t classes) {
  MemoryTimeline memory(device);
  const std::int64_t width = train.columns + 1;
  const auto labels = memory.hold_on_host("labels", bytes_of<std::int32_t>({2, train.rows}));
  const auto features = memory.hold_on_host("features", bytes_of<double>({train.rows, width}));
  const auto weights = memory.hold_on_host("weights", bytes_of<double>({width, classes}));
  {
    // L-BFGS: 20 steps and changes of the gradient, and its own vectors.
    const auto history =
        memory.hold_on_host("weights", bytes_of<double>({2 * 20 + 6, width, classes}));
  }
  const auto residual = memory.hold_on_host("logits", bytes_of<double>({256, classes}));
  const auto scored = memory.hold_on_host("features", bytes_of<double>({test.rows, width}));
  const auto logits = memory.hold_on_host("logits", bytes_of<double>({test.rows, classes}));
  return memory.plan(score_of("the linear probe", train), advice);
}

MemoryPlan trustworthiness_memory(const DeviceInfo& device, const DataShape& x,
                                  const DataShape& map, int k) {
  check_trustworthiness(x.rows, k);
  MemoryTimeline memory(device);
  const auto map_rows = memory.hold("map", bytes_of(map));
  const auto rows = memory.hold(data, bytes_of<float>({x.rows, x.columns}));
  const auto index = plan_neighbours_of(memory, map, k);
  const auto ranks = memory.hold("ranks", bytes_of<std::int32_t>({x.rows, k}));
  memory.run(memory.operations().neighbour_ranks(x.rows, x.columns, k));
  const auto downloaded = memory.hold_on_host("ranks", bytes_of<std::int32_t>({x.rows, k}));
  return memory.plan(score_of("trustworthiness", x), "use fewer rows or neighbours");
}

MemoryPlan neighbour_preservation_memory(const DeviceInfo& device, const DataShape& x,
                                         const DataShape& map, int k) {
  check_preservation(x.rows, k);
  MemoryTimeline memory(device);
  const auto rows = memory.hold(data, bytes_of<float>({x.rows, x.columns}));
  const auto map_rows = memory.hold("map", bytes_of(map));
  MemoryTimeline::Held near[2];
  for (int i = 0; i < 2; ++i) {
    const auto index = plan_neighbours_of(memory, i == 0 ? x : map, k);
    near[i] = memory.hold_on_host(neighbours, bytes_of<std::int32_t>({x.rows, k}));
  }
  return memory.plan(score_of("neighbour preservation", x), "use fewer rows or neighbours");
}

MemoryPlan map_figures_memory(const DeviceInfo& device, const DataShape& x, const DataShape& map,
                              std::int64_t sample) {
  const std::int64_t n = x.rows;
  const std::int64_t queries = std::min(figure_queries, figure_sample(n, sample));
  const std::int64_t references = std::min(figure_references, n);
  const std::int64_t k = std::min<std::int64_t>(figure_neighbours + 1, n);
  MemoryTimeline memory(device);
  const auto rows = memory.hold(data, bytes_of<float>({n, x.columns}));
  const auto map_rows = memory.hold("map", bytes_of<float>({n, map.columns}));
  const auto squares = memory.hold_on_host(data, bytes_of<double>(n));
  auto chosen = memory.hold_on_host(data, bytes_of<float>({queries, x.columns}));
  const auto uploaded = memory.hold(data, bytes_of<float>({queries, x.columns}));
  chosen.release();
  for (const DataShape* space : {&x, &map}) {
    const auto lists = memory.hold(neighbours, bytes_of<float>({2, queries, k}));
    memory.run(memory.operations().nearest_neighbours(queries, n, space->columns, k, false));
    const auto downloaded =
        memory.hold_on_host(neighbours, bytes_of<std::int32_t>({2, queries, k}));
  }
  const auto found = memory.hold_on_host(neighbours, bytes_of<std::int32_t>({2, queries, k}));
  // 12 keys and counts, and what they belong to.
  const auto ranked = memory.hold_on_host("ranks", bytes_of<double>({queries, 3 * 12 + 4}));
  const auto products = memory.hold("products", bytes_of<float>({queries, references}));
  const auto downloaded = memory.hold_on_host("products", bytes_of<float>({queries, references}));
  return memory.plan(score_of("map figures", x), "use fewer rows");
}

MemoryPlan silhouette_memory(const DeviceInfo& device, const DataShape& x, std::int64_t classes) {
  MemoryTimeline memory(device);
  const auto rows = memory.hold(data, bytes_of<float>({x.rows, x.columns}));
  const auto labels = memory.hold("labels", bytes_of<std::int32_t>(x.rows));
  const auto sums = memory.hold("sums of distances", bytes_of<double>({x.rows, classes}));
  memory.run(memory.operations().class_distance_sums(x.rows, x.columns, classes));
  const auto downloaded =
      memory.hold_on_host("sums of distances", bytes_of<double>({x.rows, classes}));
  return memory.plan(fmt::format("{} in {} classes", score_of("the silhouette", x), classes),
                     "use fewer rows or classes");
}

MemoryPlan tsne_kl_memory(const DeviceInfo& device, const DataShape& x, double perplexity) {
  check_perplexity("KL divergence", x.rows, perplexity);
  MemoryTimeline memory(device);
  const std::int64_t k = affinity_neighbours(x.rows, perplexity);
  const auto affinities = plan_affinities(memory, x, k);
  const auto map = memory.hold("map", bytes_of<float>({2, x.rows}));
  memory.run(memory.operations().tsne_kl(x.rows, 3));
  return memory.plan(
      fmt::format("the KL divergence of {} points with {} neighbours", size_text(x), k),
      "use fewer points or a lower perplexity");
}

}  // namespace hourglass
