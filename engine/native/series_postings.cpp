#include "series_postings.h"

#include <algorithm>

namespace flightline {

namespace {

// For so few series no lists are made.
constexpr int64_t FEW = 4096;

void make_lists(const SeriesIndex& index, int tag, int64_t size, Postings::Lists& lists) {
    lists.starts.assign(2, 0);
    for (int64_t series = 0; series < size; ++series) {
        const auto place = static_cast<size_t>(index.code(tag, series) - NULL_CODE);
        if (place + 2 > lists.starts.size()) lists.starts.resize(place + 2, 0);
        ++lists.starts[place + 1];
    }
    for (size_t place = 1; place < lists.starts.size(); ++place) lists.starts[place] += lists.starts[place - 1];
    std::vector<int32_t> next(lists.starts.begin(), lists.starts.end() - 1);
    lists.numbers.resize(static_cast<size_t>(size));
    for (int64_t series = 0; series < size; ++series) {
        const auto place = static_cast<size_t>(index.code(tag, series) - NULL_CODE);
        lists.numbers[static_cast<size_t>(next[place]++)] = static_cast<int32_t>(series);
    }
    lists.size = size;
}

std::shared_ptr<const Postings::Lists> lists_of(const SeriesIndex& index, int tag, int64_t size) {
    Postings& postings = index.postings(tag);
    const std::lock_guard<std::mutex> guard(postings.lock);
    const int64_t covered = postings.lists ? postings.lists->size : 0;
    if (covered == 0 || size - covered > FEW + covered / 8) {
        auto made = std::make_shared<Postings::Lists>();
        make_lists(index, tag, size, *made);
        postings.lists = std::move(made);
    }
    return postings.lists;
}

}  // namespace

std::vector<int32_t> series_with(const SeriesIndex& index, int tag, const int32_t* codes, int64_t count) {
    const int64_t size = index.size();
    std::vector<int32_t> wanted(codes, codes + count), found;
    std::sort(wanted.begin(), wanted.end());
    int64_t covered = 0;
    if (size > FEW) {
        const auto lists = lists_of(index, tag, size);
        covered = std::min(size, lists->size);
        for (const int32_t code : wanted) {
            const auto place = static_cast<size_t>(code - NULL_CODE);
            if (place + 1 >= lists->starts.size()) continue;
            found.insert(found.end(), lists->numbers.begin() + lists->starts[place], lists->numbers.begin() + lists->starts[place + 1]);
        }
        if (wanted.size() > 1) std::sort(found.begin(), found.end());
        // made for one who asked later, they may have series that this one does not know of
        while (!found.empty() && found.back() >= size) found.pop_back();
    }
    for (int64_t series = covered; series < size; ++series) {
        if (std::binary_search(wanted.begin(), wanted.end(), index.code(tag, series))) found.push_back(static_cast<int32_t>(series));
    }
    return found;
}

}  // namespace flightline
