// The rows of one table in one body: what parsing leaves behind, and what settling makes of it.
//
// U1  A series that the index knew has its number; one it did not know has a number below zero until settle().
// U2  After settle() nothing changes any more: exported arrays share this memory.
//
// Held by tests/unit/engine/test_line_protocol.py (U1, U2).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lines_columns.h"
#include "lineschema.h"

namespace flightline {

// Memory handed out piece by piece; pieces stay where they are.
class TextArena {
  public:
    std::string_view keep(std::string_view text) {
        if (text.empty()) return {};
        if (text.size() > left_) {
            blocks_.emplace_back();
            blocks_.back().grow(std::max(text.size(), blocks_.size() == 1 ? FIRST_BLOCK : BLOCK));
            next_ = blocks_.back().data();
            left_ = blocks_.back().size();
        }
        char* piece = next_;
        std::memcpy(piece, text.data(), text.size());
        next_ += text.size();
        left_ -= text.size();
        return {piece, text.size()};
    }

  private:
    static constexpr size_t FIRST_BLOCK = 256, BLOCK = 65536;

    std::vector<Block> blocks_;
    char* next_ = nullptr;
    size_t left_ = 0;
};

class TableRows {
  public:
    // `known` is null for a table that the schema lacks. `added` are the tags that the body adds to it, shared by its parts.
    TableRows(std::string name, bool is_new, std::shared_ptr<const Table> known, std::shared_ptr<const std::vector<std::string>> added);

    const std::string name;
    const bool is_new;
    std::vector<std::string> new_tags;  // first seen in these rows; so with fields
    std::vector<Field> new_fields;
    int64_t rows = 0;
    int64_t time_min_ns = 0, time_max_ns = 0;

    Block series;                                  // int32
    Block times;                                   // int64
    std::vector<std::unique_ptr<Column>> columns;  // by position, each with at least one value

    // All tags of the table as these rows see them.
    size_t tag_count() const { return known_tags() + added_count_; }
    const std::string& tag(size_t position) const {
        return position < known_tags() ? known_->tags[position] : (*added_)[position - known_tags()];
    }
    int64_t new_series() const { return static_cast<int64_t>(pending_.size()); }

    // Gives the unknown series their numbers and registers spellings. The index's writer calls it, once.
    // Throws std::invalid_argument for an index that is not the table's.
    void settle(SeriesIndex& index);
    bool settled() const { return settled_; }

    // ---- the parser's side

    // The number (below zero) of the series with this key: for each tag that is not null its position, its size and its value.
    int32_t pend(std::string_view key);
    // Keeps a spelling of a series for settle().
    std::string_view note_alias(std::string_view text, uint64_t hash, int32_t of_series);
    // No more rows: nulls to the end, columns without a value dropped, the others in order.
    void close();

  private:
    struct Spelling {
        std::string_view text;
        uint64_t hash;
        int32_t series;
    };

    size_t known_tags() const { return known_ == nullptr ? 0 : known_->tags.size(); }

    const std::shared_ptr<const Table> known_;
    const std::shared_ptr<const std::vector<std::string>> added_;
    size_t added_count_ = 0;
    bool settled_ = false;
    TextArena arena_;
    NameMap pending_numbers_;
    std::vector<std::string_view> pending_;
    std::vector<Spelling> spellings_;
};

// A series key for pend(), tag by tag in ascending order.
inline void append_key(std::string& key, int32_t position, std::string_view value) {
    const uint32_t head[2] = {static_cast<uint32_t>(position), static_cast<uint32_t>(value.size())};
    key.append(reinterpret_cast<const char*>(head), sizeof(head));
    key.append(value);
}

}  // namespace flightline
