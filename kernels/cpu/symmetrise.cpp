// symmetrise: the joint distribution P = (P_cond + P_cond^T) / (2 N) as a sparse matrix, from k
// neighbours a row.
//
// The edges are listed twice, by their origin and by their end (a counting sort, which leaves
// origins ascending); a row of P is the merge of both lists. 16 bytes an edge of workspace.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/checks.hpp"
#include "kernels/cpu/backend.hpp"

namespace hourglass::cpu {
namespace {

struct Edge {
  std::int32_t column;
  float value;
};

/// Calls sink(column, sum of the values) for the union of two lists with ascending columns.
template <class Sink>
void merge(const Edge* a, const Edge* a_end, const Edge* b, const Edge* b_end, Sink&& sink) {
  while (a != a_end || b != b_end) {
    if (b == b_end || (a != a_end && a->column < b->column)) {
      sink(a->column, a->value);
      ++a;
    } else if (a == a_end || b->column < a->column) {
      sink(b->column, b->value);
      ++b;
    } else {
      sink(a->column, a->value + b->value);
      ++a;
      ++b;
    }
  }
}

}  // namespace

void CpuBackend::symmetrise(MatrixView<const std::int32_t> index, ConstMat conditional,
                            CsrView affinities) {
  const char* name = "symmetrise";
  const std::int64_t n = index.rows, k = index.columns;
  require(conditional.rows == n && conditional.columns == k && affinities.rows == n, name,
          "index, conditional and affinities of as many rows");
  require(affinities.capacity >= 2 * n * k, name, "room for 2 N k affinities");

  std::vector<Edge> outgoing(static_cast<std::size_t>(n * k));
  pool_.for_ranges(n, 64, 512, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      Edge* row = outgoing.data() + i * k;
      for (std::int64_t a = 0; a < k; ++a) {
        row[a] = {index.data[i * k + a], conditional.data[i * k + a]};
      }
      std::sort(row, row + k, [](Edge x, Edge y) { return x.column < y.column; });
    }
  });

  std::vector<std::int64_t> incoming_begin(static_cast<std::size_t>(n) + 1, 0);
  for (const Edge& edge : outgoing) {
    require(edge.column >= 0 && edge.column < n, name, "neighbours from 0 to N - 1");
    ++incoming_begin[static_cast<std::size_t>(edge.column) + 1];
  }
  for (std::size_t i = 1; i < incoming_begin.size(); ++i) {
    incoming_begin[i] += incoming_begin[i - 1];
  }
  std::vector<Edge> incoming(outgoing.size());
  {
    std::vector<std::int64_t> next(incoming_begin.begin(), incoming_begin.end() - 1);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t a = 0; a < k; ++a) {
        const Edge& edge = outgoing[static_cast<std::size_t>(i * k + a)];
        incoming[static_cast<std::size_t>(next[static_cast<std::size_t>(edge.column)]++)] = {
            static_cast<std::int32_t>(i), edge.value};
      }
    }
  }

  const auto merge_row = [&](std::int64_t i, auto&& sink) {
    const Edge* out = outgoing.data() + i * k;
    merge(out, out + k, incoming.data() + incoming_begin[static_cast<std::size_t>(i)],
          incoming.data() + incoming_begin[static_cast<std::size_t>(i) + 1], sink);
  };
  affinities.offsets[0] = 0;
  pool_.for_ranges(n, 64, 512, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t count = 0;
      merge_row(i, [&](std::int32_t, float) { ++count; });
      affinities.offsets[i + 1] = count;
    }
  });
  for (std::int64_t i = 0; i < n; ++i)
    affinities.offsets[i + 1] += affinities.offsets[i];
  const float scale = static_cast<float>(1.0 / (2.0 * static_cast<double>(n)));
  pool_.for_ranges(n, 64, 512, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t at = affinities.offsets[i];
      merge_row(i, [&](std::int32_t column, float value) {
        affinities.columns[at] = column;
        affinities.values[at++] = scale * value;
      });
    }
  });
}

}  // namespace hourglass::cpu
