// The grammar of one line, byte by byte, with every error text. Slow, exact, and the only place that says what is wrong with a line.
//
// G1  A line ends at the first '\n' that is neither escaped nor inside a quoted field value (line_end); `\r` before it belongs to the end.
// G2  read_line accepts exactly what the fast reader in lines.cpp may accept, with the same meaning.
// G3  Time is linear in the length of the line; nothing recurses; nothing outside [begin, end) is read.
//
// Held by tests/property/test_line_protocol_property.py (G1, G2) and tests/native/fuzz_lines.cpp (G3).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lines_limits.h"
#include "lineschema.h"

namespace flightline {

struct FieldPart {
    std::string_view name;
    FieldType type;
    union {
        double number;
        int64_t integer;
        uint64_t uinteger;
        bool boolean;
    };
    std::string_view text;
};

// A line taken apart. Views point into the line or into `scratch`.
struct LineParts {
    std::string_view measurement;
    std::vector<std::pair<std::string_view, std::string_view>> tags;
    std::vector<FieldPart> fields;
    bool has_timestamp = false;
    int64_t timestamp = 0;
    std::string scratch;
};

// The '\n' that ends the line beginning at `p`, or `end`.
const char* line_end(const char* p, const char* end);

// The measurement and the tags from `p`; returns where they end, or null with `error` set.
const char* read_series(const char* p, const char* end, LineParts& parts, std::string& error);

// The whole line, or false with `error` set.
bool read_line(const char* begin, const char* end, LineParts& parts, std::string& error);

// A float that matches the grammar's -?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?, correctly rounded; what is too large is infinite.
double to_float(const char* begin, const char* end);

}  // namespace flightline
