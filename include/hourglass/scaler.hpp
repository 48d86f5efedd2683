// How features are scaled before an autoencoder or PCA sees them: scaled = (x - offset) * factor, a
// column at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hourglass/device.hpp"
#include "hourglass/matrix.hpp"
#include "hourglass/rows.hpp"

namespace hourglass {

enum class Scaling {
  none,     ///< as they are
  unit,     ///< bytes by 1/255; floats must lie in [0, 1] already and stay as they are
  standard  ///< scikit-learn's StandardScaler: mean 0 and population deviation 1 of the training
            ///< rows
};

/// "none", "unit" or "standard"; throws UsageError otherwise.
Scaling parse_scaling(std::string_view name);
std::string_view name_of(Scaling scaling);

struct Scaler {
  Scaling scaling = Scaling::none;
  std::vector<float> offset;  ///< one a column
  std::vector<float> factor;  ///< one a column; 1 where the deviation is 0 but for rounding

  /// Fits on all rows, which are gone through once, a block at a time. Throws InputError that names
  /// the data where a value is not finite or, for `unit`, a float lies outside [0, 1].
  static Scaler fit(Device& device, const RowSource& rows, Scaling scaling);

  [[nodiscard]] std::int64_t columns() const { return static_cast<std::int64_t>(factor.size()); }
  /// The factors for this data: `factor`, but for `unit`, whose factor follows from the type of the
  /// values (1/255 for bytes, 1 for floats), whichever it was fitted on.
  [[nodiscard]] std::vector<float> factor_for(const RowSource& rows) const;
  /// Throws InputError that names the data where its columns differ from the scaler's, a value is
  /// not finite or, for `unit`, a float lies outside [0, 1]: with its row and column.
  void check(const RowSource& rows) const;
  /// N x D; the same errors.
  [[nodiscard]] Matrix transform(Device& device, const RowSource& rows) const;
  /// Back to the values of the data that the scaler was fitted on.
  [[nodiscard]] Matrix inverse_transform(const Matrix& scaled) const;
  /// The same for whole rows, in place.
  void inverse_transform(std::span<float> rows) const;
};

/// What a scaling does to the values, for the report and for the warning that BCE prints.
struct ScaledRange {
  double minimum = 0;
  double maximum = 0;
  double below_zero = 0;  ///< share of the values
  double above_one = 0;   ///< share of the values
  std::int64_t constant_columns = 0;
};
/// Throws InputError where the columns differ from the scaler's.
ScaledRange scaled_range(const Scaler& scaler, const RowSource& rows);

}  // namespace hourglass
