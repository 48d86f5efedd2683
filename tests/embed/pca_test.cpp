// PCA against cyclic Jacobi rotations of the covariance in float64.
#include "hourglass/pca.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "hourglass/error.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass {
namespace {

using oracle::Matrix64;

struct Eigen {
  std::vector<double> values;  // falling
  Matrix64 vectors;            // rows
};

Eigen jacobi(Matrix64 a) {
  const std::int64_t n = a.rows;
  Matrix64 v(n, n);
  for (std::int64_t i = 0; i < n; ++i)
    v(i, i) = 1;
  for (int sweep = 0; sweep < 100; ++sweep) {
    for (std::int64_t p = 0; p < n; ++p) {
      for (std::int64_t q = p + 1; q < n; ++q) {
        if (std::abs(a(p, q)) < 1e-300) continue;
        const double theta = (a(q, q) - a(p, p)) / (2 * a(p, q));
        const double t =
            (theta >= 0 ? 1.0 : -1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1);
        const double s = t * c;
        for (std::int64_t k = 0; k < n; ++k) {
          const double x = a(k, p), y = a(k, q);
          a(k, p) = c * x - s * y;
          a(k, q) = s * x + c * y;
        }
        for (std::int64_t k = 0; k < n; ++k) {
          const double x = a(p, k), y = a(q, k);
          a(p, k) = c * x - s * y;
          a(q, k) = s * x + c * y;
          const double g = v(p, k), h = v(q, k);
          v(p, k) = c * g - s * h;
          v(q, k) = s * g + c * h;
        }
      }
    }
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](auto i, auto j) { return a(i, i) > a(j, j); });
  Eigen eigen{{}, Matrix64(n, n)};
  for (std::int64_t k = 0; k < n; ++k) {
    const std::int64_t from = order[static_cast<std::size_t>(k)];
    eigen.values.push_back(a(from, from));
    for (std::int64_t j = 0; j < n; ++j)
      eigen.vectors(k, j) = v(from, j);
  }
  return eigen;
}

std::vector<double> mean_of(const Matrix& x) {
  std::vector<double> mean(static_cast<std::size_t>(x.columns));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::size_t j = 0; j < mean.size(); ++j)
      mean[j] += x.row(i)[j] / static_cast<double>(x.rows);
  }
  return mean;
}

Matrix64 covariance_of(const Matrix& x) {
  const std::vector<double> mean = mean_of(x);
  Matrix64 c(x.columns, x.columns);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t p = 0; p < x.columns; ++p) {
      for (std::int64_t q = 0; q < x.columns; ++q) {
        c(p, q) += (x(i, p) - mean[static_cast<std::size_t>(p)]) *
                   (x(i, q) - mean[static_cast<std::size_t>(q)]) / static_cast<double>(x.rows - 1);
      }
    }
  }
  return c;
}

/// Columns of falling deviation, mixed, with an offset each.
Matrix mixed(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  parity::Random random(seed);
  const std::vector<float> mixing = random.normals(columns * columns);
  Matrix x(rows, columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<double> source(static_cast<std::size_t>(columns));
    for (std::size_t j = 0; j < source.size(); ++j)
      source[j] = random.normal() * std::pow(0.7, static_cast<double>(j));
    for (std::int64_t j = 0; j < columns; ++j) {
      double sum = 3.0 * static_cast<double>(j);
      for (std::size_t k = 0; k < source.size(); ++k)
        sum +=
            source[k] * mixing[k * static_cast<std::size_t>(columns) + static_cast<std::size_t>(j)];
      x(i, j) = static_cast<float>(sum);
    }
  }
  return x;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

void expect_orthonormal(const Matrix& components) {
  for (std::int64_t a = 0; a < components.rows; ++a) {
    for (std::int64_t b = 0; b <= a; ++b)
      EXPECT_NEAR(dot(components.row(a), components.row(b)), a == b ? 1.0 : 0.0, 1e-5) << a << b;
  }
}

void expect_largest_loading_positive(const Matrix& components) {
  for (std::int64_t k = 0; k < components.rows; ++k) {
    float largest = 0;
    for (const float value : components.row(k)) {
      if (std::abs(value) > std::abs(largest)) largest = value;
    }
    EXPECT_GT(largest, 0) << "component " << k;
  }
}

class PcaTest : public testing::Test {
 protected:
  Device device_ = Device::open("cpu", 2);
};

TEST_F(PcaTest, MatchesJacobi) {
  struct Case {
    std::int64_t rows, columns, components;
  };
  for (const auto& [rows, columns, components] :
       {Case{50, 8, 3}, Case{50, 8, 8}, Case{33, 31, 5}, Case{300, 12, 12}, Case{9, 20, 8},
        Case{6, 40, 2}, Case{2, 3, 1}, Case{20, 1, 1}}) {
    const Matrix x = mixed(rows, columns, 40 + static_cast<std::uint64_t>(rows));
    const Pca pca = Pca::fit(device_, x, components);
    const Matrix64 covariance = covariance_of(x);
    const Eigen want = jacobi(covariance);
    double total = 0;
    for (std::int64_t j = 0; j < columns; ++j)
      total += covariance(j, j);
    SCOPED_TRACE(testing::Message() << rows << " x " << columns << ", " << components);
    ASSERT_EQ(pca.components.rows, components);
    ASSERT_EQ(pca.components.columns, columns);
    const std::vector<double> mean = mean_of(x);
    for (std::size_t j = 0; j < mean.size(); ++j)
      EXPECT_NEAR(pca.mean[j], mean[j], 1e-6 * (1 + std::abs(mean[j])));
    for (std::int64_t k = 0; k < components; ++k) {
      const auto at = static_cast<std::size_t>(k);
      EXPECT_NEAR(pca.explained_variance[at], want.values[at], 2e-6 * want.values[0]);
      EXPECT_NEAR(pca.explained_ratio[at], want.values[at] / total, 2e-6);
      double along = 0;
      for (std::int64_t j = 0; j < columns; ++j)
        along += want.vectors(k, j) * pca.components(k, j);
      EXPECT_NEAR(std::abs(along), 1.0, 1e-4) << "component " << k;
    }
    expect_orthonormal(pca.components);
    expect_largest_loading_positive(pca.components);
  }
}

TEST_F(PcaTest, TransformHasTheExplainedVarianceAndInverts) {
  const Matrix x = mixed(5000, 6, 3);  // more rows than are centred at a time
  const Pca pca = Pca::fit(device_, x, 6);
  const Matrix codes = pca.transform(device_, x);
  for (std::int64_t k = 0; k < 6; ++k) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      sum += codes(i, k);
      squares += static_cast<double>(codes(i, k)) * codes(i, k);
    }
    const auto at = static_cast<std::size_t>(k);
    EXPECT_NEAR(sum / 5000, 0.0, 1e-4);
    EXPECT_NEAR(squares / 4999, pca.explained_variance[at], 1e-4 * pca.explained_variance[0]);
  }
  const Matrix back = pca.inverse_transform(device_, codes);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    ASSERT_NEAR(back.values[i], x.values[i], 1e-4);
}

TEST_F(PcaTest, ConstantColumnsAndConstantData) {
  Matrix x = mixed(40, 5, 8);
  for (std::int64_t i = 0; i < x.rows; ++i)
    x(i, 2) = 7;
  const Pca pca = Pca::fit(device_, x, 5);
  for (std::int64_t k = 0; k < 4; ++k)
    EXPECT_NEAR(pca.components(k, 2), 0.0, 1e-6);
  EXPECT_NEAR(pca.explained_variance[4], 0.0, 1e-9);
  expect_orthonormal(pca.components);

  for (const std::int64_t columns : {3, 30}) {  // by covariance and by Gram matrix
    Matrix constant(10, columns);
    std::fill(constant.values.begin(), constant.values.end(), 2.5f);
    const Pca flat = Pca::fit(device_, constant, 3);
    expect_orthonormal(flat.components);
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(flat.explained_variance[k], 0.0);
      EXPECT_EQ(flat.explained_ratio[k], 0.0);
    }
    for (const float value : flat.transform(device_, constant).values)
      EXPECT_NEAR(value, 0.0f, 1e-6f);
  }
}

TEST_F(PcaTest, MoreColumnsThanRowsGivesEveryComponent) {
  // Centred rows have rank N - 1: the last component is a direction without variance.
  const Matrix x = mixed(7, 25, 5);
  const Pca pca = Pca::fit(device_, x, 7);
  expect_orthonormal(pca.components);
  EXPECT_NEAR(pca.explained_variance[6], 0.0, 1e-6 * pca.explained_variance[0]);
  const Matrix back = pca.inverse_transform(device_, pca.transform(device_, x));
  for (std::size_t i = 0; i < x.values.size(); ++i)
    EXPECT_NEAR(back.values[i], x.values[i], 2e-4);
}

TEST_F(PcaTest, SignDoesNotHangOnRoundingWhereLoadingsAreEqual) {
  // x2 = -x1: both loadings have magnitude 1 / sqrt(2); the first decides.
  parity::Random random(4);
  Matrix x(100, 2);
  for (std::int64_t i = 0; i < 100; ++i) {
    x(i, 0) = static_cast<float>(random.normal());
    x(i, 1) = -x(i, 0);
  }
  const Pca pca = Pca::fit(device_, x, 1);
  EXPECT_NEAR(pca.components(0, 0), std::sqrt(0.5), 1e-6);
  EXPECT_NEAR(pca.components(0, 1), -std::sqrt(0.5), 1e-6);
}

TEST_F(PcaTest, RefusesWhatCannotBe) {
  const Matrix x = mixed(5, 3, 1);
  EXPECT_THROW(Pca::fit(device_, x, 0), UsageError);
  EXPECT_THROW(Pca::fit(device_, x, 4), UsageError);
  EXPECT_THROW(Pca::fit(device_, mixed(1, 3, 1), 1), UsageError);
  Matrix bad = x;
  bad(2, 1) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(Pca::fit(device_, bad, 1), InputError);
  const Pca pca = Pca::fit(device_, x, 2);
  EXPECT_THROW((void)pca.transform(device_, Matrix(2, 4)), InputError);
  EXPECT_THROW((void)pca.inverse_transform(device_, Matrix(2, 3)), InputError);
}

TEST_F(PcaTest, IsTheSameAgain) {
  const Matrix x = mixed(200, 20, 6);
  const Pca a = Pca::fit(device_, x, 5);
  const Pca b = Pca::fit(device_, x, 5);
  EXPECT_EQ(a.components.values, b.components.values);
  EXPECT_EQ(a.explained_variance, b.explained_variance);
}

}  // namespace
}  // namespace hourglass
