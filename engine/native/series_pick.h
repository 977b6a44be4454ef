// One row of each group of series: the last in time, or the first.
#pragma once

#include <cstdint>
#include <vector>

#include "series.h"

namespace flightline {

// By the value of a tag, if at all.
struct GroupOrder {
    bool wanted = false, ascending = true, nulls_first = false;
};

// The numbers of the rows with the newest (oldest) time among those whose series have the same values of `tags`; in the order of
// the first tag's values, or in that in which the groups were met. Every number must be that of a series.
std::vector<int32_t> pick_rows(const SeriesIndex& index, const std::vector<int32_t>& tags, const int32_t* series, const int64_t* times,
                               int64_t rows, bool newest, const GroupOrder& order);

}  // namespace flightline
