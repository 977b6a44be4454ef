// Text that grows, and how numbers and moments are spelled in it.
//
// N1  A float is the shortest text that reads back as the same float, and always looks like one: it has a point or an exponent.
// N2  A moment has 0, 3, 6 or 9 digits of fraction, as few as say it.
// N3  A string in JSON reads back as it was; what needs no escape gets none.
//
// Held by tests/property/test_formats.py (N1-N3).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

namespace flightline::encode {

class Text {
  public:
    Text() = default;
    Text(const Text&) = delete;
    Text& operator=(const Text&) = delete;
    ~Text() { std::free(begin_); }

    const char* data() const { return begin_; }
    char* data() { return begin_; }
    size_t size() const { return size_; }
    std::string_view view(size_t from = 0) const { return {begin_ + from, size_ - from}; }
    void clear() { size_ = 0; }
    void truncate(size_t size) { size_ = size; }

    // Room for `bytes` more: the place to write them, to be followed by `wrote`.
    char* room(size_t bytes) {
        if (capacity_ - size_ < bytes) grow(bytes);
        return begin_ + size_;
    }
    void wrote(size_t bytes) { size_ += bytes; }

    void put(char c) {
        *room(1) = c;
        ++size_;
    }
    void put(std::string_view text) {
        copy(room(text.size()), text.data(), text.size());
        size_ += text.size();
    }

  private:
    char* begin_ = nullptr;
    size_t size_ = 0, capacity_ = 0;

    // Most of what is copied is short: no call for it. The two copies of a branch overlap.
    static void copy(char* to, const char* from, size_t size) {
        if (size > 16) {
            std::memcpy(to, from, size);
        } else if (size >= 8) {
            std::memcpy(to, from, 8);
            std::memcpy(to + size - 8, from + size - 8, 8);
        } else if (size >= 4) {
            std::memcpy(to, from, 4);
            std::memcpy(to + size - 4, from + size - 4, 4);
        } else {
            for (size_t place = 0; place < size; ++place) to[place] = from[place];
        }
    }

    void grow(size_t bytes) {
        size_t wanted = capacity_ < 4096 ? 4096 : capacity_ * 2;
        if (wanted < size_ + bytes) wanted = size_ + bytes;
        void* moved = std::realloc(begin_, wanted);
        if (moved == nullptr) throw std::bad_alloc();
        begin_ = static_cast<char*>(moved);
        capacity_ = wanted;
    }
};

// Two habits of writing floats: as in the JSON of InfluxDB 3, and as it shows them to people.
enum class FloatStyle { JSON, PLAIN };

void put_integer(Text& out, int64_t value);
void put_unsigned(Text& out, uint64_t value);
void put_float(Text& out, double value, FloatStyle style);  // finite; N1
void put_float(Text& out, float value, FloatStyle style);
void put_padded(Text& out, uint64_t value, int digits);

// A whole number of `limbs` 64-bit limbs (lowest first, two's complement), divided by ten to the power of `scale`.
void put_decimal(Text& out, const uint64_t* limbs, int count, int scale);

void put_date(Text& out, int64_t days);                                      // since 1970-01-01
void put_fraction(Text& out, int64_t fraction, int digits);                  // N2; of a second, in units of ten to the -digits
void put_clock(Text& out, int64_t seconds, int64_t fraction, int digits);    // of a day
void put_duration(Text& out, int64_t count, int digits);                     // ISO 8601, in units of ten to the -digits seconds
void put_interval(Text& out, int64_t months, int64_t days, int64_t nanoseconds);
void put_offset(Text& out, int64_t seconds);                                 // +hh:mm

void put_json_string(Text& out, std::string_view text);  // with its quotes; N3
void put_hex(Text& out, std::string_view bytes);

inline int64_t floor_divided(int64_t value, int64_t by) { return value / by - (value % by < 0 ? 1 : 0); }

}  // namespace flightline::encode
