#include "lines_rows.h"

#include <algorithm>
#include <stdexcept>

namespace flightline {

TableRows::TableRows(std::string name_, bool is_new_, std::shared_ptr<const Table> known,
                     std::shared_ptr<const std::vector<std::string>> added)
    : name(std::move(name_)), is_new(is_new_), known_(std::move(known)), added_(std::move(added)) {}

int32_t TableRows::pend(std::string_view key) {
    const uint64_t hash = hash_bytes(key);
    const int32_t known = pending_numbers_.find(key, hash);
    if (known != NameMap::NONE) return -1 - known;
    const auto number = static_cast<int32_t>(pending_.size());
    pending_.push_back(arena_.keep(key));
    pending_numbers_.insert(pending_.back(), hash, number);
    return -1 - number;
}

std::string_view TableRows::note_alias(std::string_view text, uint64_t hash, int32_t of_series) {
    const std::string_view kept = arena_.keep(text);
    spellings_.push_back({kept, hash, of_series});
    return kept;
}

void TableRows::close() {
    added_count_ = added_->size();
    for (auto& column : columns) column->pad(rows);
    columns.erase(std::remove_if(columns.begin(), columns.end(), [](const auto& column) { return column->nulls == column->filled; }),
                  columns.end());
    std::sort(columns.begin(), columns.end(), [](const auto& a, const auto& b) { return a->position < b->position; });
    const auto* at = reinterpret_cast<const int64_t*>(times.data());
    int64_t earliest = INT64_MAX, latest = INT64_MIN;
    for (int64_t row = 0; row < rows; ++row) {
        earliest = at[row] < earliest ? at[row] : earliest;
        latest = at[row] > latest ? at[row] : latest;
    }
    time_min_ns = earliest;
    time_max_ns = latest;
}

void TableRows::settle(SeriesIndex& index) {
    if (settled_) throw std::invalid_argument("settled already");
    if (known_ != nullptr && known_->index.get() != &index) {
        throw std::invalid_argument("the index is not the one that table '" + name + "' had when it was parsed");
    }
    if (static_cast<size_t>(index.tag_count()) < tag_count())
        throw std::invalid_argument("the index has fewer tags than table '" + name + "'");
    std::vector<int32_t> numbers;
    std::vector<TagCode> codes;
    numbers.reserve(pending_.size());
    for (const std::string_view key : pending_) {
        codes.clear();
        for (const char* p = key.data(); p < key.data() + key.size();) {
            const auto position = static_cast<int32_t>(load32(p));
            const uint32_t size = load32(p + 4);
            codes.push_back({position, index.intern(position, {p + 8, size})});
            p += 8 + size;
        }
        numbers.push_back(index.get_or_add(codes.data(), codes.size()));
    }
    for (const Spelling& each : spellings_) {
        index.add_alias(each.hash, each.text, each.series < 0 ? numbers[static_cast<size_t>(-1 - each.series)] : each.series);
    }
    if (!numbers.empty()) {
        auto* at = reinterpret_cast<int32_t*>(series.data());
        for (int64_t row = 0; row < rows; ++row) {
            if (at[row] < 0) at[row] = numbers[static_cast<size_t>(-1 - at[row])];
        }
    }
    settled_ = true;
}

}  // namespace flightline
