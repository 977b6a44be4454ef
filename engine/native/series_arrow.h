// Tag columns in Arrow's C data interface, in and out. Pure C++: the capsules are series_python.cpp's business.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow_abi.h"
#include "series.h"

namespace flightline {

constexpr int64_t ARROW_NULLABLE = 2;

struct ArrowColumn {
    const ArrowSchema* schema;  // null: the tag is null in all rows
    const ArrowArray* array;
};

// The series number of each row; new series are added. The index's writer calls it.
// Throws std::invalid_argument for a type that is no string and for columns that are shorter than `rows`.
void resolve_series(SeriesIndex& index, const std::vector<ArrowColumn>& columns, int64_t rows, int32_t* numbers);

// One exported array (or schema) and what keeps its memory. Children are exported with their parent and released by it.
struct ArrowNode {
    std::string format;
    std::string name;
    int64_t flags = 0;
    int64_t length = 0;
    int64_t null_count = 0;
    std::vector<const void*> buffers;
    std::vector<ArrowNode> children;
    std::vector<ArrowNode> dictionary;  // one, or none
};

// Fills `schema` and `array` from `node`; `owner` lives until the last of the arrays is released.
void export_schema(const ArrowNode& node, ArrowSchema& schema);
void export_array(const ArrowNode& node, const std::shared_ptr<void>& owner, ArrowArray& array);

// The distinct values of a tag by code, as utf8. Throws std::length_error beyond 2 GiB.
void export_values(const SeriesIndex& index, int tag, ArrowSchema& schema, ArrowArray& array);
// The value of a tag in each of these series, as utf8.
void export_values_of(const SeriesIndex& index, int tag, const std::vector<int32_t>& series, ArrowSchema& schema, ArrowArray& array);

// These tags in each of the rows, whose series are given, as a struct of dictionaries (int32 to utf8). The dictionary has all
// values of the tag, by code.
void export_columns(const SeriesIndex& index, const std::vector<int32_t>& tags, const int32_t* series, int64_t rows,
                    ArrowSchema& schema, ArrowArray& array);

}  // namespace flightline
