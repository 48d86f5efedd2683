#include "host/embed/affinities.hpp"
#include "host/score/common.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/scores.hpp"

namespace hourglass {

double tsne_kl_divergence(Device& device, const Matrix& x, const Matrix& map, double perplexity) {
  check_same_rows("KL divergence", x, map);
  if (map.columns != 2 && map.columns != 3) {
    throw UsageError(
        fmt::format("KL divergence: a map of {} columns; expected 2 or 3", map.columns));
  }
  check_perplexity("KL divergence", x.rows, perplexity);
  tsne_kl_memory(device.info(), x, perplexity).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "kl divergence");
  const Affinities affinities = compute_affinities("KL divergence", backend, x, perplexity);
  const Buffer<float> y(backend, std::span<const float>(map.values));
  Buffer<double> kl(backend, 1);
  backend.tsne_kl(affinities.view(), y.matrix(map.rows, map.columns), nullptr, kl.data());
  return kl.download().front();
}

}  // namespace hourglass
