// What PCA and t-SNE take. Each plan has the buffers of the code that it is made for, in the same
// order and the same scopes: pca.cpp, affinities.cpp, tsne.cpp.
#include "host/embed/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/embed/approximate_neighbours.hpp"
#include "host/embed/pca_internal.hpp"

namespace hourglass {
namespace {

constexpr const char* data = "data";
constexpr const char* covariance = "covariance";
constexpr const char* components = "components";
constexpr std::int64_t centred_rows = 4096;  // pca.cpp's blocks

void plan_pca_fit(MemoryTimeline& memory, const DataShape& x, std::int64_t count) {
  const std::int64_t n = x.rows;
  const std::int64_t d = x.columns;
  const auto rows = memory.hold(data, bytes_of<float>({n, d}));
  const auto statistics = memory.hold(components, bytes_of<double>({2, d}));
  memory.run(memory.operations().column_statistics(n, d));
  const auto mean = memory.hold_on_host(components, bytes_of<double>(d));
  if (d <= n) {
    const auto matrix = memory.hold(covariance, bytes_of<double>({d, d}));
    memory.run(memory.operations().covariance(n, d));
    const auto downloaded = memory.hold_on_host(covariance, bytes_of<double>({d, d}));
    // LAPACK's vectors and ours, and its workspace: some 35 numbers a row.
    const auto eigen = memory.hold_on_host(components, bytes_of<double>({2 * count + 40, d}));
  } else {
    const auto transposed = memory.hold_on_host(data, bytes_of<float>({n, d}));
    const auto centred = memory.hold(data, bytes_of<float>({n, d}));
    const auto matrix = memory.hold(covariance, bytes_of<double>({n, n}));
    memory.run(memory.operations().covariance(d, n));
    const auto downloaded = memory.hold_on_host(covariance, bytes_of<double>({n, n}));
    const auto eigen = memory.hold_on_host(components, bytes_of<double>({2 * count + 40, n}));
    const auto loadings = memory.hold(components, bytes_of<float>({count, d + n}));
    const auto results = memory.hold_on_host(
        components, bytes_of<double>({count, d}) + bytes_of<float>({count, d + n}));
  }
}

void plan_pca_transform(MemoryTimeline& memory, const DataShape& x, std::int64_t count) {
  const auto codes = memory.hold_on_host("codes", bytes_of<float>({x.rows, count}));
  const auto rows = memory.hold(data, bytes_of<float>({x.rows, x.columns}));
  const auto loadings = memory.hold(components, bytes_of<float>({count + 2, x.columns}));
  const auto offsets = memory.hold_on_host(components, bytes_of<float>({2, x.columns}));
  const auto centred =
      memory.hold("workspace", bytes_of<float>({std::min(centred_rows, x.rows), x.columns}));
  const auto out = memory.hold("codes", bytes_of<float>({x.rows, count}));
}

}  // namespace

MemoryPlan pca_fit_memory(const DeviceInfo& device, const DataShape& x, std::int64_t count) {
  check_components(x, count);
  MemoryTimeline memory(device);
  plan_pca_fit(memory, x, count);
  return memory.plan(fmt::format("PCA of {} rows", size_text(x)), "use fewer rows or columns");
}

MemoryPlan pca_transform_memory(const DeviceInfo& device, const DataShape& x, std::int64_t count) {
  MemoryTimeline memory(device);
  plan_pca_transform(memory, x, count);
  return memory.plan(fmt::format("{} components of {} rows", count, size_text(x)),
                     "use fewer rows at a time");
}

MemoryPlan pca_inverse_memory(const DeviceInfo& device, const DataShape& x, std::int64_t count) {
  MemoryTimeline memory(device);
  const auto result = memory.hold_on_host(data, bytes_of<float>({x.rows, x.columns}));
  const auto codes = memory.hold("codes", bytes_of<float>({x.rows, count}));
  const auto loadings = memory.hold(components, bytes_of<float>({count, x.columns}));
  const auto out = memory.hold(data, bytes_of<float>({x.rows, x.columns}));
  return memory.plan(fmt::format("{} rows from {} components", size_text(x), count),
                     "use fewer rows at a time");
}

namespace {

constexpr const char* neighbours = "neighbours";

/// approximate_neighbours(); what stays held is its result, on the host.
MemoryTimeline::Held plan_approximate(MemoryTimeline& memory, std::int64_t n, std::int64_t d,
                                      std::int64_t k) {
  const std::int64_t clusters = approximate_clusters(n);
  const std::int64_t sample = std::min(n, approximate_sample_rows);
  const auto order = memory.hold_on_host("clusters", bytes_of<std::int32_t>({3, n}));
  const auto rows = memory.hold(data, bytes_of<float>({n, d}));
  {
    const auto shuffle = memory.hold_on_host(
        "clusters", bytes_of<std::int64_t>({2, n}) + bytes_of<double>({2, clusters, d}));
    const auto nearest = memory.hold("clusters", bytes_of<std::int32_t>({2, n}));
    memory.run(memory.operations().nearest_neighbours(n, clusters, d, 1, false));
  }
  const auto pairs = memory.hold_on_host("clusters", bytes_of<std::int32_t>({clusters, clusters}));
  {
    const auto queries = memory.hold(neighbours, bytes_of<float>({sample, d + 2 * (k + 1)}));
    const auto needed = memory.hold_on_host(neighbours, bytes_of<std::int64_t>({2, sample, k + 1}));
    memory.run(memory.operations().nearest_neighbours(sample, n, d, k + 1, false));
  }
  auto found = memory.hold_on_host(neighbours, bytes_of<std::int32_t>({2, n, k}));
  // How many rows are looked at is found on the way: all at most, at once those of a cluster, which
  // is as large as four on average at the most where the data are not mostly copies.
  const auto references = memory.hold(data, bytes_of<float>({n, d}));
  const std::int64_t queries = std::min(4 * (n / clusters), n);
  const auto lists = memory.hold(neighbours, bytes_of<std::int32_t>({2, queries, k + 1}));
  const auto downloaded =
      memory.hold_on_host(neighbours, bytes_of<std::int32_t>({2, queries, k + 1}));
  memory.run(memory.operations().nearest_neighbours(queries, n, d, k + 1, false));
  return found;
}

/// affinities_from_neighbours(), which gives the distances back on the way.
MemoryTimeline::Held plan_symmetric(MemoryTimeline& memory, std::int64_t n, std::int64_t k,
                                    MemoryTimeline::Held distance) {
  constexpr const char* affinities = "affinities";
  const auto conditional = memory.hold(affinities, bytes_of<float>({n, k + 1}));
  distance.release();
  auto matrix =
      memory.hold(affinities, bytes_of<std::int64_t>(n + 1) + bytes_of<std::int32_t>({2, n, k}) +
                                  bytes_of<float>({2, n, k}));
  memory.run(memory.operations().symmetrise(n, k));
  return matrix;
}

}  // namespace

MemoryTimeline::Held plan_affinities(MemoryTimeline& memory, const DataShape& x, std::int64_t k,
                                     const NeighbourOptions& options) {
  const std::int64_t n = x.rows;
  const std::int64_t d = x.columns;
  const NeighbourMethod method = options.method == NeighbourMethod::automatic
                                     ? best_neighbour_search(memory.on_host(), n, k)
                                     : options.method;
  MemoryTimeline::Held unit;
  if (options.metric == Metric::cosine) unit = memory.hold_on_host(data, bytes_of<float>({n, d}));
  MemoryTimeline::Held points;
  MemoryTimeline::Held found;
  if (method == NeighbourMethod::approximate) {
    found = plan_approximate(memory, n, d, k);
  } else {
    points = memory.hold(data, bytes_of<float>({n, d}));
    unit.release();
  }
  const auto index = memory.hold(neighbours, bytes_of<std::int32_t>({n, k}));
  auto distance = memory.hold(neighbours, bytes_of<float>({n, k}));
  if (method == NeighbourMethod::exact)
    memory.run(memory.operations().nearest_neighbours(n, n, d, k, true));
  found.release();
  unit.release();
  points.release();
  return plan_symmetric(memory, n, k, std::move(distance));
}

MemoryTimeline::Held plan_given_affinities(MemoryTimeline& memory, std::int64_t points,
                                           std::int64_t k) {
  auto chosen = memory.hold_on_host(neighbours, bytes_of<std::int32_t>({2, points, k}));
  const auto index = memory.hold(neighbours, bytes_of<std::int32_t>({points, k}));
  auto distance = memory.hold(neighbours, bytes_of<float>({points, k}));
  chosen.release();
  return plan_symmetric(memory, points, k, std::move(distance));
}

namespace {

/// Of the largest of the methods that a run may take.
std::uint64_t repulsion_bytes(const DeviceInfo& device, const WorkspaceModel& operations,
                              const TsneOptions& options, std::int64_t n) {
  const std::int64_t d = options.dimensions;
  const auto bytes = [&](RepulsionMethod method, double span) {
    return operations.repulsion(method, n, d, span);
  };
  const auto otherwise = device.tree ? RepulsionMethod::tree : RepulsionMethod::exact;
  switch (options.method) {
    case TsneMethod::exact:
      return bytes(RepulsionMethod::exact, 0);
    case TsneMethod::tree:
      return bytes(otherwise, 0);
    case TsneMethod::fft:
      return std::max(bytes(RepulsionMethod::fft, fft_longest_span), bytes(otherwise, 0));
    case TsneMethod::automatic:
      break;
  }
  std::uint64_t most = bytes(otherwise, 0);
  if (d == 2)
    most = std::max(most, bytes(RepulsionMethod::fft, widest_fft_span(n, device.host_memory)));
  return most;
}

}  // namespace

MemoryPlan tsne_memory(const DeviceInfo& device, const DataShape& x, const TsneOptions& options) {
  constexpr const char* map = "map";
  double perplexity = options.perplexities.empty() ? options.perplexity : 0.0;
  for (const double one : options.perplexities)
    perplexity = std::max(perplexity, one);
  const bool loaded = !options.load_affinities.empty();  // of neighbours that are not known yet
  if (loaded) perplexity = std::min(perplexity, largest_perplexity(x.rows));
  check_perplexity("t-SNE", x.rows, perplexity);
  MemoryTimeline memory(device);
  const std::int64_t n = x.rows;
  const std::int64_t k = affinity_neighbours(n, perplexity);
  const auto affinities = options.given_neighbours || loaded
                              ? plan_given_affinities(memory, n, k)
                              : plan_affinities(memory, x, k, options.neighbours);

  const std::int64_t d = options.dimensions;
  const auto result = memory.hold_on_host(map, bytes_of<float>({d, n}));
  if (options.start == TsneStart::pca && !options.resume) {
    const std::int64_t count = std::min<std::int64_t>({d, n, x.columns});
    plan_pca_fit(memory, x, count);
    plan_pca_transform(memory, x, count);
  }
  // Two maps, step, gains, repulsion and what is kept of an interval's start.
  const auto state = memory.hold(map, bytes_of<float>({8 * d, n}));
  const auto downloaded = memory.hold_on_host(map, bytes_of<float>({2 * d, n}));
  {
    // The affinities in another order beside the old one.
    const auto permuted = memory.hold("affinities", bytes_of<std::int64_t>(n + 1) +
                                                        bytes_of<std::int32_t>({2, n, k}) +
                                                        bytes_of<float>({2, n, k}));
    memory.run(memory.operations().permute_affinities(n));
    const auto order = memory.hold(map, bytes_of<std::int32_t>(n));
    memory.run(memory.operations().locality_order(n));
  }
  const auto repulsion =
      memory.hold("repulsion", repulsion_bytes(device, memory.operations(), options, n));
  memory.run(memory.operations().tsne_step(n, d));
  {
    // The order in which equal rows are looked for.
    const auto order = memory.hold_on_host(map, bytes_of<std::int64_t>({2, n}));
  }
  memory.run(memory.operations().tsne_kl(n, d));
  return memory.plan(fmt::format("t-SNE of {} points with {} neighbours", size_text(x), k),
                     "use fewer points, a lower perplexity or PCA first");
}

MemoryPlan tsne_transform_memory(const DeviceInfo& device, const DataShape& reference,
                                 std::int64_t new_rows, std::int64_t dimensions,
                                 double perplexity) {
  constexpr const char* map = "map";
  MemoryTimeline memory(device);
  const std::int64_t n = reference.rows, m = new_rows, d = dimensions;
  const std::int64_t k =
      std::min(n, std::max<std::int64_t>(1, static_cast<std::int64_t>(3.0 * perplexity)));
  const auto result = memory.hold_on_host(map, bytes_of<float>({m, d}));
  const auto found =
      memory.hold(neighbours, bytes_of<std::int32_t>({m, k}) + bytes_of<float>({m, k}));
  {
    const auto points = memory.hold(
        data, bytes_of<float>({n, reference.columns}) + bytes_of<float>({m, reference.columns}));
    const auto distance = memory.hold(neighbours, bytes_of<float>({m, k + 1}));
    memory.run(memory.operations().nearest_neighbours(m, n, reference.columns, k, false));
  }
  const auto downloaded =
      memory.hold_on_host(neighbours, bytes_of<std::int32_t>({m, k}) + bytes_of<float>({m, k}));
  const auto offsets = memory.hold_on_host(neighbours, bytes_of<std::int64_t>(m + 1));
  const auto state = memory.hold(
      map, bytes_of<std::int64_t>(m + 1) + bytes_of<float>({n, d}) + bytes_of<float>({5 * d, m}));
  memory.run(memory.operations().tsne_field(m, n, d));
  memory.run(memory.operations().tsne_step(m, d));
  return memory.plan(fmt::format("{} new points in a map of {}", m, size_text(reference)),
                     "place fewer points at a time");
}

}  // namespace hourglass
