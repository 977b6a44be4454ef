#include "text.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace flightline::encode {

namespace {

struct Pairs {
    char text[200] = {};
    constexpr Pairs() {
        for (int value = 0; value < 100; ++value) {
            text[2 * value] = static_cast<char>('0' + value / 10);
            text[2 * value + 1] = static_cast<char>('0' + value % 10);
        }
    }
};
constexpr Pairs PAIRS;

void put_pair(char* at, unsigned value) { std::memcpy(at, PAIRS.text + 2 * value, 2); }

// Digits without a sign, right-aligned before `end`; returns where they begin.
char* digits_before(char* end, uint64_t value) {
    while (value >= 100) {
        end -= 2;
        put_pair(end, static_cast<unsigned>(value % 100));
        value /= 100;
    }
    if (value >= 10) {
        end -= 2;
        put_pair(end, static_cast<unsigned>(value));
        return end;
    }
    *--end = static_cast<char>('0' + value);
    return end;
}

// From which and up to which decimal exponent a float is written without one.
struct Breaks {
    int least, most;
};

template <typename Float>
constexpr Breaks breaks_of(FloatStyle style) {
    if (style == FloatStyle::JSON) return {-5, 9};
    return sizeof(Float) == 8 ? Breaks{-5, 15} : Breaks{-6, 12};
}

template <typename Float>
void put_shortest(Text& out, Float value, FloatStyle style) {
    if (std::signbit(value)) {
        out.put('-');
        value = -value;
    }
    if (value < Float(1e6) && value == std::trunc(value)) {  // most floats of the world
        put_unsigned(out, static_cast<uint64_t>(value));
        out.put(".0");
        return;
    }
    char scientific[40];  // d.ddde±xx
    const auto end = std::to_chars(scientific, scientific + sizeof scientific, value, std::chars_format::scientific).ptr;
    const char* mark = end;
    while (*--mark != 'e') continue;
    int exponent = 0;
    std::from_chars(mark + (mark[1] == '+' ? 2 : 1), end, exponent);
    char digits[24];
    size_t count = 0;
    for (const char* at = scientific; at != mark; ++at) {
        if (*at != '.') digits[count++] = *at;
    }
    const Breaks breaks = breaks_of<Float>(style);
    if (exponent < breaks.least || exponent > breaks.most) {
        out.put(digits[0]);
        if (count > 1) {
            out.put('.');
            out.put({digits + 1, count - 1});
        } else if (style == FloatStyle::JSON) {
            out.put(".0");
        }
        out.put('e');
        put_integer(out, exponent);
    } else if (exponent < 0) {
        out.put("0.");
        for (int zeros = -1; zeros > exponent; --zeros) out.put('0');
        out.put({digits, count});
    } else {
        const auto whole = static_cast<size_t>(exponent) + 1;
        out.put({digits, count < whole ? count : whole});
        for (size_t zeros = count; zeros < whole; ++zeros) out.put('0');
        out.put('.');
        if (count > whole) {
            out.put({digits + whole, count - whole});
        } else {
            out.put('0');
        }
    }
}

// Which bytes a JSON string has to escape, and the letter that does it; 'u' for those that need their number.
struct Escapes {
    char by[256] = {};
    constexpr Escapes() {
        for (int c = 0; c < 0x20; ++c) by[c] = 'u';
        by['\b'] = 'b', by['\t'] = 't', by['\n'] = 'n', by['\f'] = 'f', by['\r'] = 'r', by['"'] = '"', by['\\'] = '\\';
    }
};
constexpr Escapes ESCAPES;
constexpr char HEX[] = "0123456789abcdef";

// Whether any of eight bytes must be escaped: below 0x20, a quote or a backslash.
bool any_special(uint64_t word) {
    constexpr uint64_t ONES = 0x0101010101010101u, HIGHS = 0x8080808080808080u;
    const auto has_zero = [](uint64_t x) { return (x - ONES) & ~x & HIGHS; };
    return ((((word - ONES * 0x20) & ~word) & HIGHS) | has_zero(word ^ (ONES * '"')) | has_zero(word ^ (ONES * '\\'))) != 0;
}

void put_escaped(Text& out, std::string_view text) {
    char* const begin = out.room(text.size() * 6);
    char* at = begin;
    const char* from = text.data();
    const char* const end = from + text.size();
    while (from != end) {
        while (end - from >= 8) {
            uint64_t word;
            std::memcpy(&word, from, 8);
            if (any_special(word)) break;
            std::memcpy(at, from, 8);
            at += 8, from += 8;
        }
        for (const char* const stop = end - from >= 8 ? from + 8 : end; from != stop; ++from) {
            const auto byte = static_cast<unsigned char>(*from);
            const char escape = ESCAPES.by[byte];
            if (escape == 0) {
                *at++ = *from;
                continue;
            }
            *at++ = '\\';
            *at++ = escape;
            if (escape == 'u') {
                *at++ = '0', *at++ = '0', *at++ = HEX[byte >> 4], *at++ = HEX[byte & 15];
            }
        }
    }
    out.wrote(static_cast<size_t>(at - begin));
}

}  // namespace

void put_unsigned(Text& out, uint64_t value) {
    if (value < 100) {
        char* const at = out.room(2);
        if (value < 10) {
            *at = static_cast<char>('0' + value);
        } else {
            put_pair(at, static_cast<unsigned>(value));
        }
        out.wrote(value < 10 ? 1 : 2);
        return;
    }
    char scratch[20];
    char* const end = scratch + sizeof scratch;
    const char* begin = digits_before(end, value);
    out.put({begin, static_cast<size_t>(end - begin)});
}

void put_integer(Text& out, int64_t value) {
    if (value < 0) out.put('-');
    put_unsigned(out, value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
}

void put_float(Text& out, double value, FloatStyle style) { put_shortest(out, value, style); }

void put_float(Text& out, float value, FloatStyle style) { put_shortest(out, value, style); }

void put_padded(Text& out, uint64_t value, int digits) {
    char* at = out.room(static_cast<size_t>(digits));
    for (int place = digits - 1; place >= 0; --place, value /= 10) at[place] = static_cast<char>('0' + value % 10);
    out.wrote(static_cast<size_t>(digits));
}

void put_decimal(Text& out, const uint64_t* limbs, int count, int scale) {
    constexpr uint64_t CHUNK = 10'000'000'000'000'000'000u;  // ten to the power of 19
    uint64_t left[4] = {};
    const bool negative = (limbs[count - 1] >> 63) != 0;
    uint64_t carry = 1;
    for (int limb = 0; limb < count; ++limb) {
        left[limb] = negative ? ~limbs[limb] + carry : limbs[limb];
        if (negative) carry = carry != 0 && left[limb] == 0 ? 1 : 0;
    }
    char scratch[100];
    char* const end = scratch + sizeof scratch;
    char* begin = end;
    for (bool more = true; more;) {
        unsigned __int128 rest = 0;
        more = false;
        for (int limb = count - 1; limb >= 0; --limb) {
            rest = rest << 64 | left[limb];
            left[limb] = static_cast<uint64_t>(rest / CHUNK);
            rest %= CHUNK;
            more = more || left[limb] != 0;
        }
        char* const low = begin - 19;
        begin = digits_before(begin, static_cast<uint64_t>(rest));
        while (more && begin > low) *--begin = '0';
    }
    if (negative) out.put('-');
    const int digits = static_cast<int>(end - begin);
    if (scale <= 0) {
        out.put({begin, static_cast<size_t>(digits)});
        const bool zero = digits == 1 && *begin == '0';
        for (int zeros = 0; !zero && zeros < -scale; ++zeros) out.put('0');
        return;
    }
    if (digits > scale) {
        out.put({begin, static_cast<size_t>(digits - scale)});
    } else {
        out.put('0');
    }
    out.put('.');
    for (int zeros = digits; zeros < scale; ++zeros) out.put('0');
    const int shown = digits < scale ? digits : scale;
    out.put({end - shown, static_cast<size_t>(shown)});
}

void put_date(Text& out, int64_t days) {
    // Howard Hinnant's civil_from_days: eras of 400 years that begin in March.
    const int64_t shifted = days + 719'468;
    const int64_t era = floor_divided(shifted, 146'097);
    const int64_t day_of_era = shifted - era * 146'097;
    const int64_t year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t shifted_month = (5 * day_of_year + 2) / 153;
    const int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    const int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    if (year >= 0 && year <= 9'999) {
        put_padded(out, static_cast<uint64_t>(year), 4);
    } else {
        out.put(year < 0 ? '-' : '+');
        const uint64_t distance = static_cast<uint64_t>(year < 0 ? -year : year);
        if (distance <= 9'999) {
            put_padded(out, distance, 4);
        } else {
            put_unsigned(out, distance);
        }
    }
    char* at = out.room(6);
    at[0] = at[3] = '-';
    put_pair(at + 1, static_cast<unsigned>(month));
    put_pair(at + 4, static_cast<unsigned>(day));
    out.wrote(6);
}

void put_fraction(Text& out, int64_t fraction, int digits) {
    if (fraction == 0) return;
    while (digits > 3 && fraction % 1'000 == 0) {
        fraction /= 1'000;
        digits -= 3;
    }
    out.put('.');
    put_padded(out, static_cast<uint64_t>(fraction), digits);
}

void put_clock(Text& out, int64_t seconds, int64_t fraction, int digits) {
    char* at = out.room(8);
    put_pair(at, static_cast<unsigned>(seconds / 3'600));
    put_pair(at + 3, static_cast<unsigned>(seconds / 60 % 60));
    put_pair(at + 6, static_cast<unsigned>(seconds % 60));
    at[2] = at[5] = ':';
    out.wrote(8);
    put_fraction(out, fraction, digits);
}

void put_duration(Text& out, int64_t count, int digits) {
    if (count == 0) {
        out.put("P0D");
        return;
    }
    uint64_t unit = 1;
    for (int power = 0; power < digits; ++power) unit *= 10;
    const uint64_t distance = count < 0 ? 0 - static_cast<uint64_t>(count) : static_cast<uint64_t>(count);
    out.put(count < 0 ? "-PT" : "PT");
    put_unsigned(out, distance / unit);
    if (uint64_t rest = distance % unit; rest != 0) {
        while (rest % 10 == 0) {
            rest /= 10;
            --digits;
        }
        out.put('.');
        put_padded(out, rest, digits);
    }
    out.put('S');
}

void put_interval(Text& out, int64_t months, int64_t days, int64_t nanoseconds) {
    const size_t begin = out.size();
    const auto part = [&](bool shown, bool negative, uint64_t value, std::string_view unit) {
        if (!shown) return;
        if (out.size() > begin) out.put(' ');
        if (negative) out.put('-');
        put_unsigned(out, value);
        out.put(unit);
    };
    const auto distance = [](int64_t value) { return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value); };
    constexpr uint64_t SECOND = 1'000'000'000;
    const bool negative = nanoseconds < 0;
    const uint64_t seconds = distance(nanoseconds) / SECOND, rest = distance(nanoseconds) % SECOND;
    part(months != 0, months < 0, distance(months), " mons");
    part(days != 0, days < 0, distance(days), " days");
    part(seconds >= 3'600, negative, seconds / 3'600, " hours");
    part(seconds / 60 % 60 != 0, negative, seconds / 60 % 60, " mins");
    if (seconds % 60 != 0 || rest != 0) {
        part(true, negative, seconds % 60, ".");
        put_padded(out, rest, 9);
        out.put(" secs");
    }
    if (out.size() == begin) out.put("0 secs");
}

void put_offset(Text& out, int64_t seconds) {
    const int64_t minutes = (seconds < 0 ? -seconds : seconds) / 60;
    char* at = out.room(6);
    at[0] = seconds < 0 ? '-' : '+';
    put_pair(at + 1, static_cast<unsigned>(minutes / 60 % 100));
    at[3] = ':';
    put_pair(at + 4, static_cast<unsigned>(minutes % 60));
    out.wrote(6);
}

void put_json_string(Text& out, std::string_view text) {
    constexpr size_t PART = 16'384;  // room is asked for as if every byte were escaped
    out.put('"');
    while (text.size() > PART) {
        put_escaped(out, text.substr(0, PART));
        text.remove_prefix(PART);
    }
    put_escaped(out, text);
    out.put('"');
}

void put_hex(Text& out, std::string_view bytes) {
    char* at = out.room(bytes.size() * 2);
    for (const char c : bytes) {
        *at++ = HEX[static_cast<unsigned char>(c) >> 4];
        *at++ = HEX[static_cast<unsigned char>(c) & 15];
    }
    out.wrote(bytes.size() * 2);
}

}  // namespace flightline::encode
