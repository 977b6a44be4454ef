// What the native drivers share: a small database of tables around the parser, and a check of everything a result promises.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "lines.h"

#define REQUIRE(condition)                                                       \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                        \
        }                                                                        \
    } while (false)

namespace drive {

using namespace flightline;

// Takes over what a body adds, as the engine does. Writers are kept apart by `lock`.
class Database {
  public:
    Database(bool extend_tags, int64_t column_limit) : schema(extend_tags, column_limit) {}

    LineSchema schema;
    std::mutex lock;

    // False when another writer was first, so that the rows must be parsed again.
    bool admit(TableRows& rows) {
        const std::lock_guard guard(lock);
        Known& known = tables_[rows.name];
        if (rows.is_new == (known.index != nullptr)) return false;
        std::vector<std::string> tags = known.tags;
        tags.insert(tags.end(), rows.new_tags.begin(), rows.new_tags.end());
        if (tags.size() < rows.tag_count() || (!rows.new_tags.empty() && tags.size() != rows.tag_count())) return false;
        for (size_t i = 0; i < rows.tag_count(); ++i) {
            if (tags[i] != rows.tag(i)) return false;
        }
        for (const Field& field : rows.new_fields) {
            const auto type = known.types.find(field.name);
            if (type != known.types.end() && type->second != field.type) return false;
        }
        if (known.index == nullptr) known.index = std::make_shared<SeriesIndex>(0);
        known.index->add_tags(static_cast<int>(rows.new_tags.size()));
        known.tags = std::move(tags);
        for (const Field& field : rows.new_fields) {
            if (known.types.emplace(field.name, field.type).second) known.fields.push_back(field);
        }
        if (rows.is_new || !rows.new_tags.empty() || !rows.new_fields.empty())
            schema.put_table(rows.name, known.tags, known.fields, known.index);
        rows.settle(*known.index);
        return true;
    }

    std::shared_ptr<SeriesIndex> index(const std::string& name) {
        const std::lock_guard guard(lock);
        return tables_[name].index;
    }

  private:
    struct Known {
        std::vector<std::string> tags;
        std::vector<Field> fields;
        std::map<std::string, FieldType> types;
        std::shared_ptr<SeriesIndex> index;
    };
    std::map<std::string, Known> tables_;
};

inline uint64_t mix(uint64_t digest, const void* data, size_t size) {
    return fold(digest ^ hash_bytes(static_cast<const char*>(data), size), 0x9e3779b97f4a7c15u);
}

inline uint64_t mix(uint64_t digest, const std::string& text) { return mix(digest, text.data(), text.size()); }

// Checks the promises of a result and boils errors down to a number.
inline uint64_t check_errors(const ParseResult& result) {
    int64_t rows = 0, last_line = 0;
    for (const auto& table : result.tables) rows += table->rows;
    REQUIRE(rows == result.rows);
    REQUIRE(result.lines == result.rows + static_cast<int64_t>(result.errors.size()));
    uint64_t digest = static_cast<uint64_t>(result.lines);
    for (const LineError& error : result.errors) {
        REQUIRE(error.line_number > last_line);
        const std::string& message = result.messages[error.message];
        REQUIRE(!message.empty() && is_utf8(message.data(), message.size()));
        REQUIRE(!error.original.empty() && error.original.size() <= 1024);
        last_line = error.line_number;
        digest = mix(mix(mix(digest, &error.line_number, 8), message), std::string(error.original));
    }
    return digest;
}

// Checks settled rows and boils them down to a number that knows nothing of series numbers or of how rows are cut into parts.
inline uint64_t check_rows(const TableRows& rows, const SeriesIndex& index, uint64_t digest) {
    const auto* series = reinterpret_cast<const int32_t*>(rows.series.data());
    const auto* times = reinterpret_cast<const int64_t*>(rows.times.data());
    REQUIRE(rows.rows > 0 && !rows.columns.empty());
    REQUIRE(is_utf8(rows.name.data(), rows.name.size()));
    int32_t position = -1;
    std::vector<std::vector<std::string>> cells(static_cast<size_t>(rows.rows));
    for (const auto& column : rows.columns) {
        REQUIRE(column->filled == rows.rows && column->position > position);
        position = column->position;
        REQUIRE(is_utf8(column->name.data(), column->name.size()));
        if (column->type == FieldType::STRING) REQUIRE(column->offsets()[0] == 0);
        int64_t nulls = 0;
        for (int64_t row = 0; row < rows.rows; ++row) {
            std::string cell = column->name + static_cast<char>(column->type);
            if (column->type == FieldType::STRING) {
                const int32_t begin = column->offsets()[row], end = column->offsets()[row + 1];
                REQUIRE(begin <= end && static_cast<size_t>(end) <= column->text.size());
                REQUIRE(is_utf8(column->text.data() + begin, static_cast<size_t>(end - begin)));
                cell.append(column->text.data() + begin, static_cast<size_t>(end - begin));
            } else if (column->type == FieldType::BOOLEAN) {
                cell.push_back(static_cast<char>(column->values.data()[row >> 3] >> (row & 7) & 1));
            } else {
                cell.append(column->values.data() + row * 8, 8);
            }
            const bool valid = !column->validity || (column->validity.data()[row >> 3] >> (row & 7) & 1) != 0;
            nulls += !valid;
            if (valid) cells[static_cast<size_t>(row)].push_back(std::move(cell));
        }
        REQUIRE(nulls == column->nulls && nulls < rows.rows);
    }
    for (int64_t row = 0; row < rows.rows; ++row) {
        REQUIRE(series[row] >= 0 && series[row] < index.size());
        REQUIRE(rows.time_min_ns <= times[row] && times[row] <= rows.time_max_ns);
        digest = mix(digest, &times[row], 8);
        for (size_t tag = 0; tag < rows.tag_count(); ++tag) {
            const int32_t code = index.code(static_cast<int>(tag), series[row]);
            if (code < 0) continue;
            REQUIRE(code < index.code_count(static_cast<int>(tag)));
            digest = mix(mix(digest, rows.tag(tag)), std::string(index.value(static_cast<int>(tag), code)));
        }
        std::sort(cells[static_cast<size_t>(row)].begin(), cells[static_cast<size_t>(row)].end());
        for (const std::string& cell : cells[static_cast<size_t>(row)]) digest = mix(digest, cell);
    }
    return digest;
}

}  // namespace drive
