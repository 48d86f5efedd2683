// What plans of embeddings share with the code that they are made for.
#pragma once

#include <cstdint>

#include "host/embed/affinities.hpp"
#include "host/memory.hpp"

namespace hourglass {

/// compute_affinities() of x with k neighbours; what stays held is its result.
MemoryTimeline::Held plan_affinities(MemoryTimeline& memory, const DataShape& x, std::int64_t k,
                                     const NeighbourOptions& options = {
                                         .method = NeighbourMethod::exact});

/// given_neighbours() and affinities_from_neighbours(), beside the table that was read.
MemoryTimeline::Held plan_given_affinities(MemoryTimeline& memory, std::int64_t points,
                                           std::int64_t k);

}  // namespace hourglass
