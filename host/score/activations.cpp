#include "host/score/common.hpp"
#include "hourglass/scores.hpp"

namespace hourglass {

ActivationFigures activation_figures(const Matrix& codes, bool sigmoid_codes) {
  constexpr float dead_below = 1e-3f;  // a sigmoid is never exactly 0
  constexpr float active_above = 0.5f;
  check_rows("activation figures", codes, 1);
  const auto units = static_cast<std::size_t>(codes.columns);
  std::int64_t zeros = 0;
  std::int64_t negatives = 0;
  std::vector<double> sum(units);
  std::vector<std::int64_t> active(units);
  std::vector<bool> alive(units);
  for (std::int64_t i = 0; i < codes.rows; ++i) {
    const std::span<const float> row = codes.row(i);
    for (std::size_t k = 0; k < units; ++k) {
      sum[k] += row[k];
      zeros += row[k] == 0;
      negatives += row[k] < 0;
      active[k] += row[k] > (sigmoid_codes ? active_above : 0.0f);
      if (sigmoid_codes ? row[k] >= dead_below : row[k] != 0) alive[k] = true;
    }
  }
  const auto rows = static_cast<double>(codes.rows);
  const double all = rows * static_cast<double>(units);
  ActivationFigures figures;
  for (std::size_t k = 0; k < units; ++k) {
    figures.mean += sum[k] / all;
    figures.dead_units += !alive[k];
    figures.unit_mean.push_back(sum[k] / rows);
    figures.unit_active_share.push_back(static_cast<double>(active[k]) / rows);
  }
  figures.zero_share = static_cast<double>(zeros) / all;
  figures.negative_share = static_cast<double>(negatives) / all;
  return figures;
}

}  // namespace hourglass
