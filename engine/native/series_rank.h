// The order of series in files: by the bytes of their tags in the order of the key, null first.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "series.h"

namespace flightline {

// For each series of the index its place among those that `parts` name; 0 for all others. Every number must be that of a series.
std::vector<int32_t> rank_series(const SeriesIndex& index, const std::vector<std::pair<const int32_t*, int64_t>>& parts);

}  // namespace flightline
