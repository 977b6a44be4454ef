// See series_rank.h. Each tag's values are put in order once, so series are compared by small numbers and not by texts.
#include "series_rank.h"

#include <algorithm>

namespace flightline {

namespace {

// Writes the place of each series' value among the values that these series have, -1 for null; `stride` apart.
void rank_values(const SeriesIndex& index, int tag, const std::vector<int32_t>& series, int32_t* places, size_t stride) {
    std::vector<int32_t> place_of(static_cast<size_t>(index.code_count(tag)), -1);
    std::vector<int32_t> used;
    for (size_t i = 0; i < series.size(); ++i) {
        const int32_t code = index.code(tag, series[i]);
        places[i * stride] = code;
        if (code == NULL_CODE || place_of[code] >= 0) continue;
        place_of[code] = 0;
        used.push_back(code);
    }
    std::sort(used.begin(), used.end(), [&](int32_t a, int32_t b) { return index.value(tag, a) < index.value(tag, b); });
    for (size_t i = 0; i < used.size(); ++i) place_of[used[i]] = static_cast<int32_t>(i);
    for (size_t i = 0; i < series.size(); ++i) {
        int32_t& place = places[i * stride];
        if (place != NULL_CODE) place = place_of[place];
    }
}

}  // namespace

std::vector<int32_t> rank_series(const SeriesIndex& index, const std::vector<std::pair<const int32_t*, int64_t>>& parts) {
    std::vector<int32_t> ranks(static_cast<size_t>(index.size()), 0);
    std::vector<int32_t> series;
    for (const auto& [numbers, count] : parts) {
        for (int64_t i = 0; i < count; ++i) {
            int32_t& seen = ranks[static_cast<size_t>(numbers[i])];
            if (seen == 0) series.push_back(numbers[i]);
            seen = 1;
        }
    }
    const auto tags = static_cast<size_t>(index.tag_count());
    std::vector<int32_t> places(series.size() * tags);
    for (size_t tag = 0; tag < tags; ++tag) rank_values(index, static_cast<int>(tag), series, places.data() + tag, tags);
    std::vector<int32_t> order(series.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        const int32_t *first = places.data() + static_cast<size_t>(a) * tags, *second = places.data() + static_cast<size_t>(b) * tags;
        return std::lexicographical_compare(first, first + tags, second, second + tags);
    });
    for (size_t i = 0; i < order.size(); ++i) ranks[static_cast<size_t>(series[order[i]])] = static_cast<int32_t>(i);
    return ranks;
}

}  // namespace flightline
