#include "host/score/lbfgs.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

namespace hourglass {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += a[i] * b[i];
  return sum;
}

void add_scaled(std::vector<double>& to, double factor, const std::vector<double>& from) {
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] += factor * from[i];
}

/// The last steps and changes of the gradient, and the product of the inverse Hessian that they
/// imply with a vector (the two-loop recursion).
class History {
 public:
  explicit History(std::size_t most) : most_(most) {}

  void add(std::vector<double> step, std::vector<double> change) {
    const double curvature = dot(step, change);
    // A pair without curvature would make the inverse Hessian indefinite.
    if (!(curvature > 1e-12 * std::sqrt(dot(step, step) * dot(change, change)))) return;
    if (pairs_.size() == most_) pairs_.erase(pairs_.begin());
    pairs_.push_back({std::move(step), std::move(change), 1.0 / curvature});
  }

  void apply(std::vector<double>& vector) const {
    std::vector<double> alpha(pairs_.size());
    for (std::size_t i = pairs_.size(); i-- > 0;) {
      alpha[i] = pairs_[i].rho * dot(pairs_[i].step, vector);
      add_scaled(vector, -alpha[i], pairs_[i].change);
    }
    if (!pairs_.empty()) {
      const Pair& last = pairs_.back();
      const double scale = 1.0 / (last.rho * dot(last.change, last.change));
      for (double& value : vector)
        value *= scale;
    }
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const double beta = pairs_[i].rho * dot(pairs_[i].change, vector);
      add_scaled(vector, alpha[i] - beta, pairs_[i].step);
    }
  }

  [[nodiscard]] bool empty() const { return pairs_.empty(); }
  void clear() { pairs_.clear(); }

 private:
  struct Pair {
    std::vector<double> step;
    std::vector<double> change;
    double rho;
  };
  std::size_t most_;
  std::vector<Pair> pairs_;
};

}  // namespace

LbfgsResult minimise_lbfgs(const Objective& f, std::vector<double>& point,
                           const LbfgsOptions& options) {
  constexpr double sufficient_decrease = 1e-4;
  constexpr double curvature = 0.9;
  constexpr int most_trials = 40;

  std::vector<double> gradient(point.size());
  std::vector<double> trial(point.size());
  std::vector<double> trial_gradient(point.size());
  LbfgsResult result;
  result.value = f(point, gradient);
  result.evaluations = 1;
  result.gradient_norm = std::sqrt(dot(gradient, gradient));
  const double stop_at = options.relative_gradient * result.gradient_norm;
  History history(static_cast<std::size_t>(options.history));

  while (result.iterations < options.iterations && result.gradient_norm > stop_at) {
    std::vector<double> direction = gradient;
    history.apply(direction);
    for (double& value : direction)
      value = -value;
    const double slope = dot(gradient, direction);
    double step = history.empty() ? 1.0 / result.gradient_norm : 1.0;
    double low = 0;
    double high = std::numeric_limits<double>::infinity();
    double value = result.value;
    bool found = false;
    for (int attempt = 0; attempt < most_trials; ++attempt) {
      trial = point;
      add_scaled(trial, step, direction);
      value = f(trial, trial_gradient);
      ++result.evaluations;
      if (!(value <= result.value + sufficient_decrease * step * slope)) {
        high = step;
      } else if (dot(trial_gradient, direction) < curvature * slope) {
        low = step;
      } else {
        found = true;
        break;
      }
      step = std::isinf(high) ? 2 * low : (low + high) / 2;
    }
    if (!found && !(value < result.value)) {
      if (history.empty()) break;  // not even steepest descent: as low as float64 gets
      history.clear();
      continue;
    }
    std::vector<double> moved = trial;
    add_scaled(moved, -1.0, point);
    std::vector<double> change = trial_gradient;
    add_scaled(change, -1.0, gradient);
    history.add(std::move(moved), std::move(change));
    point.swap(trial);
    gradient.swap(trial_gradient);
    result.value = value;
    result.gradient_norm = std::sqrt(dot(gradient, gradient));
    ++result.iterations;
  }
  return result;
}

}  // namespace hourglass
