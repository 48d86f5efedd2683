#include "tests/oracle/tsne_cases.hpp"

#include <cmath>
#include <numbers>

namespace hourglass::parity {

std::vector<std::int32_t> random_neighbours(std::int64_t n, std::int64_t k, Random& random) {
  std::vector<std::int32_t> index;
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<std::int32_t> others;
    for (std::int64_t j = 0; j < n; ++j) {
      if (j != i) others.push_back(static_cast<std::int32_t>(j));
    }
    for (std::int64_t a = 0; a < k; ++a) {  // Fisher and Yates's shuffle, of the first k only
      const std::int64_t pick = a + random.below(n - 1 - a);
      std::swap(others[a], others[pick]);
      index.push_back(others[a]);
    }
  }
  return index;
}

oracle::Affinities random_affinities(std::int64_t n, std::int64_t k, Random& random) {
  const std::vector<std::int32_t> index = random_neighbours(n, k, random);
  oracle::Matrix64 conditional(n, k, random.uniforms(n * k, 0.1, 1.0));
  for (std::int64_t i = 0; i < n; ++i) {
    double sum = 0.0;
    for (std::int64_t a = 0; a < k; ++a)
      sum += conditional(i, a);
    for (std::int64_t a = 0; a < k; ++a)
      conditional(i, a) /= sum;
  }
  oracle::Affinities p = oracle::symmetrise(index, conditional);
  for (double& value : p.values)
    value = static_cast<float>(value);
  return p;
}

std::string map_name(MapShape shape) {
  constexpr const char* names[] = {"blob", "clusters",   "ring",   "line",
                                   "grid", "duplicates", "outlier"};
  return names[static_cast<int>(shape)];
}

std::vector<float> random_map(MapShape shape, std::int64_t n, double span, Random& random,
                              std::int64_t dims, double outlier_spans) {
  std::vector<float> y;
  const auto add = [&](double a, double b) {
    y.push_back(static_cast<float>(span * a));
    y.push_back(static_cast<float>(span * b));
    if (dims < 3) return;
    const auto i = static_cast<std::int64_t>(y.size() / 3);
    const bool few_places = shape == MapShape::grid || shape == MapShape::duplicates;
    y.push_back(static_cast<float>(
        span * (few_places ? static_cast<double>(i % 2) / 2.0 : random.normal() / 8.0)));
  };
  const auto side = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(n))));
  for (std::int64_t i = 0; i < n; ++i) {
    const double noise_a = random.normal();
    const double noise_b = random.normal();
    switch (shape) {
      case MapShape::outlier:
        if (i == n / 2 && n > 2) {
          add(outlier_spans, -0.7 * outlier_spans);
          break;
        }
        [[fallthrough]];
      case MapShape::blob:
        add(noise_a / 6.0, noise_b / 6.0);
        break;
      case MapShape::clusters: {  // ten of uneven size, as a finished map of digits
        const double angle = static_cast<double>(i * i % 10) * 0.2 * std::numbers::pi;
        add(0.4 * std::cos(angle) + noise_a / 40.0, 0.4 * std::sin(angle) + noise_b / 25.0);
        break;
      }
      case MapShape::ring: {
        const double angle = 2.0 * std::numbers::pi * random.uniform();
        add((0.5 + noise_a / 200.0) * std::cos(angle), (0.5 + noise_a / 200.0) * std::sin(angle));
        break;
      }
      case MapShape::line:
        add(random.uniform() - 0.5, 0.0);
        break;
      case MapShape::grid:  // equal coordinates and boundaries of quadrants
        add(static_cast<double>(i % side) / static_cast<double>(side) - 0.5,
            static_cast<double>(i / side) / static_cast<double>(side) - 0.5);
        break;
      case MapShape::duplicates:  // every point many times
        add(static_cast<double>(i % 7) / 7.0, static_cast<double>(i % 3) / 3.0);
        break;
    }
  }
  return y;
}

}  // namespace hourglass::parity
