#include "host/data/neighbour_file.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/data/scratch.hpp"

namespace hourglass {
namespace {

using testing::bytes_of_number;
using testing::expect_error;
using testing::expect_survives_mutation;
using testing::Scratch;

template <class T>
std::string npy(const std::string& descr, const std::string& shape, const std::vector<T>& values) {
  const std::string header =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
  std::string text = std::string("\x93NUMPY\x01") + '\0' +
                     bytes_of_number(static_cast<std::uint16_t>(header.size()), false) + header;
  for (const T value : values)
    text += bytes_of_number(value, false);
  return text;
}

const std::vector<std::int64_t> indices{1, 2, 0, 3, 3, 0, 1, 2};
const std::vector<float> distances{2, 1, 3, 3, 0, 5, 1, 4};

class NeighbourFile : public ::testing::Test {
 protected:
  std::string index_file(const std::vector<std::int64_t>& values) {
    return scratch_.file("i.npy", npy("<i8", "(4, 2)", values));
  }
  std::string distance_file(const std::vector<float>& values) {
    return scratch_.file("d.npy", npy("<f4", "(4, 2)", values));
  }
  std::string good_distances() { return distance_file(distances); }

  Scratch scratch_;
};

TEST_F(NeighbourFile, IsSortedByDistanceThenIndex) {
  const NeighbourTable table = read_neighbours(index_file(indices), good_distances());
  EXPECT_EQ(table.rows, 4);
  EXPECT_EQ(table.k, 2);
  EXPECT_EQ(table.index, (std::vector<std::int32_t>{2, 1, 0, 3, 3, 0, 1, 2}));
  EXPECT_EQ(table.distance, (std::vector<float>{1, 2, 3, 3, 0, 5, 1, 4}));
}

TEST_F(NeighbourFile, TakesEveryTypeOfIntegerAndOfDistance) {
  const NeighbourTable want = read_neighbours(index_file(indices), good_distances());
  const std::vector<double> wide(distances.begin(), distances.end());
  const std::string doubles = scratch_.file("w.npy", npy("<f8", "(4, 2)", wide));
  const std::vector<std::int32_t> narrow(indices.begin(), indices.end());
  const std::vector<std::uint8_t> bytes(indices.begin(), indices.end());
  for (const std::string& file : {scratch_.file("a.npy", npy("<i4", "(4, 2)", narrow)),
                                  scratch_.file("b.npy", npy("|u1", "(4, 2)", bytes))}) {
    const NeighbourTable table = read_neighbours(file, doubles);
    EXPECT_EQ(table.index, want.index);
    EXPECT_EQ(table.distance, want.distance);
  }
}

TEST_F(NeighbourFile, BadIndicesAreNamed) {
  const auto change = [&](std::size_t at, std::int64_t value) {
    std::vector<std::int64_t> bad = indices;
    bad[at] = value;
    return index_file(bad);
  };
  const std::string good = good_distances();
  expect_error([&] { (void)read_neighbours(change(3, 4), good); },
               {"i.npy: row 1, column 1 is 4; expected an index of 0 to 3"});
  expect_error([&] { (void)read_neighbours(change(4, -1), good); },
               {"i.npy: row 2, column 0 is -1; expected an index"});
  expect_error([&] { (void)read_neighbours(change(0, std::int64_t{1} << 32), good); },
               {"row 0, column 0 is 4294967296"});
  expect_error([&] { (void)read_neighbours(change(5, 2), good); },
               {"i.npy: row 2, column 1 is 2, the row itself"});
  expect_error([&] { (void)read_neighbours(change(1, 1), good); },
               {"i.npy: row 0, column 1 is 1, which is in that row before"});
}

TEST_F(NeighbourFile, BadDistancesAreNamed) {
  for (const float value :
       {-1.0F, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> bad = distances;
    bad[5] = value;
    expect_error([&] { (void)read_neighbours(index_file(indices), distance_file(bad)); },
                 {"d.npy: row 2, column 1 is ", "expected a distance, finite and not negative"});
  }
  std::vector<double> wide(distances.begin(), distances.end());
  wide[0] = 1e300;
  const std::string file = scratch_.file("w.npy", npy("<f8", "(4, 2)", wide));
  expect_error([&] { (void)read_neighbours(index_file(indices), file); },
               {"w.npy: row 0, column 0 is 1e+300; expected a distance of at most"});
}

TEST_F(NeighbourFile, ShapesAndTypesMustFit) {
  const std::string good = index_file(indices);
  expect_error([&] { (void)read_neighbours(good_distances(), good_distances()); },
               {"d.npy: holds float32, expected indices as integers"});
  expect_error([&] { (void)read_neighbours(good, good); },
               {"i.npy: holds int64, expected distances as float32 or float64"});
  const std::string other = scratch_.file("o.npy", npy("<f4", "(2, 4)", distances));
  expect_error([&] { (void)read_neighbours(good, other); },
               {"o.npy: its shape is 2 x 4, expected that of the indices in ", "4 x 2"});
  const std::string flat = scratch_.file("f.npy", npy("<i8", "(8,)", indices));
  expect_error([&] { (void)read_neighbours(flat, good_distances()); },
               {"f.npy: its shape is 8, expected two dimensions"});
  const std::string wide = scratch_.file("g.npy", npy("<i8", "(2, 4)", indices));
  expect_error([&] { (void)read_neighbours(wide, good_distances()); },
               {"g.npy: its shape is 2 x 4, expected", "fewer neighbours than points"});
  const std::string none =
      scratch_.file("n.npy", npy("<i8", "(4, 0)", std::vector<std::int64_t>{}));
  expect_error([&] { (void)read_neighbours(none, good_distances()); }, {"n.npy"});
}

TEST_F(NeighbourFile, EveryChangedByteIsReadOrRefused) {
  const std::string distance = good_distances();
  expect_survives_mutation(scratch_, "m.npy", npy("<i8", "(4, 2)", indices),
                           [&](const std::string& path) { (void)read_neighbours(path, distance); });
}

TEST_F(NeighbourFile, OfAMatrixAreTheNearestOfEachRow) {
  const std::vector<float> matrix{0, 2, 1, 1,  //
                                  2, 9, 3, 4,  // a diagonal that is not looked at
                                  1, 3, 0, 5,  //
                                  1, 4, 5, 0};
  const std::string file = scratch_.file("m.npy", npy("<f4", "(4, 4)", matrix));
  EXPECT_EQ(distance_matrix_rows(file), 4);
  const NeighbourTable table = read_distance_matrix(file, 2);
  EXPECT_EQ(table.rows, 4);
  EXPECT_EQ(table.k, 2);
  EXPECT_EQ(table.index, (std::vector<std::int32_t>{2, 3, 0, 2, 0, 1, 0, 1}));
  EXPECT_EQ(table.distance, (std::vector<float>{1, 1, 2, 3, 1, 3, 1, 4}));
  EXPECT_EQ(read_distance_matrix(file, 3).index[2], 1);
  for (const std::int64_t k : {std::int64_t{0}, std::int64_t{4}}) {
    expect_error<UsageError>([&] { (void)read_distance_matrix(file, k); },
                             {"m.npy", "of 4 points; expected 1 to 3"});
  }

  std::vector<float> bad = matrix;
  bad[9] = -3;
  const std::string negative = scratch_.file("b.npy", npy("<f4", "(4, 4)", bad));
  expect_error([&] { (void)read_distance_matrix(negative, 2); },
               {"b.npy: row 2, column 1 is -3; expected a distance"});
  const std::string oblong = scratch_.file("o.npy", npy("<f4", "(2, 8)", matrix));
  expect_error([&] { (void)read_distance_matrix(oblong, 1); },
               {"o.npy: its shape is 2 x 8, expected a square matrix"});
}

}  // namespace
}  // namespace hourglass
