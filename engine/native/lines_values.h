// Field values read fast. Each function takes what it is sure of and leaves the rest (null) to the grammar.
//
// Functions without an `end` read up to VALUE_AHEAD bytes from `p`; the others stay below `end`.
#pragma once

#include <charconv>
#include <cstdint>

#include "lines_bytes.h"
#include "lines_columns.h"
#include "lines_grammar.h"

namespace flightline {

constexpr ptrdiff_t VALUE_AHEAD = 64;

// ---- numbers

// A whole number of up to 18 digits and the letter behind it; returns the place behind that.
inline const char* short_integer(const char* p, char letter, uint64_t& magnitude) {
    const unsigned digits = read_digits(p, magnitude);
    return FL_LIKELY(digits - 1 < 18 && p[digits] == letter) ? p + digits + 1 : nullptr;
}

// whole / 10^places, rounded to nearest even, for places up to 19. The quotient of the left-aligned numbers has 63 or 64 bits and the
// remainder tells whether it is exact, which is all that rounding to 53 bits needs.
inline double decimal(uint64_t whole, unsigned places) {
    if (whole == 0) return 0;
    const uint64_t power = powers_of_ten[places];
    const int shift_whole = __builtin_clzll(whole), shift_power = __builtin_clzll(power);
    const uint64_t dividend = whole << shift_whole, divisor = power << shift_power;
    const __uint128_t numerator = static_cast<__uint128_t>(dividend) << 63;
    auto quotient = static_cast<uint64_t>(numerator / divisor);
    uint64_t sticky = static_cast<uint64_t>(numerator) != quotient * divisor;
    int exponent = shift_power - shift_whole - 63;  // of the quotient's lowest bit
    const int shift = __builtin_clzll(quotient);
    quotient <<= shift;
    exponent -= shift;
    uint64_t mantissa = quotient >> 11;
    sticky |= (quotient & 0x3FF) != 0;
    const bool half = (quotient & 0x400) != 0;
    mantissa += half && (sticky != 0 || (mantissa & 1) != 0);
    // 2^53 carries into the exponent by itself; the exponent is far from the ends: 10^-19 to 10^20
    const uint64_t bits = (static_cast<uint64_t>(exponent + 11 + 52 + 1023 - 1) << 52) + mantissa;
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
}

// A float of up to 19 digits without an exponent.
inline const char* short_float(const char* p, double& value) {
    static constexpr double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10,
                                        1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21};
    const bool negative = *p == '-';
    if (FL_UNLIKELY(negative)) ++p;
    uint64_t whole;
    const unsigned before = read_digits(p, whole);
    if (before - 1 >= 19) return nullptr;
    p += before;
    double magnitude;
    if (*p == '.') {
        uint64_t fraction;
        const unsigned after = read_digits(p + 1, fraction);
        if (after == 0 || before + after > 19) return nullptr;
        p += 1 + after;
        whole = whole * powers_of_ten[after] + fraction;
        // up to 2^53 both are exact, so their quotient is correctly rounded
        magnitude = FL_LIKELY(whole <= uint64_t{1} << 53) ? static_cast<double>(whole) / POWERS[after] : decimal(whole, after);
    } else {
        magnitude = static_cast<double>(whole);
    }
    if ((*p | 0x20) == 'e') return nullptr;
    value = negative ? -magnitude : magnitude;
    return p;
}

// Any float whose value is in range.
inline const char* long_float(const char* p, const char* end, double& value) {
    const char* stop = p;
    while (stop < end && (is_digit(*stop) || *stop == '.' || *stop == '-' || *stop == '+' || (*stop | 0x20) == 'e')) ++stop;
    const char* digits = p < stop && *p == '-' ? p + 1 : p;
    if (digits == stop || !is_digit(*digits) || !is_digit(stop[-1])) return nullptr;
    for (const char* dot = digits; dot < stop; ++dot) {
        if (*dot == '.' && !is_digit(dot[1])) return nullptr;
    }
    const auto result = std::from_chars(p, stop, value);
    return result.ec == std::errc() && result.ptr == stop ? stop : nullptr;
}

// ---- booleans

// One of the ten words, with no letter behind it.
inline const char* boolean(const char* p, bool& value) {
    value = (*p | 0x20) == 't';
    if (!value && (*p | 0x20) != 'f') return nullptr;
    if ((p[1] | 0x20) < 'a') return p + 1;
    const uint32_t word = load32(p);
    if (value) return word == load32("true") || word == load32("True") || word == load32("TRUE") ? p + 4 : nullptr;
    const bool lower = (word == load32("fals") || word == load32("Fals")) && p[4] == 'e';
    return lower || (word == load32("FALS") && p[4] == 'E') ? p + 5 : nullptr;
}

// ---- strings

// The first quote or backslash in [p, end), or `end`; `high` tells of bytes that are not ASCII.
inline const char* string_stop(const char* p, const char* end, bool& high) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    while (end - p >= 16) {
        const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const int stops = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)));
        const int highs = _mm_movemask_epi8(block);
        if (stops != 0) {
            const int at = __builtin_ctz(static_cast<unsigned>(stops));
            high = high || (highs & ((1 << at) - 1)) != 0;
            return p + at;
        }
        high = high || highs != 0;
        p += 16;
    }
#endif
    for (; p < end && *p != '"' && *p != '\\'; ++p) high = high || (*p & 0x80) != 0;
    return p;
}

// A string with backslashes, whose first is at `stop`.
inline const char* escaped_string(Column& column, int64_t row, const char* p, const char* stop, const char* end, bool high) {
    size_t size = 0;
    for (;;) {
        const auto piece = static_cast<size_t>(stop - p);
        if (size + piece + 2 > NAME_LIMIT) return nullptr;
        char* room = column.text_room(size + piece + 2);
        if (room == nullptr) return nullptr;
        std::memcpy(room + size, p, piece);
        size += piece;
        if (*stop == '"') {
            if (high && !is_utf8(room, size)) return nullptr;
            column.put_text(row, size);
            return stop + 1;
        }
        if (stop + 1 == end) return nullptr;
        const bool resolved = stop[1] == '"' || stop[1] == '\\';
        room[size++] = resolved ? stop[1] : '\\';
        p = stop + (resolved ? 2 : 1);
        stop = string_stop(p, end, high);
        if (stop == end) return nullptr;
    }
}

// The string whose first byte (behind the quote) is at `p`, into the column; returns the place behind the closing quote.
inline const char* put_string(Column& column, int64_t row, const char* p, const char* end) {
    bool high = false;
    const char* stop = string_stop(p, end, high);
    if (stop == end) return nullptr;
    if (FL_UNLIKELY(*stop == '\\')) return escaped_string(column, row, p, stop, end, high);
    const auto size = static_cast<size_t>(stop - p);
    if (size > NAME_LIMIT || (high && !is_utf8(p, size))) return nullptr;
    char* room = column.text_room(size);
    if (room == nullptr) return nullptr;
    if (size <= 32 && end - p >= 32) {
        static_assert(Column::TEXT_SLACK >= 32, "32 bytes are copied whatever the size");
        std::memcpy(room, p, 32);
    } else {
        std::memcpy(room, p, size);
    }
    column.put_text(row, size);
    return stop + 1;
}

}  // namespace flightline
