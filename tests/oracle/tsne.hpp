// The truth for t-SNE (van der Maaten and Hinton 2008): float64, every pair.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/oracle/matrix64.hpp"

namespace hourglass::oracle {

/// p_j ~ exp(-precision * d_j) over one row of squared distances.
std::vector<double> conditional_row(const std::vector<double>& squared_distances, double precision);
/// -sum p ln p.
double entropy(const std::vector<double>& p);
/// The precision at which the entropy of conditional_row is ln(perplexity), by bisection in log
/// space to the last bit; where none gives it, the end of the range that comes closest.
double precision_of_row(const std::vector<double>& squared_distances, double perplexity);

/// A sparse square matrix in compressed rows, columns ascending.
struct Affinities {
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> columns;
  std::vector<double> values;
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
};
/// (P_cond + P_cond^T) / (2 N) over the union of both edge sets; index is N x conditional.columns.
Affinities symmetrise(const std::vector<std::int32_t>& index, const Matrix64& conditional);
/// The whole way from data: k = min(N - 1, 3 perplexity) neighbours, precisions, symmetrised.
Affinities affinities_of(const Matrix64& x, double perplexity);

/// force_i = sum over j of p_ij q_ij (y_i - s_j), s the rows of `sources`.
Matrix64 attraction(const Affinities& p, const Matrix64& y, const Matrix64& sources);
inline Matrix64 attraction(const Affinities& p, const Matrix64& y) {
  return attraction(p, y, y);
}
/// Its terms' magnitudes, summed.
Matrix64 attraction_magnitudes(const Affinities& p, const Matrix64& y, const Matrix64& sources);

struct RepulsionSum {
  Matrix64 force;          ///< sum over j != i of q_ij^2 (y_i - y_j)
  double partition = 0.0;  ///< sum over i != j of q_ij
};
RepulsionSum repulsion(const Matrix64& y);
/// force_i = sum over j of q_ij^2 (t_i - s_j) / sum over j of q_ij.
Matrix64 field(const Matrix64& targets, const Matrix64& sources);

/// The gradient of KL(exaggeration P || Q), with its factor 4.
Matrix64 tsne_gradient(const Affinities& p, const Matrix64& y, double exaggeration);
/// sum of p ln(p / q) with the exact partition.
double tsne_kl(const Affinities& p, const Matrix64& y);

struct TsneParameters {
  double exaggeration = 12.0;
  double learning_rate = 200.0;  ///< multiplies the gradient without its factor 4
  double momentum = 0.5;
  double max_step = 5.0;
  bool recentre = true;
};
struct TsneState {
  Matrix64 y;
  Matrix64 step;
  Matrix64 gains;
};
/// gradient = exaggeration * attraction - repulsion / partition. A gain grows by 0.2 where the
/// signs
/// (-1, 0 or 1) of gradient and last step differ, else shrinks to 0.8 of itself, at least 0.01;
/// step = momentum * step - learning_rate * gain * gradient, its length over all coordinates at
/// most max_step; y += step, less the mean of y as it was before. A partition of 0: no repulsion.
void tsne_step(const Matrix64& attraction, const Matrix64& repulsion, double partition,
               const TsneParameters& parameters, TsneState& state);

}  // namespace hourglass::oracle
