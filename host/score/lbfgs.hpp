// L-BFGS (Nocedal 1980; Liu and Nocedal 1989) with a line search for the weak Wolfe conditions by
// bisection and doubling (Lewis and Overton 2013): for smooth functions of some thousand variables.
#pragma once

#include <functional>
#include <vector>

namespace hourglass {

struct LbfgsOptions {
  int history = 20;
  int iterations = 500;
  double relative_gradient = 1e-5;  ///< stop where |g| is below this share of the first |g|
};

struct LbfgsResult {
  int iterations = 0;
  int evaluations = 0;
  double value = 0;
  double gradient_norm = 0;
};

/// f(point, gradient) returns the value and writes the gradient.
using Objective = std::function<double(const std::vector<double>&, std::vector<double>&)>;

/// Minimises f from `point`, in place. Also stops where no step makes the value smaller.
LbfgsResult minimise_lbfgs(const Objective& f, std::vector<double>& point,
                           const LbfgsOptions& options = {});

}  // namespace hourglass
