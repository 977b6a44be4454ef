// Columns that grow row by row in Arrow's own layout.
//
// C1  A row is written column by column at one position; it exists once TableRows::rows is beyond it. Undoing an unfinished row is
//     setting `filled` back for the columns it touched.
// C2  `filled` counts the rows a column has, nulls included: `filled == row` means writable now, less means nulls are due first,
//     more means this row has a value already.
// C3  A validity bitmap exists only once a null does; values under nulls are zero.
//
// Held by tests/unit/engine/test_line_protocol.py (C2, C3) and tests/native/fuzz_lines.cpp (C1-C3).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "lines_limits.h"
#include "lineschema.h"

namespace flightline {

// Bytes that can grow; not zeroed.
class Block {
  public:
    Block() = default;
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    Block(Block&& other) noexcept : data_(other.data_), size_(other.size_) {
        other.data_ = nullptr;
        other.size_ = 0;
    }
    ~Block() { std::free(data_); }

    void grow(size_t size) {
        data_ = static_cast<char*>(must(std::realloc(data_, size)));
        size_ = size;
    }
    char* data() const { return data_; }
    size_t size() const { return size_; }
    explicit operator bool() const { return data_ != nullptr; }

  private:
    char* data_ = nullptr;
    size_t size_ = 0;
};

inline void set_bit(char* bits, int64_t i, bool value) {
    char& byte = bits[i >> 3];
    const char mask = static_cast<char>(1 << (i & 7));
    byte = static_cast<char>(value ? byte | mask : byte & ~mask);
}

// What every value needs comes first, in one cache line.
struct alignas(64) Column {
    static constexpr size_t TEXT_SLACK = 32;  // bytes behind a text that may be written

    Column(std::string name_, FieldType type_, int32_t position_, int64_t capacity)
        : type(type_), position(position_), name(std::move(name_)) {
        reserve(capacity);
    }

    int64_t filled = 0;
    Block values;    // 8 bytes a row; for booleans a bit, for strings the int32 offsets
    Block validity;  // a bit a row
    const FieldType type;
    const int32_t position;  // among the table's fields
    int64_t nulls = 0;
    Block text;  // strings only
    const std::string name;

    void reserve(int64_t rows) {
        const auto count = static_cast<size_t>(rows);
        switch (type) {
            case FieldType::STRING:
                values.grow((count + 1) * 4);
                if (filled == 0) offsets()[0] = 0;
                break;
            case FieldType::BOOLEAN:
                values.grow((count + 7) / 8);
                break;
            default:
                values.grow(count * 8);
        }
        if (validity) validity.grow((count + 7) / 8);
        capacity_ = rows;
    }

    int32_t* offsets() const { return reinterpret_cast<int32_t*>(values.data()); }
    int64_t text_size() const { return offsets()[filled]; }

    // Nulls up to `row`.
    void pad(int64_t row) {
        if (filled >= row) return;
        if (!validity) {
            validity.grow(static_cast<size_t>(capacity_ + 7) / 8);
            std::memset(validity.data(), 0xFF, validity.size());
        }
        nulls += row - filled;
        switch (type) {
            case FieldType::STRING:
                for (int64_t i = filled; i < row; ++i) offsets()[i + 1] = offsets()[filled];
                break;
            case FieldType::BOOLEAN:
                for (int64_t i = filled; i < row; ++i) set_bit(values.data(), i, false);
                break;
            default:
                std::memset(values.data() + filled * 8, 0, static_cast<size_t>(row - filled) * 8);
        }
        for (int64_t i = filled; i < row; ++i) set_bit(validity.data(), i, false);
        filled = row;
    }

    // ---- one value at row `filled`
    template <class T>
    void put(int64_t row, T value) {
        static_assert(sizeof(T) == 8, "numbers take eight bytes");
        std::memcpy(values.data() + row * 8, &value, 8);
        done(row);
    }
    void put_boolean(int64_t row, bool value) {
        set_bit(values.data(), row, value);
        done(row);
    }
    // Room for `size` more bytes of text and TEXT_SLACK behind them, or null when a column cannot hold so much.
    char* text_room(size_t size) {
        const auto used = static_cast<size_t>(text_size());
        const size_t needed = used + size + TEXT_SLACK;
        if (FL_UNLIKELY(needed > text.size())) {
            if (needed > static_cast<size_t>(TEXT_LIMIT)) return nullptr;
            text.grow(needed < 64 ? 64 : needed * 2);
        }
        return text.data() + used;
    }
    void put_text(int64_t row, size_t size) {
        offsets()[row + 1] = offsets()[row] + static_cast<int32_t>(size);
        done(row);
    }

  private:
    void done(int64_t row) {
        if (FL_UNLIKELY(static_cast<bool>(validity))) set_bit(validity.data(), row, true);
        filled = row + 1;
    }

    int64_t capacity_ = 0;
};

}  // namespace flightline
