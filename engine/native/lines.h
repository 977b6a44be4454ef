// Line protocol to columns: one pass over a body, pure with respect to the schema and every index.
//
// P1  Each line is a row or an error, never both and never neither (blank lines and comments are nothing). A refused line leaves no
//     trace: no column, tag, series or table comes from it.
// P2  Parsing changes neither the schema nor an index. Series that the index lacks get numbers of their own, below zero, until settle().
// P3  Time is linear in the body; memory is proportional to it (lines_limits.h); nothing outside the body is read.
// P4  What the fast reader is not sure about it leaves to the grammar (lines_grammar.h), which sees the whole line again.
// P5  A table occurs more than once in the result only when its rows do not fit into one batch: more than 2 GiB of text in a column, or
//     so few values per column that the nulls would outweigh the body. Later parts build on earlier ones.
//
// Held by tests/unit/engine/test_line_protocol.py (P1, P2, P5), tests/property/test_line_protocol_property.py (P1, P4),
// tests/native/fuzz_lines.cpp (P1-P3).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lines_columns.h"
#include "lineschema.h"

namespace flightline {

enum class Precision : int { AUTO = 0, SECOND = 1, MILLISECOND = 2, MICROSECOND = 3, NANOSECOND = 4 };

struct ParseOptions {
    Precision precision = Precision::AUTO;
    int64_t now_ns = 0;
    bool stop_at_first_error = false;
    int64_t tables_left = -1;
    int64_t table_count = 0;
};

struct LineError {
    int64_t line_number;  // of the body, from 1
    std::string message;
    std::string original;  // up to 1024 bytes as they came, valid UTF-8 or not
};

// Memory handed out piece by piece; pieces stay where they are.
class TextArena {
  public:
    char* take(size_t size) {
        if (size > left_) {
            const size_t block = size > 65536 ? size : (blocks_.empty() ? 4096 : 65536);
            blocks_.emplace_back();
            blocks_.back().grow(block > size ? block : size);
            next_ = blocks_.back().data();
            left_ = blocks_.back().size();
        }
        char* piece = next_;
        next_ += size;
        left_ -= size;
        return piece;
    }
    std::string_view keep(std::string_view text) {
        if (text.empty()) return {};
        char* piece = take(text.size());
        std::memcpy(piece, text.data(), text.size());
        return {piece, text.size()};
    }

  private:
    std::vector<Block> blocks_;
    char* next_ = nullptr;
    size_t left_ = 0;
};

// The rows of one table in one body.
class TableRows {
  public:
    std::string name;
    bool is_new = false;
    std::vector<std::string> tags;  // all of the table's, new ones included
    std::vector<std::string> new_tags;
    std::vector<Field> new_fields;
    int64_t rows = 0;
    int64_t time_min_ns = 0, time_max_ns = 0;

    Block series;  // int32
    Block times;   // int64
    std::vector<std::unique_ptr<Column>> columns;  // by position, each with at least one value

    // Gives the unknown series their numbers and registers spellings. The index's writer calls it, once.
    // Throws std::invalid_argument for an index that is not the table's.
    void settle(SeriesIndex& index);
    bool settled() const { return settled_; }
    int64_t new_series() const { return static_cast<int64_t>(pending_.size()); }

    // ---- the parser's side
    void set_index(std::shared_ptr<const SeriesIndex> index) { index_ = std::move(index); }
    // The number (below zero) of the series with this key: for each tag up to the last that is not null a length plus one, then the value.
    int32_t pend(std::string_view key);
    // The spelling of a series, kept for settle().
    std::string_view note_alias(std::string_view text, uint64_t hash, int32_t series);

  private:
    struct Spelling {
        std::string_view text;
        uint64_t hash;
        int32_t series;
    };

    std::shared_ptr<const SeriesIndex> index_;  // null for a new table
    bool settled_ = false;
    TextArena arena_;
    NameMap pending_numbers_;
    std::vector<std::string_view> pending_;
    std::vector<Spelling> spellings_;
};

struct ParseResult {
    int64_t lines = 0;
    int64_t rows = 0;
    std::vector<std::shared_ptr<TableRows>> tables;
    std::vector<LineError> errors;
};

ParseResult parse_lines(const LineSchema& schema, const char* body, size_t size, const ParseOptions& options);

}  // namespace flightline
