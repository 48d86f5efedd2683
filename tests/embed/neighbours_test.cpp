// Neighbours for t-SNE: approximate ones against exact ones, metrics, given ones, affinities in
// files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "host/data/safetensors.hpp"
#include "host/embed/affinities.hpp"
#include "host/embed/affinity_file.hpp"
#include "host/embed/approximate_neighbours.hpp"
#include "hourglass/error.hpp"
#include "kernels/cpu/backend.hpp"
#include "tests/oracle/neighbours.hpp"
#include "tests/oracle/parity.hpp"

// Behind the headers that say testing:: and mean GoogleTest's.
#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::expect_error;
using testing::Scratch;

Matrix random_rows(std::int64_t rows, std::int64_t columns, std::uint64_t seed,
                   std::int64_t clusters = 1) {
  parity::Random random(seed);
  const std::vector<float> centres = random.normals(clusters * columns, clusters > 1 ? 3.0 : 0.0);
  Matrix x(rows, columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t d = 0; d < columns; ++d) {
      x(i, d) = centres[static_cast<std::size_t>(i % clusters * columns + d)] +
                static_cast<float>(random.normal());
    }
  }
  return x;
}

class NeighbourTest : public ::testing::Test {
 protected:
  static ApproximateNeighbours approximate(const Matrix& x, std::int64_t k, int threads = 2,
                                           std::uint64_t seed = 0) {
    cpu::CpuBackend backend(threads);
    return approximate_neighbours(backend, x, k, {.seed = seed});
  }

  /// Lists of other rows, each once, ascending by (distance, index), with true distances.
  static void expect_lists(const Matrix& x, std::int64_t k, const ApproximateNeighbours& found) {
    ASSERT_EQ(static_cast<std::int64_t>(found.index.size()), x.rows * k);
    const oracle::Matrix64 wide(x.rows, x.columns, x.values);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      std::set<std::int32_t> seen;
      for (std::int64_t a = 0; a < k; ++a) {
        const auto at = static_cast<std::size_t>(i * k + a);
        const std::int32_t j = found.index[at];
        ASSERT_TRUE(j >= 0 && j < x.rows && j != i) << "row " << i << ": " << j;
        ASSERT_TRUE(seen.insert(j).second) << "row " << i << " twice: " << j;
        const double want = oracle::squared_distance(wide, i, wide, j);
        ASSERT_NEAR(found.squared_distance[at], want, 1e-5 * want);
        if (a > 0) {
          ASSERT_LE(std::pair(found.squared_distance[at - 1], found.index[at - 1]),
                    std::pair(found.squared_distance[at], j));
        }
      }
    }
  }

  cpu::CpuBackend backend_{2};
};

TEST_F(NeighbourTest, ApproximateOnesHaveTheRecallThatIsSaid) {
  const std::int64_t k = 15;
  for (const std::int64_t clusters : {1, 30}) {
    const Matrix x = random_rows(6000, 20, 1, clusters);
    const oracle::Neighbours exact = [&] {
      const std::int64_t rows = 300;  // of all, the sample is another
      oracle::Matrix64 queries(rows, x.columns);
      for (std::int64_t i = 0; i < rows * x.columns; ++i)
        queries.values[static_cast<std::size_t>(i)] = x.values[static_cast<std::size_t>(i)];
      return oracle::nearest_neighbours(queries, {x.rows, x.columns, x.values}, false, k + 1);
    }();
    const ApproximateNeighbours found = approximate(x, k);
    EXPECT_GE(found.recall, 0.99);
    EXPECT_EQ(found.clusters, 77);
    // Of 6,000 rows. Gaussian points in 20 dimensions have no clusters at all.
    EXPECT_LT(found.searched_rows, clusters == 1 ? 6000 : 1500);
    expect_lists(x, k, found);
    std::int64_t hits = 0;
    for (std::int64_t i = 0; i < 300; ++i) {
      const auto list = found.index.begin() + i * k;
      for (std::int64_t a = 1; a <= k; ++a)  // the first is the row itself
        hits += std::count(list, list + k, exact.index[static_cast<std::size_t>(i * (k + 1) + a)]);
    }
    EXPECT_NEAR(static_cast<double>(hits) / (300.0 * static_cast<double>(k)), found.recall, 0.01);
  }
}

TEST_F(NeighbourTest, ApproximateOnesAreTheSameWithAnyNumberOfThreads) {
  const Matrix x = random_rows(3000, 20, 2);
  const ApproximateNeighbours first = approximate(x, 10, 1, 5);
  for (const int threads : {1, 2, 3}) {
    const ApproximateNeighbours again = approximate(x, 10, threads, 5);
    EXPECT_EQ(again.index, first.index);
    EXPECT_EQ(again.squared_distance, first.squared_distance);
    EXPECT_EQ(again.recall, first.recall);
    EXPECT_EQ(again.searched_rows, first.searched_rows);
  }
  EXPECT_NE(approximate(x, 10, 2, 6).index, first.index);  // other clusters miss others
}

TEST_F(NeighbourTest, ApproximateOnesOfNearlyAllRowsAreExact) {
  for (const auto& [rows, columns, k] :
       {std::tuple<std::int64_t, std::int64_t, std::int64_t>{2, 3, 1},
        {50, 1, 49},
        {200, 17, 190}}) {
    const Matrix x = random_rows(rows, columns, 3);
    const ApproximateNeighbours found = approximate(x, k);
    expect_lists(x, k, found);
    const oracle::Matrix64 wide(rows, columns, x.values);
    const oracle::Neighbours want = oracle::nearest_neighbours(wide, wide, true, k);
    EXPECT_EQ(found.index, want.index) << rows << " x " << columns << ", k " << k;
    EXPECT_EQ(found.recall, 1.0);
  }
}

TEST_F(NeighbourTest, ApproximateOnesOfDuplicatesAreDuplicates) {
  // 5,000 copies of 5 points: all of a row's neighbours are copies of it, whatever the graph holds.
  const Matrix points = random_rows(5, 12, 4);
  Matrix x(5000, 12);
  for (std::int64_t i = 0; i < x.rows; ++i)
    std::copy_n(points.row(i % 5).begin(), 12, x.row(i).begin());
  const std::int64_t k = 30;
  const ApproximateNeighbours found = approximate(x, k);
  expect_lists(x, k, found);
  EXPECT_EQ(found.recall, 1.0);
  const auto zeros = std::count(found.squared_distance.begin(), found.squared_distance.end(), 0.0F);
  EXPECT_GE(static_cast<double>(zeros), 0.99 * static_cast<double>(x.rows * k));

  Matrix equal(2500, 1);
  const ApproximateNeighbours all = approximate(equal, 4);
  expect_lists(equal, 4, all);
  EXPECT_EQ(all.recall, 1.0);
}

TEST_F(NeighbourTest, BothSearchesGiveTheSameAffinitiesWhereAllIsFound) {
  const Matrix x = random_rows(400, 10, 6, 4);
  const auto affinities = [&](NeighbourMethod method) {
    return compute_affinities("test", backend_, x, 10, {.method = method});
  };
  const Affinities exact = affinities(NeighbourMethod::exact);
  const Affinities approximate = affinities(NeighbourMethod::approximate);
  EXPECT_EQ(exact.method, NeighbourMethod::exact);
  EXPECT_EQ(exact.recall, 1.0);
  EXPECT_EQ(approximate.method, NeighbourMethod::approximate);
  EXPECT_EQ(approximate.recall, 1.0);
  EXPECT_EQ(exact.perplexity, 10);
  const std::vector<std::int64_t> offsets = exact.offsets.download();
  EXPECT_EQ(approximate.offsets.download(), offsets);
  EXPECT_EQ(approximate.columns.download(offsets.back()), exact.columns.download(offsets.back()));
  const std::vector<float> want = exact.values.download(offsets.back());
  const std::vector<float> got = approximate.values.download(offsets.back());
  for (std::size_t e = 0; e < want.size(); ++e)
    ASSERT_NEAR(got[e], want[e], 1e-4F * want[e] + 1e-9F);
}

TEST_F(NeighbourTest, CosineIsTheDistanceOfDirections) {
  const Matrix x = random_rows(120, 6, 7);
  Matrix scaled = x;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (float& value : scaled.row(i))
      value *= std::ldexp(1.0F, static_cast<int>(i % 160) - 80);
  }
  const std::int64_t k = 9;
  for (const NeighbourMethod method : {NeighbourMethod::exact, NeighbourMethod::approximate}) {
    for (const Matrix* rows : std::vector<const Matrix*>{&x, &scaled}) {
      const Neighbours found =
          find_neighbours("test", backend_, *rows, k, {.method = method, .metric = Metric::cosine});
      const std::vector<std::int32_t> index = found.index.download();
      const std::vector<float> squared = found.squared_distance.download();
      for (std::int64_t i = 0; i < x.rows; ++i) {
        std::vector<double> all;
        const auto cosine = [&](std::int64_t j) {
          double product = 0, a = 0, b = 0;
          for (std::int64_t d = 0; d < x.columns; ++d) {
            product += static_cast<double>(x(i, d)) * x(j, d);
            a += static_cast<double>(x(i, d)) * x(i, d);
            b += static_cast<double>(x(j, d)) * x(j, d);
          }
          return 2.0 - 2.0 * product / std::sqrt(a * b);
        };
        for (std::int64_t j = 0; j < x.rows; ++j) {
          if (j != i) all.push_back(cosine(j));
        }
        std::sort(all.begin(), all.end());
        for (std::int64_t a = 0; a < k; ++a) {
          const auto at = static_cast<std::size_t>(i * k + a);
          if (method == NeighbourMethod::exact) {
            ASSERT_NEAR(squared[at], all[static_cast<std::size_t>(a)], 1e-5);
          }
          ASSERT_NEAR(squared[at], cosine(index[at]), 1e-5);
        }
      }
    }
  }
  Matrix zero = x;
  std::fill(zero.row(41).begin(), zero.row(41).end(), 0.0F);
  expect_error(
      [&] { (void)find_neighbours("test", backend_, zero, k, {.metric = Metric::cosine}); },
      {"test: row 41 is all zeros"});
}

TEST_F(NeighbourTest, GivenOnesReplaceTheSearch) {
  const Matrix x = random_rows(150, 5, 8);
  const Neighbours searched =
      find_neighbours("test", backend_, x, 40, {.method = NeighbourMethod::exact});
  NeighbourTable table{150, 40, searched.index.download(), searched.squared_distance.download()};
  for (float& distance : table.distance)
    distance = std::sqrt(distance);
  const Affinities want = compute_affinities("test", backend_, x, 8);
  const std::vector<std::int64_t> offsets = want.offsets.download();
  // Distances near the ends of float32's range have squares beyond it.
  for (const float factor : {1.0F, std::ldexp(1.0F, 100), std::ldexp(1.0F, -100)}) {
    NeighbourTable scaled = table;
    for (float& distance : scaled.distance)
      distance *= factor;
    const Affinities got = affinities_from_neighbours(
        "test", backend_, given_neighbours("test", backend_, scaled, 24), 8);
    EXPECT_EQ(got.neighbours, 24);
    ASSERT_EQ(got.offsets.download(), offsets);
    ASSERT_EQ(got.columns.download(offsets.back()), want.columns.download(offsets.back()));
    const std::vector<float> expected = want.values.download(offsets.back());
    const std::vector<float> values = got.values.download(offsets.back());
    for (std::size_t e = 0; e < values.size(); ++e)
      ASSERT_NEAR(values[e], expected[e], 1e-4F * expected[e] + 1e-9F);
  }
  expect_error<UsageError>([&] { (void)given_neighbours("test", backend_, table, 41); },
                           {"test: 40 neighbours of each point are given, 41 are needed"});
  expect_error<UsageError>(
      [&] {
        (void)affinities_from_neighbours("test", backend_,
                                         given_neighbours("test", backend_, table, 24), 25);
      },
      {"perplexity 25", "expected 1 to 24"});
}

TEST_F(NeighbourTest, TheSearchThatIsChosen) {
  EXPECT_EQ(best_neighbour_search(false, 100'000'000, 90), NeighbourMethod::exact);
  EXPECT_EQ(best_neighbour_search(true, 199'999, 90), NeighbourMethod::exact);
  EXPECT_EQ(best_neighbour_search(true, 200'000, 90), NeighbourMethod::approximate);
  // Where many of the rows are neighbours, few clusters can be left out.
  EXPECT_EQ(best_neighbour_search(true, 200'000, 2'001), NeighbourMethod::exact);
}

TEST_F(NeighbourTest, NamesAreParsed) {
  for (const char* name : {"auto", "exact", "approximate"})
    EXPECT_EQ(name_of(parse_neighbour_method(name)), name);
  for (const char* name : {"euclidean", "cosine"})
    EXPECT_EQ(name_of(parse_metric(name)), name);
  expect_error<UsageError>([] { (void)parse_neighbour_method("best"); },
                           {"\"best\"", "approximate"});
  expect_error<UsageError>([] { (void)parse_metric("l1"); }, {"\"l1\"", "cosine"});
}

class AffinityFile : public NeighbourTest {
 protected:
  /// The file of a P of three points, changed.
  std::string changed(const std::function<void(TypedTensorFile&)>& change) {
    TypedTensorFile file;
    file.metadata = {{"format", "hourglass affinities"},
                     {"version", "1"},
                     {"perplexity", "1.5"},
                     {"neighbours", "2"},
                     {"method", "approximate"},
                     {"recall", "0.995"}};
    file.tensors = {{"offsets", {4}, std::vector<std::int64_t>{0, 2, 3, 4}},
                    {"columns", {4}, std::vector<std::int32_t>{1, 2, 0, 0}},
                    {"values", {4}, std::vector<float>{0.25F, 0.25F, 0.25F, 0.25F}}};
    change(file);
    save_typed_safetensors(scratch_.path("p.safetensors"), file);
    return scratch_.path("p.safetensors");
  }
  void expect_refused(const std::function<void(TypedTensorFile&)>& change,
                      std::string_view fragment) {
    const std::string path = changed(change);
    expect_error([&] { (void)load_affinities(path, backend_); }, {"p.safetensors: ", fragment});
  }
  template <class T>
  static std::vector<T>& values_of(TypedTensorFile& file, std::size_t tensor) {
    return std::get<std::vector<T>>(file.tensors[tensor].values);
  }

  Scratch scratch_;
};

TEST_F(AffinityFile, RoundTrips) {
  const Affinities saved = compute_affinities("test", backend_, random_rows(90, 4, 9), 7.5);
  save_affinities(scratch_.path("p"), saved);
  const Affinities back = load_affinities(scratch_.path("p"), backend_);
  const std::vector<std::int64_t> offsets = saved.offsets.download();
  EXPECT_EQ(back.rows, 90);
  EXPECT_EQ(back.neighbours, saved.neighbours);
  EXPECT_EQ(back.perplexity, 7.5);
  EXPECT_EQ(back.method, NeighbourMethod::exact);
  EXPECT_EQ(back.recall, 1.0);
  EXPECT_EQ(back.offsets.download(), offsets);
  EXPECT_EQ(back.columns.download(), saved.columns.download(offsets.back()));
  EXPECT_EQ(back.values.download(), saved.values.download(offsets.back()));

  const Affinities other = load_affinities(changed([](TypedTensorFile&) {}), backend_);
  EXPECT_EQ(other.rows, 3);
  EXPECT_EQ(other.method, NeighbourMethod::approximate);
  EXPECT_EQ(other.recall, 0.995);
}

TEST_F(AffinityFile, WhatIsWrongIsNamed) {
  using File = TypedTensorFile;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  expect_refused([](File& f) { f.metadata.erase("format"); }, "no \"format\"");
  expect_refused([](File& f) { f.metadata["format"] = "model"; },
                 "\"format\" in its metadata is \"model\"");
  expect_refused([](File& f) { f.metadata["version"] = "2"; }, "of version 2; expected 1");
  expect_refused([](File& f) { f.metadata["perplexity"] = "nan"; }, "\"perplexity\"");
  expect_refused([](File& f) { f.metadata["neighbours"] = "3"; }, "\"neighbours\"");
  expect_refused([](File& f) { f.metadata["method"] = "auto"; }, "\"method\"");
  expect_refused([](File& f) { f.metadata["recall"] = "1.5x"; }, "\"recall\"");
  expect_refused([](File& f) { f.tensors.pop_back(); }, "no tensor \"values\"");
  expect_refused([](File& f) { f.tensors[1].shape = {2, 2}; }, "expected 1 dimension of int32");
  expect_refused(
      [](File& f) {
        f.tensors[1].values = std::vector<float>{1, 2, 0, 0};
      },
      "expected 1 dimension of int32");
  expect_refused([](File& f) { values_of<std::int64_t>(f, 0)[0] = 1; }, "go from 1 to 4");
  expect_refused([](File& f) { values_of<std::int64_t>(f, 0)[3] = 5; }, "go from 0 to 5");
  expect_refused([](File& f) { values_of<std::int64_t>(f, 0)[1] = 4; }, "offset 2 is 3 after 4");
  expect_refused([](File& f) { values_of<std::int64_t>(f, 0)[1] = -9; }, "offset 1 is -9 after 0");
  expect_refused([](File& f) { values_of<std::int32_t>(f, 1)[1] = 1; },
                 "row 0, entry 1 is of column 1");
  expect_refused([](File& f) { values_of<std::int32_t>(f, 1)[1] = 3; },
                 "row 0, entry 1 is of column 3");
  expect_refused([](File& f) { values_of<std::int32_t>(f, 1)[2] = 1; },
                 "row 1, entry 2 is of column 1");
  expect_refused([](File& f) { values_of<std::int32_t>(f, 1)[3] = -1; },
                 "row 2, entry 3 is of column -1");
  expect_refused([](File& f) { values_of<float>(f, 2)[3] = -0.25F; }, "row 2, entry 3 is -0.25");
  expect_refused([nan](File& f) { values_of<float>(f, 2)[0] = nan; }, "row 0, entry 0 is nan");
  expect_refused([](File& f) { values_of<float>(f, 2)[0] = 0.26F; }, "sum up to 1.01");
}

}  // namespace
}  // namespace hourglass
