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
#include <string_view>
#include <vector>

#include "lines_rows.h"
#include "lineschema.h"

namespace flightline {

enum class Precision : int { AUTO = 0, SECOND = 1, MILLISECOND = 2, MICROSECOND = 3, NANOSECOND = 4 };

struct ParseOptions {
    Precision precision = Precision::AUTO;
    int64_t now_ns = 0;
    bool stop_at_first_error = false;
    int64_t tables_left = -1;
    int64_t table_count = 0;
    int64_t error_limit = -1;  // more errors are counted (lines less rows) and not kept
};

struct LineError {
    int64_t line_number;        // of the body, from 1
    size_t message;             // its place among the messages
    std::string_view original;  // up to 1024 bytes of the body as they came, valid UTF-8 or not
};

struct ParseResult {
    int64_t lines = 0;  // rows and refused lines
    int64_t rows = 0;
    bool takes_now = false;  // some row may have its time from the options
    std::vector<std::shared_ptr<TableRows>> tables;
    std::vector<LineError> errors;      // point into the body
    std::vector<std::string> messages;  // of the errors; one that follows itself stands here once
};

ParseResult parse_lines(const LineSchema& schema, const char* body, size_t size, const ParseOptions& options);

}  // namespace flightline
