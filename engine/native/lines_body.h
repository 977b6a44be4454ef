// What the parser knows of a table while it reads one body: its columns by name, what the next line probably looks like, and the part
// of its rows that is being written.
//
// B1  A part may use SPARSE_RATIO bytes of cells per byte of its lines; what goes beyond is taken from an allowance that all tables of
//     the body share. A part that would exceed both is closed and another begun (lines.h P5), except that it may always have one line.
// B2  Guesses (Expected, TagPlace) are checked before they are used, so a wrong one costs time only.
//
// Held by tests/unit/engine/test_line_protocol.py (B1) and tests/property/test_line_protocol_property.py (B2).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lines_limits.h"
#include "lines_rows.h"

namespace flightline {

// How far a field's name may be compared without asking.
constexpr size_t NAME_AHEAD = 32;

struct BodyColumn {
    std::string name;
    bool is_tag;
    FieldType type;            // of a field
    int32_t position;          // among the tags or among the fields
    Column* column = nullptr;  // of a field, in the current part; null before its first value there
    int64_t seen_line = -1;    // the last line that was checked and had it
};

// The field that came at this place in the previous line: its name as written, with the equals sign.
struct Expected {
    alignas(16) char text[NAME_AHEAD];
    uint32_t mask;  // a bit for each byte that counts; 0 when the name is too long for this
    uint32_t size;
    Column* column;
};

// The tag that came n-th in the previous line; and, of the tag at position n, the previous value and its code.
struct TagPlace {
    int32_t position = -1;
    int32_t code = UNKNOWN;
    std::string_view value;  // the index's copy
};

class BodyTable {
  public:
    static constexpr size_t EXPECTED_LIMIT = 4096, TAG_PLACES = 64;

    BodyTable(std::string name, std::shared_ptr<const Table> known);

    const std::string name;
    const std::shared_ptr<const Table> table;  // null for one that the schema lacks
    const Reading index;
    const uint32_t id;
    const bool is_plain;  // the name is spelled one way only

    size_t known_tags() const { return table == nullptr ? 0 : table->tags.size(); }
    size_t tag_count() const { return known_tags() + added_tags_->size(); }
    const std::string& tag(size_t position) const {
        return position < known_tags() ? table->tags[position] : (*added_tags_)[position - known_tags()];
    }
    int64_t column_count() const { return static_cast<int64_t>(tag_count()) + field_count_; }

    BodyColumn* find(std::string_view column_name);
    void add_tag(std::string_view tag_name);
    BodyColumn* add_field(std::string_view field_name, FieldType type);

    // The field's column in the current part, made if need be; null when the part has no room for another column.
    Column* column(BodyColumn& of, int64_t sparse_left) {
        if (FL_LIKELY(of.column != nullptr)) return of.column;
        return part->rows > 0 && !fits(capacity_, 1, sparse_left) ? nullptr : make_column(of);
    }

    // ---- the current part
    std::shared_ptr<TableRows> part;
    int64_t part_number = 0;
    int64_t bytes = 0;  // of its lines
    std::vector<Expected> expected;
    size_t expected_count = 0;
    std::vector<TagPlace> tag_places;  // TAG_PLACES at most

    int64_t capacity() const { return capacity_; }
    TagPlace* tag_place(size_t nth) {
        if (nth >= tag_places.size()) {
            if (nth >= TAG_PLACES) return nullptr;
            tag_places.resize(nth + 1);
        }
        return &tag_places[nth];
    }

    bool has_room() const { return part->rows < capacity_; }
    // Makes room for one more row; false when a new part must begin. `share` is how many times as many rows the rest of the body may hold.
    bool grow(double share, int64_t rest, int64_t sparse_left);
    // Would the part stay within its bounds with more columns?
    bool fits(int64_t capacity, int64_t more_columns, int64_t sparse_left) const {
        return capacity * (width() + more_columns * CELL) - SPARSE_RATIO * bytes <= sparse_left;
    }
    // Ends the part and begins another; returns what it took from the allowance.
    int64_t begin_part();

  private:
    static constexpr int64_t FIRST_ROWS = 4, CELL = 8;

    int64_t width() const { return static_cast<int64_t>(part->columns.size()) * CELL + 12; }
    BodyColumn* add(BodyColumn column, uint64_t hash);
    Column* make_column(BodyColumn& of);

    std::shared_ptr<std::vector<std::string>> added_tags_;
    int32_t field_count_ = 0;  // new ones included
    std::vector<std::unique_ptr<BodyColumn>> columns_;
    NameMap names_;
    std::vector<BodyColumn*> in_part_;  // those that have a column there
    int64_t capacity_ = 0;
};

}  // namespace flightline
