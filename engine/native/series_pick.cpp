// See series_pick.h. Groups are numbered tag by tag: those that agree so far, and in the next tag's code too, are one.
#include "series_pick.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace flightline {

namespace {

// Beyond so many codes for each row, those that rows have are looked at one by one.
constexpr int64_t SPARSE = 4, ALWAYS_DENSE = 1024;

bool is_dense(int64_t codes, int64_t rows) { return codes <= rows * SPARSE + ALWAYS_DENSE; }

// Replaces the group of each row by that of (group, code); returns how many there are.
int32_t split(const SeriesIndex& index, int tag, const int32_t* series, std::vector<int32_t>& groups, int32_t count) {
    const auto rows = static_cast<int64_t>(groups.size());
    const int64_t codes = index.code_count(tag);
    int32_t next = 0;
    if (count == 1 && is_dense(codes, rows)) {
        std::vector<int32_t> known(static_cast<size_t>(codes) + 1, -1);
        for (int64_t i = 0; i < rows; ++i) {
            const int64_t code = index.code(tag, series[i]);
            if (code >= codes) throw std::invalid_argument("a series is newer than its index");
            int32_t& number = known[static_cast<size_t>(code + 1)];
            if (number < 0) number = next++;
            groups[static_cast<size_t>(i)] = number;
        }
        return next;
    }
    std::unordered_map<uint64_t, int32_t> known;
    for (int64_t i = 0; i < rows; ++i) {
        int32_t& group = groups[static_cast<size_t>(i)];
        const auto code = static_cast<uint32_t>(index.code(tag, series[i]) + 1);
        const auto [found, added] = known.try_emplace(static_cast<uint64_t>(group) << 32 | code, next);
        next += added ? 1 : 0;
        group = found->second;
    }
    return next;
}

// The place of each code among a tag's values, kept for the next one who asks.
std::shared_ptr<std::vector<int32_t>> places_of(const SeriesIndex& index, int tag) {
    SeriesIndex::Exported& last = index.exported(tag);
    const std::lock_guard<std::mutex> held(last.lock);
    const int32_t count = index.code_count(tag);
    if (last.places == nullptr || static_cast<int32_t>(last.places->size()) != count) {
        std::vector<int32_t> codes(static_cast<size_t>(count));
        for (int32_t code = 0; code < count; ++code) codes[static_cast<size_t>(code)] = code;
        std::sort(codes.begin(), codes.end(), [&](int32_t a, int32_t b) { return index.value(tag, a) < index.value(tag, b); });
        auto places = std::make_shared<std::vector<int32_t>>(codes.size());
        for (size_t i = 0; i < codes.size(); ++i) (*places)[static_cast<size_t>(codes[i])] = static_cast<int32_t>(i);
        last.places = std::move(places);
    }
    return last.places;
}

void put_in_order(const SeriesIndex& index, int tag, const int32_t* series, std::vector<int32_t>& picked, const GroupOrder& order) {
    struct Keyed {
        int32_t row, code;
    };
    std::vector<Keyed> keyed;
    keyed.reserve(picked.size());
    for (const int32_t row : picked) keyed.push_back({row, index.code(tag, series[row])});
    const auto sort = [&](auto is_before) {
        std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
            if (a.code < 0 || b.code < 0) return a.code != b.code && (a.code < 0) == order.nulls_first;
            return order.ascending ? is_before(a.code, b.code) : is_before(b.code, a.code);
        });
    };
    if (is_dense(index.code_count(tag), static_cast<int64_t>(picked.size()))) {
        const auto places = places_of(index, tag);
        sort([&](int32_t a, int32_t b) { return (*places)[static_cast<size_t>(a)] < (*places)[static_cast<size_t>(b)]; });
    } else {
        sort([&](int32_t a, int32_t b) { return index.value(tag, a) < index.value(tag, b); });
    }
    for (size_t i = 0; i < keyed.size(); ++i) picked[i] = keyed[i].row;
}

}  // namespace

std::vector<int32_t> pick_rows(const SeriesIndex& index, const std::vector<int32_t>& tags, const int32_t* series, const int64_t* times,
                               int64_t rows, bool newest, const GroupOrder& order) {
    std::vector<int32_t> groups(static_cast<size_t>(rows), 0);
    int32_t count = rows == 0 ? 0 : 1;
    for (const int32_t tag : tags) count = split(index, tag, series, groups, count);
    std::vector<int32_t> picked(static_cast<size_t>(count), -1);
    for (int64_t i = 0; i < rows; ++i) {
        int32_t& best = picked[static_cast<size_t>(groups[static_cast<size_t>(i)])];
        if (best < 0 || (newest ? times[i] >= times[best] : times[i] < times[best])) best = static_cast<int32_t>(i);
    }
    if (order.wanted && !tags.empty()) put_in_order(index, tags[0], series, picked, order);
    return picked;
}

}  // namespace flightline
