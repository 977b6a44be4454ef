// Rows of Arrow batches as text: JSON objects, lines of CSV, cells of a table. Pure C++; Python's side is python.cpp.
//
// E1  A batch is read only if its types are those of the schema the encoder was made for, and its arrays have the buffers and
//     children that the C data interface prescribes; what the buffers hold (lengths of strings, of lists) is believed.
// E2  In JSON a null column is left out of its object, a float that is no finite number is null, and a null in a list is null.
//     Elsewhere a null is empty.
// E3  A piece ends with a whole row, as soon as it has PIECE_BYTES.
// E4  A cell of CSV is quoted when it holds a comma, a quote or the end of a line, or is empty and alone in its line.
//
// Held by tests/native/fuzz_encode.cpp (E1-E4), tests/unit/engine/test_encode.py (E1, E3) and tests/unit/httpapi/test_formats.py
// (E2, E4).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../arrow_abi.h"
#include "text.h"

namespace flightline::encode {

constexpr size_t PIECE_BYTES = 256 * 1024;

enum class Form { JSON, JSON_LINES, CSV, CELLS };

// The offset of a named zone, in seconds, at a moment (seconds since 1970, UTC). May throw; what it throws ends the encoding.
using ZoneOffset = std::function<int64_t(const std::string& zone, int64_t moment)>;

// A column, or what a column is made of, and the array it is read from at present.
class Column {
  public:
    explicit Column(const ArrowSchema& schema) : format_(schema.format), name_(schema.name == nullptr ? "" : schema.name) {}
    Column(const Column&) = delete;
    Column& operator=(const Column&) = delete;
    virtual ~Column() = default;

    const std::string& name() const { return name_; }
    const std::string& format() const { return format_; }

    // Throws std::invalid_argument for an array that cannot be of this type (E1).
    virtual void bind(const ArrowArray& array) = 0;
    bool is_null(int64_t row) const {
        if (validity_ == nullptr) return nulls_elsewhere_ && is_null_elsewhere(row);
        const int64_t place = array_->offset + row;
        return (validity_[place >> 3] >> (place & 7) & 1) == 0 || (nulls_elsewhere_ && is_null_elsewhere(row));
    }
    virtual void put(Text& out, int64_t row) const = 0;  // the row is not null
    virtual bool may_need_quotes() const { return false; }

  protected:
    const ArrowArray* array_ = nullptr;
    bool nulls_elsewhere_ = false;  // not only in the validity of the array

    virtual bool is_null_elsewhere(int64_t) const { return false; }

    // Takes the array, which must have this many buffers and children.
    void take(const ArrowArray& array, int64_t buffers, int64_t children);
    template <typename T>
    const T* buffer(int64_t number) const {
        return static_cast<const T*>(array_->buffers[number]);
    }

  private:
    const std::string format_, name_;
    const uint8_t* validity_ = nullptr;
};

// Throws std::invalid_argument, with a sentence, for a type that has no spelling.
std::unique_ptr<Column> make_column(const ArrowSchema& schema, bool json, const ZoneOffset& zone_offset);

// Whether a schema has the types that another one had.
bool same_types(const ArrowSchema& one, const ArrowSchema& other);

class Encoder {
  public:
    Encoder(const ArrowSchema& schema, Form form, ZoneOffset zone_offset);

    // Appends rows from `row` on until a piece is full; returns the first row that is not in it. A batch is a struct.
    int64_t encode(const ArrowArray& batch, int64_t row, Text& out);
    void end(Text& out);

    // One cell of a bound batch, as shown to people.
    void bind(const ArrowArray& batch);
    void cell(size_t column, int64_t row, Text& out) const;
    size_t column_count() const { return columns_.size(); }

  private:
    const Form form_;
    const ZoneOffset zone_offset_;
    std::vector<std::unique_ptr<Column>> columns_;
    std::vector<std::string> keys_;  // of JSON: ,"name":
    std::string header_;             // of CSV, until it is out
    bool begun_ = false;

    void put_object(Text& out, int64_t row) const;
    void put_line(Text& out, int64_t row) const;
};

}  // namespace flightline::encode
