// Which series have a value of a tag: asked by queries, so made when the first one asks.
//
// P1  `series_with` has every series, of those known when it is called, whose value has one of the codes, once and in order.
// P2  Lists are made of the series that there are, and again when an eighth more have come; those that came since are looked at
//     one by one. Who asks meanwhile waits; writers and other readers do not.
//
// Held by tests/unit/engine/test_series_index.py (P1, P2).
#pragma once

#include <cstdint>
#include <vector>

#include "series.h"

namespace flightline {

// `codes`: without a repetition; NULL_CODE stands for series that lack the tag.
std::vector<int32_t> series_with(const SeriesIndex& index, int tag, const int32_t* codes, int64_t count);

}  // namespace flightline
