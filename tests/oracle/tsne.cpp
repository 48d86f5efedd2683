#include "tests/oracle/tsne.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/oracle/neighbours.hpp"

namespace hourglass::oracle {
namespace {

double similarity(const Matrix64& y, std::int64_t i, std::int64_t j) {
  return 1.0 / (1.0 + squared_distance(y, i, y, j));
}

int sign(double x) {
  return (x > 0.0 ? 1 : 0) - (x < 0.0 ? 1 : 0);
}

}  // namespace

std::vector<double> conditional_row(const std::vector<double>& squared_distances,
                                    double precision) {
  // Divided through by the largest term: the nearest neighbour's.
  const double nearest = *std::min_element(squared_distances.begin(), squared_distances.end());
  std::vector<double> p;
  double sum = 0.0;
  for (const double d : squared_distances) {
    p.push_back(std::exp(-precision * (d - nearest)));
    sum += p.back();
  }
  for (double& value : p)
    value /= sum;
  return p;
}

double entropy(const std::vector<double>& p) {
  double sum = 0.0;
  for (const double value : p)
    sum -= value > 0.0 ? value * std::log(value) : 0.0;
  return sum;
}

double precision_of_row(const std::vector<double>& squared_distances, double perplexity) {
  double low = -700.0;  // of ln(precision); the entropy falls as it grows
  double high = 700.0;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2.0;
    const bool too_wide =
        entropy(conditional_row(squared_distances, std::exp(middle))) > std::log(perplexity);
    (too_wide ? low : high) = middle;
  }
  return std::exp((low + high) / 2.0);
}

Affinities symmetrise(const std::vector<std::int32_t>& index, const Matrix64& conditional) {
  const std::int64_t n = conditional.rows;
  const std::int64_t k = conditional.columns;
  std::vector<std::map<std::int32_t, double>> rows(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t a = 0; a < k; ++a) {
      const std::int32_t j = index[i * k + a];
      const double half = conditional(i, a) / (2.0 * static_cast<double>(n));
      rows[i][j] += half;
      rows[j][static_cast<std::int32_t>(i)] += half;
    }
  }
  Affinities result{{0}, {}, {}};
  for (const auto& row : rows) {
    for (const auto& [column, value] : row) {
      result.columns.push_back(column);
      result.values.push_back(value);
    }
    result.offsets.push_back(static_cast<std::int64_t>(result.columns.size()));
  }
  return result;
}

Affinities affinities_of(const Matrix64& x, double perplexity) {
  const auto wanted = static_cast<std::int64_t>(3.0 * perplexity);
  const std::int64_t k = std::min(x.rows - 1, wanted);
  const Neighbours nearest = nearest_neighbours(x, x, true, k);
  Matrix64 conditional(x.rows, k);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::vector<double> distances;
    for (std::int64_t a = 0; a < k; ++a)
      distances.push_back(nearest.squared_distance(i, a));
    const std::vector<double> p =
        conditional_row(distances, precision_of_row(distances, perplexity));
    for (std::int64_t a = 0; a < k; ++a)
      conditional(i, a) = p[a];
  }
  return symmetrise(nearest.index, conditional);
}

namespace {

/// Calls sink(i, c, term) for every term of the attraction.
template <class Sink>
void for_pulls(const Affinities& p, const Matrix64& y, const Matrix64& sources, Sink&& sink) {
  for (std::int64_t i = 0; i < y.rows; ++i) {
    for (std::int64_t e = p.offsets[i]; e < p.offsets[i + 1]; ++e) {
      const std::int32_t j = p.columns[e];
      const double q = 1.0 / (1.0 + squared_distance(y, i, sources, j));
      for (std::int64_t c = 0; c < y.columns; ++c)
        sink(i, c, p.values[e] * q * (y(i, c) - sources(j, c)));
    }
  }
}

}  // namespace

Matrix64 attraction(const Affinities& p, const Matrix64& y, const Matrix64& sources) {
  Matrix64 force(y.rows, y.columns);
  for_pulls(p, y, sources,
            [&](std::int64_t i, std::int64_t c, double term) { force(i, c) += term; });
  return force;
}

Matrix64 attraction_magnitudes(const Affinities& p, const Matrix64& y, const Matrix64& sources) {
  Matrix64 sum(y.rows, y.columns);
  for_pulls(p, y, sources,
            [&](std::int64_t i, std::int64_t c, double term) { sum(i, c) += std::abs(term); });
  return sum;
}

Matrix64 field(const Matrix64& targets, const Matrix64& sources) {
  Matrix64 force(targets.rows, targets.columns);
  for (std::int64_t i = 0; i < targets.rows; ++i) {
    double partition = 0.0;
    for (std::int64_t j = 0; j < sources.rows; ++j) {
      const double q = 1.0 / (1.0 + squared_distance(targets, i, sources, j));
      partition += q;
      for (std::int64_t c = 0; c < targets.columns; ++c)
        force(i, c) += q * q * (targets(i, c) - sources(j, c));
    }
    for (std::int64_t c = 0; c < targets.columns && partition > 0.0; ++c)
      force(i, c) /= partition;
  }
  return force;
}

RepulsionSum repulsion(const Matrix64& y) {
  RepulsionSum result{Matrix64(y.rows, y.columns), 0.0};
  for (std::int64_t i = 0; i < y.rows; ++i) {
    for (std::int64_t j = 0; j < y.rows; ++j) {
      if (i == j) continue;
      const double q = similarity(y, i, j);
      result.partition += q;
      for (std::int64_t c = 0; c < y.columns; ++c)
        result.force(i, c) += q * q * (y(i, c) - y(j, c));
    }
  }
  return result;
}

Matrix64 tsne_gradient(const Affinities& p, const Matrix64& y, double exaggeration) {
  const Matrix64 pull = attraction(p, y);
  const RepulsionSum push = repulsion(y);
  Matrix64 gradient(y.rows, y.columns);
  for (std::size_t i = 0; i < gradient.values.size(); ++i) {
    gradient.values[i] =
        4.0 * (exaggeration * pull.values[i] - push.force.values[i] / push.partition);
  }
  return gradient;
}

double tsne_kl(const Affinities& p, const Matrix64& y) {
  const double partition = repulsion(y).partition;
  double kl = 0.0;
  for (std::int64_t i = 0; i < y.rows; ++i) {
    for (std::int64_t e = p.offsets[i]; e < p.offsets[i + 1]; ++e) {
      const double q = similarity(y, i, p.columns[e]) / partition;
      if (p.values[e] > 0.0) kl += p.values[e] * std::log(p.values[e] / q);
    }
  }
  return kl;
}

void tsne_step(const Matrix64& attraction, const Matrix64& repulsion, double partition,
               const TsneParameters& parameters, TsneState& state) {
  const std::int64_t n = state.y.rows;
  const std::int64_t dims = state.y.columns;
  std::vector<double> mean(static_cast<std::size_t>(dims), 0.0);
  for (std::int64_t i = 0; i < n && parameters.recentre; ++i) {
    for (std::int64_t c = 0; c < dims; ++c)
      mean[static_cast<std::size_t>(c)] += state.y(i, c) / static_cast<double>(n);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    double length = 0.0;
    for (std::int64_t c = 0; c < dims; ++c) {
      const double push = partition == 0.0 ? 0.0 : repulsion(i, c) / partition;
      const double gradient = parameters.exaggeration * attraction(i, c) - push;
      double& gain = state.gains(i, c);
      double& step = state.step(i, c);
      gain = sign(gradient) != sign(step) ? gain + 0.2 : gain * 0.8;
      gain = std::max(gain, 0.01);
      step = parameters.momentum * step - parameters.learning_rate * gain * gradient;
      length += step * step;
    }
    length = std::sqrt(length);
    for (std::int64_t c = 0; c < dims; ++c) {
      if (length > parameters.max_step) state.step(i, c) *= parameters.max_step / length;
      state.y(i, c) += state.step(i, c) - mean[static_cast<std::size_t>(c)];
    }
  }
}

}  // namespace hourglass::oracle
