// nearest_neighbours: exact k nearest references of every query, by squared Euclidean distance.
//
// Up to 16 columns: distances by differences, tile by tile (distance_tile-inl.hpp). More: |q|^2 +
// |r|^2 - 2 q.r with the products by OpenBLAS (2 D FLOPs a pair at the speed of a large product),
// on centred data so that the squares are small; k + 16 candidates are kept, their distances
// computed anew by differences, and the best k of those taken.
//
// Selection: a query keeps a buffer of candidates and a threshold. A tile's distances are compared
// with the threshold a vector at a time and survivors are appended by compressed stores; a full
// buffer is cut to the best by nth_element, which lowers the threshold. After the first few tiles
// nearly every vector is one load, one compare and one branch.
#include <cblas.h>
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/nearest_neighbours.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/distance_tile-inl.hpp"

#ifndef HOURGLASS_CANDIDATES
#define HOURGLASS_CANDIDATES
namespace hourglass::cpu {

inline constexpr std::int64_t query_block = 128;
inline constexpr std::int64_t tile_padding =
    64;  ///< elements by which arrays that vectors run over are padded
inline constexpr std::int64_t widest_direct = 16;
inline constexpr std::int64_t refinement_margin = 16;

struct Candidate {
  float distance;
  std::int32_t index;
  bool operator<(const Candidate& other) const {
    return distance != other.distance ? distance < other.distance : index < other.index;
  }
};

/// The best `keep` candidates of one query so far, unordered, and room for a tile more.
struct Selection {
  float* distance;
  std::int32_t* index;
  std::int64_t size;
  float threshold;  ///< candidates must be nearer than this
};

struct NeighbourTask {
  const float* queries;
  const float* references;
  std::int64_t query_rows;
  std::int64_t reference_rows;
  std::int64_t columns;
  bool same;
  std::int64_t k;
  std::int64_t keep;  ///< k, or k + refinement_margin
  std::int32_t* index;
  float* squared_distance;
  // For the products; null where distances are taken by differences from the start.
  const float* mean;             ///< D
  const float* centred;          ///< references less the mean
  const float* reference_norms;  ///< squared, of the centred references, padded
  float largest_norm;            ///< of them
};

}  // namespace hourglass::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hourglass::cpu::HWY_NAMESPACE {

/// Sum over d of (a[d] - b[d])^2.
float squared_distance(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                       std::int64_t columns) {
  const hn::ScalableTag<float> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  auto sum = hn::Zero(f);
  std::int64_t d = 0;
  for (; d + lanes <= columns; d += lanes) {
    const auto difference = hn::Sub(hn::LoadU(f, a + d), hn::LoadU(f, b + d));
    sum = hn::MulAdd(difference, difference, sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(f, sum));
  for (; d < columns; ++d)
    total += (a[d] - b[d]) * (a[d] - b[d]);
  return total;
}

/// Cuts a selection to its best `keep`. `candidates` is workspace.
void cut(Selection& s, std::int64_t keep, std::vector<Candidate>& candidates) {
  if (s.size <= keep) return;
  candidates.resize(static_cast<std::size_t>(s.size));
  for (std::int64_t i = 0; i < s.size; ++i) {
    candidates[static_cast<std::size_t>(i)] = {s.distance[i], s.index[i]};
  }
  const auto nth = candidates.begin() + (keep - 1);
  std::nth_element(candidates.begin(), nth, candidates.end());
  for (std::int64_t i = 0; i < keep; ++i) {
    s.distance[i] = candidates[static_cast<std::size_t>(i)].distance;
    s.index[i] = candidates[static_cast<std::size_t>(i)].index;
  }
  s.size = keep;
  s.threshold = nth->distance;  // references come by rising index: an equal one later loses the tie
}

/// Offers the distances of references first .. first + count - 1 to a query.
void offer(Selection& s, const float* HWY_RESTRICT distances, std::int64_t first,
           std::int64_t count, std::int64_t skip) {
  const hn::ScalableTag<float> f;
  const hn::RebindToSigned<decltype(f)> i32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes) {
    const auto distance = hn::LoadU(f, distances + j);
    const auto near = hn::Lt(distance, hn::Set(f, s.threshold));
    if (hn::AllFalse(f, near)) continue;
    const auto index = hn::Iota(i32, static_cast<std::int32_t>(first + j));
    hn::CompressStore(distance, near, f, s.distance + s.size);
    s.size += static_cast<std::int64_t>(
        hn::CompressStore(index, hn::RebindMask(i32, near), i32, s.index + s.size));
  }
  for (; j < count; ++j) {
    if (distances[j] < s.threshold) {
      s.distance[s.size] = distances[j];
      s.index[s.size++] = static_cast<std::int32_t>(first + j);
    }
  }
  if (skip >= first && skip < first + count) {  // the point itself, where it was taken
    for (std::int64_t i = s.size; i-- > 0;) {
      if (s.index[i] == skip) {
        s.distance[i] = s.distance[s.size - 1];
        s.index[i] = s.index[s.size - 1];
        --s.size;
        break;
      }
    }
  }
}

/// Turns the products of a tile into distances: d = max(0, |q|^2 + |r|^2 - 2 q.r), in place.
void distances_from_products(float* HWY_RESTRICT products, std::int64_t count, float query_norm,
                             const float* HWY_RESTRICT norms) {
  const hn::ScalableTag<float> f;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto q = hn::Set(f, query_norm);
  for (std::int64_t j = 0; j < count; j += lanes) {  // rows are padded to whole vectors
    const auto r = hn::LoadU(f, norms + j);
    const auto d = hn::NegMulAdd(hn::Set(f, 2.0f), hn::Load(f, products + j), hn::Add(q, r));
    hn::Store(hn::Max(hn::Zero(f), d), f, products + j);
  }
}

/// The workspace of one block of queries.
struct BlockRoom {
  std::vector<float> distances;
  std::vector<std::int32_t> indices;
  std::vector<Selection> selections;
  std::vector<Candidate> candidates;
  hwy::AlignedFreeUniquePtr<float[]> tile;
  hwy::AlignedFreeUniquePtr<float[]> packed;
};

/// Offers every reference to `count` queries whose rows lie one after another at `queries` (centred
/// where products are used) and whose numbers are ids[]. `norms` is null for distances by
/// differences.
void scan(const NeighbourTask& t, const float* queries, const std::int64_t* ids, std::int64_t count,
          const float* norms, std::int64_t keep, BlockRoom& room) {
  const std::int64_t d = t.columns;
  // Twice what is kept and a tile more, so that a selection is cut once in several tiles.
  const std::int64_t size = 2 * keep + 2 * tile_columns + tile_padding;
  room.distances.resize(static_cast<std::size_t>(count * size));
  room.indices.resize(static_cast<std::size_t>(count * size));
  room.selections.resize(static_cast<std::size_t>(count));
  for (std::int64_t q = 0; q < count; ++q) {
    room.selections[static_cast<std::size_t>(q)] = {room.distances.data() + q * size,
                                                    room.indices.data() + q * size, 0,
                                                    std::numeric_limits<float>::infinity()};
  }
  for (std::int64_t r0 = 0; r0 < t.reference_rows; r0 += tile_columns) {
    const std::int64_t references = std::min(tile_columns, t.reference_rows - r0);
    if (norms == nullptr) {
      pack_references(t.references, d, r0, references, room.packed.get());
      distance_tile(queries, count, d, room.packed.get(), references, room.tile.get());
    } else {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(count),
                  static_cast<int>(references), static_cast<int>(d), 1.0f, queries,
                  static_cast<int>(d), t.centred + r0 * d, static_cast<int>(d), 0.0f,
                  room.tile.get(), static_cast<int>(tile_columns));
    }
    for (std::int64_t q = 0; q < count; ++q) {
      float* row = room.tile.get() + q * tile_columns;
      if (norms != nullptr) {
        distances_from_products(row, references, norms[q], t.reference_norms + r0);
      }
      Selection& s = room.selections[static_cast<std::size_t>(q)];
      offer(s, row, r0, references, t.same ? ids[q] : -1);
      if (s.size > keep + tile_columns || (s.size > keep && r0 < 4 * tile_columns)) {
        cut(s, keep, room.candidates);
      }
    }
  }
  for (Selection& s : room.selections)
    cut(s, keep, room.candidates);
}

/// Writes the best k of room.candidates, sorted, as the neighbours of query `id`. There are fewer
/// only where distances are NaN, which compare with nothing.
void write_neighbours(const NeighbourTask& t, std::int64_t id, BlockRoom& room) {
  std::sort(room.candidates.begin(), room.candidates.end());
  const auto found = static_cast<std::int64_t>(room.candidates.size());
  for (std::int64_t a = 0; a < t.k; ++a) {
    const Candidate best = a < found ? room.candidates[static_cast<std::size_t>(a)]
                                     : Candidate{std::numeric_limits<float>::quiet_NaN(), 0};
    t.index[id * t.k + a] = best.index;
    t.squared_distance[id * t.k + a] = best.distance;
  }
}

/// Queries ids[0 .. count) by differences.
void neighbours_by_differences(const NeighbourTask& t, const std::int64_t* ids, std::int64_t count,
                               BlockRoom& room) {
  const std::int64_t d = t.columns;
  std::vector<float> queries(static_cast<std::size_t>(count * d));
  for (std::int64_t q = 0; q < count; ++q) {
    std::copy_n(t.queries + ids[q] * d, d, queries.data() + q * d);
  }
  if (!room.packed) {
    room.packed = hwy::AllocateAligned<float>(
        static_cast<std::size_t>(tile_columns * std::max<std::int64_t>(d, 1)));
  }
  scan(t, queries.data(), ids, count, nullptr, t.k, room);
  for (std::int64_t q = 0; q < count; ++q) {
    const Selection& s = room.selections[static_cast<std::size_t>(q)];
    room.candidates.clear();
    for (std::int64_t i = 0; i < s.size; ++i) {
      room.candidates.push_back({s.distance[i], s.index[i]});
    }
    write_neighbours(t, ids[q], room);
  }
}

/// Finds the neighbours of queries [first, first + count), count <= query_block.
void neighbours_of_block(const NeighbourTask& t, std::int64_t first, std::int64_t count) {
  const std::int64_t d = t.columns;
  BlockRoom room;
  room.tile = hwy::AllocateAligned<float>(static_cast<std::size_t>(query_block * tile_columns));
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  if (t.centred == nullptr) {
    neighbours_by_differences(t, ids.data(), count, room);
    return;
  }

  std::vector<float> centred(static_cast<std::size_t>(count * d));
  std::vector<float> norms(static_cast<std::size_t>(count));
  for (std::int64_t q = 0; q < count; ++q) {
    double norm = 0;
    for (std::int64_t c = 0; c < d; ++c) {
      const float v = t.queries[(first + q) * d + c] - t.mean[c];
      centred[static_cast<std::size_t>(q * d + c)] = v;
      norm += static_cast<double>(v) * static_cast<double>(v);
    }
    norms[static_cast<std::size_t>(q)] = static_cast<float>(norm);
  }
  scan(t, centred.data(), ids.data(), count, norms.data(), t.keep, room);

  std::vector<std::int64_t> doubtful;
  for (std::int64_t q = 0; q < count; ++q) {
    const Selection& s = room.selections[static_cast<std::size_t>(q)];
    room.candidates.clear();
    float farthest_kept = 0;
    for (std::int64_t i = 0; i < s.size; ++i) {
      farthest_kept = std::max(farthest_kept, s.distance[i]);
      const float* query = t.queries + (first + q) * d;
      room.candidates.push_back(
          {squared_distance(query, t.references + s.index[i] * std::int64_t{d}, d), s.index[i]});
    }
    write_neighbours(t, first + q, room);
    const bool dropped = s.size < t.reference_rows - (t.same ? 1 : 0);
    if (!dropped || s.size < t.k) continue;
    // A product of D terms is off by about sqrt(D) roundings of |q| |r|; twice that, on both sides,
    // and the sums of squares.
    const float error = std::numeric_limits<float>::epsilon() *
                        (8.0f + 4.0f * std::sqrt(static_cast<float>(d))) *
                        (norms[static_cast<std::size_t>(q)] + t.largest_norm);
    const float kth = t.squared_distance[(first + q) * t.k + t.k - 1];
    if (!(kth + error < farthest_kept)) doubtful.push_back(first + q);
  }
  if (!doubtful.empty()) {
    neighbours_by_differences(t, doubtful.data(), static_cast<std::int64_t>(doubtful.size()), room);
  }
}

}  // namespace hourglass::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hourglass::cpu {

HWY_EXPORT(neighbours_of_block);

void CpuBackend::nearest_neighbours(ConstMat queries, ConstMat references, bool same,
                                    MatrixView<std::int32_t> index, Mat squared_distance) {
  const char* name = "nearest_neighbours";
  require(queries.columns == references.columns, name, "queries and references of equal width");
  require(index.rows == queries.rows && squared_distance.rows == queries.rows &&
              index.columns == squared_distance.columns,
          name, "index and squared_distance with a row a query");
  require(!same || queries.rows == references.rows, name, "one matrix where `same` is set");
  require(index.columns <= references.rows - (same ? 1 : 0), name, "k no larger than the rows");
  const std::int64_t k = index.columns;
  if (queries.rows == 0 || k == 0) return;

  NeighbourTask task{};
  task.queries = queries.data;
  task.references = references.data;
  task.query_rows = queries.rows;
  task.reference_rows = references.rows;
  task.columns = queries.columns;
  task.same = same;
  task.k = k;
  task.keep = k;
  task.index = index.data;
  task.squared_distance = squared_distance.data;

  std::vector<float> mean, norms, centred;
  if (queries.columns > widest_direct) {
    const std::int64_t d = queries.columns, n = references.rows;
    task.keep = std::min(k + refinement_margin, n - (same ? 1 : 0));
    mean.resize(static_cast<std::size_t>(d));
    std::vector<double> sums(static_cast<std::size_t>(d), 0.0);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t c = 0; c < d; ++c) {
        sums[static_cast<std::size_t>(c)] += static_cast<double>(references.data[i * d + c]);
      }
    }
    for (std::size_t c = 0; c < mean.size(); ++c) {
      mean[c] = static_cast<float>(sums[c] / static_cast<double>(n));
    }
    centred.resize(static_cast<std::size_t>(n * d));
    norms.resize(
        static_cast<std::size_t>((n + tile_padding) / tile_padding * tile_padding + tile_padding));
    pool_.for_ranges(n, 64, 1024, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        double norm = 0;
        for (std::int64_t c = 0; c < d; ++c) {
          const float v = references.data[i * d + c] - mean[static_cast<std::size_t>(c)];
          centred[static_cast<std::size_t>(i * d + c)] = v;
          norm += static_cast<double>(v) * static_cast<double>(v);
        }
        norms[static_cast<std::size_t>(i)] = static_cast<float>(norm);
      }
    });
    task.centred = centred.data();
    task.mean = mean.data();
    task.reference_norms = norms.data();
    task.largest_norm = *std::max_element(norms.begin(), norms.begin() + n);
  }

  pool_.for_chunks(task.query_rows, query_block, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(neighbours_of_block)(task, begin, end - begin);
  });
}

}  // namespace hourglass::cpu
#endif
