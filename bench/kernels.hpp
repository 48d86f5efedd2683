// Which CUDA kernels an operation of the table launches, so that --benchmark_filter finds a kernel
// by its name. tests/bench holds this against the sources.
#pragma once

#include <map>
#include <string_view>
#include <vector>

namespace hourglass::bench {

/// Operations of the benchmarks' names, as in kernels/backend.hpp. Copies and fills are the CUDA
/// runtime's, products cuBLAS's, transforms cuFFT's.
inline const std::map<std::string_view, std::vector<std::string_view>> kernels_of_operation = {
    {"upload", {}},
    {"download", {}},
    {"copy", {}},
    {"fill", {}},
    {"fma_chain", {"fma_chain_kernel"}},
    {"gather_rows", {"gather_rows_kernel"}},
    {"shuffle_rows",
     {"shuffle_words_kernel", "digit_count_kernel", "block_total_kernel", "block_base_kernel",
      "block_scan_kernel", "digit_scatter_kernel", "settle_runs_kernel"}},
    {"gather_batch", {"gather_rows_kernel"}},
    {"corrupt", {"corrupt_kernel"}},
    {"column_statistics", {"column_moment_kernel", "finish_moment_kernel"}},
    {"gemm", {}},
    {"sparse_gemm", {}},
    {"output_layer", {"loss_kernel", "finish_kernel"}},
    {"bias_activation", {"bias_activation_kernel"}},
    {"bias_activation_backward", {"bias_activation_backward_kernel", "finish_kernel"}},
    {"sigmoid_bce", {"loss_kernel", "finish_kernel"}},
    {"squared_error", {"loss_kernel", "finish_kernel"}},
    {"l1_penalty", {"l1_kernel"}},
    {"kl_penalty", {"activation_sums_kernel", "kl_kernel"}},
    {"contractive_penalty", {"square_norms_kernel", "slopes_kernel", "contractive_kernel"}},
    {"l2_penalty", {"l2_kernel"}},
    {"gradient_norm", {"square_sum_kernel"}},
    {"adam", {"adam_kernel"}},
    {"sgd", {"sgd_kernel"}},
    {"covariance", {"centre_kernel", "finish_covariance_kernel"}},
    {"nearest_neighbours",
     {"column_moment_kernel", "finish_moment_kernel", "centre_rows_kernel", "select_kernel",
      "rerank_kernel", "scan_rows_kernel"}},
    {"neighbour_ranks", {"threshold_kernel", "count_kernel", "finish_ranks_kernel"}},
    {"perplexity_search", {"perplexity_kernel"}},
    {"symmetrise",
     {"count_incoming_kernel", "block_total_kernel", "block_base_kernel", "block_scan_kernel",
      "fill_edges_kernel", "merge_rows_kernel", "copy_rows_kernel"}},
    {"tsne_step", {"map_sum_kernel", "step_kernel"}},
    {"tsne_repulsion",
     {"repulsion_kernel", "reduce_repulsion_kernel", "spread_kernel", "node_sums_kernel",
      "derivatives_kernel", "gather_forces_kernel", "sample_kernel", "influence_kernel"}},
    {"tsne_field", {"field_kernel", "finish_field_kernel"}},
    {"locality_order",
     {"box_kernel", "code_kernel", "digit_count_kernel", "block_total_kernel", "block_base_kernel",
      "block_scan_kernel", "digit_scatter_kernel", "index_kernel"}},
    {"permute_affinities",
     {"permuted_lengths_kernel", "block_total_kernel", "block_base_kernel", "block_scan_kernel",
      "permute_rows_kernel"}},
    {"tsne_kl", {"partition_kernel", "entries_kernel", "finish_kl_kernel"}},
    {"class_distance_sums",
     {"count_members_kernel", "block_total_kernel", "block_base_kernel", "block_scan_kernel",
      "list_members_kernel", "class_sums_kernel"}},
};

}  // namespace hourglass::bench
