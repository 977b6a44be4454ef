#include "lines_grammar.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace flightline {

namespace {

// What ends a name, by class of name.
enum Stop : uint8_t { MEASUREMENT = 1, KEY = 2, VALUE = 4 };

struct StopTable {
    uint8_t at[256] = {};
    constexpr StopTable() {
        at[static_cast<unsigned char>(' ')] = MEASUREMENT | KEY | VALUE;
        at[static_cast<unsigned char>('\t')] = MEASUREMENT | KEY | VALUE;
        at[static_cast<unsigned char>('\n')] = MEASUREMENT | KEY | VALUE;
        at[0] = MEASUREMENT;
        at[static_cast<unsigned char>(',')] = MEASUREMENT | VALUE;
        at[static_cast<unsigned char>('=')] = KEY;
    }
};
constexpr StopTable STOPS;

constexpr char TOO_LONG[] = "String is greater than 1MB";
constexpr char NO_FIELDS[] = "No fields were provided";

// At most ten characters of what was found.
std::string excerpt(const char* p, const char* end) {
    const size_t size = static_cast<size_t>(end - p);
    if (size <= 10) return std::string(p, size);
    size_t characters = 0;
    const char* cut = p;
    while (cut < end && characters < 10) {
        ++cut;
        while (cut < end && (static_cast<uint8_t>(*cut) & 0xC0) == 0x80) ++cut;
        ++characters;
    }
    return std::string(p, cut) + "...";
}

// What was found, whole up to a length that keeps a report readable.
std::string quoted(const char* p, const char* end) {
    const size_t size = static_cast<size_t>(end - p);
    const size_t cut = utf8_cut(p, size, 1024);
    return "`" + std::string(p, cut) + (cut < size ? "...`" : "`");
}

std::string found(const char* p, const char* end) { return p == end ? "end of input" : "`" + excerpt(p, end) + "`"; }

enum class Name { OK, EMPTY, REFUSED };

// A name up to the first unescaped stop. A backslash before one of the escapable characters stands for it; before any other
// character both stay.
Name read_name(const char*& p, const char* end, Stop stop, std::string_view& name, std::string& scratch, std::string& error) {
    const char* const begin = p;
    while (p < end && *p != '\\' && (STOPS.at[static_cast<uint8_t>(*p)] & stop) == 0) ++p;
    if (FL_LIKELY(p == end || *p != '\\')) {
        if (p == begin) return Name::EMPTY;
        name = {begin, static_cast<size_t>(p - begin)};
    } else {
        const size_t start = scratch.size();
        scratch.append(begin, p);
        while (p < end && (*p == '\\' || (STOPS.at[static_cast<uint8_t>(*p)] & stop) == 0)) {
            if (*p != '\\') {
                scratch.push_back(*p++);
                continue;
            }
            ++p;
            const bool resolved = p < end && (*p == '\\' || *p == ',' || *p == ' ' || (*p == '=' && stop != MEASUREMENT));
            if (!resolved) scratch.push_back('\\');
            if (p < end) scratch.push_back(*p++);
        }
        name = {scratch.data() + start, scratch.size() - start};
    }
    if (name.back() == '\\') {
        error = "Measurements, tag keys and values, and field keys may not end with a backslash";
        return Name::REFUSED;
    }
    if (name.size() > NAME_LIMIT) {
        error = TOO_LONG;
        return Name::REFUSED;
    }
    return Name::OK;
}

const char* skip_digits(const char* p, const char* end) {
    while (p < end && is_digit(*p)) ++p;
    return p;
}

// The end of -?[0-9]+ at `p`, or `p` itself.
const char* integral_end(const char* p, const char* end) {
    const char* digits = p < end && *p == '-' ? p + 1 : p;
    const char* after = skip_digits(digits, end);
    return after == digits ? p : after;
}

// The end of the exponent at `p`, or `p` itself.
const char* exponent_end(const char* p, const char* end) {
    if (p == end || (*p != 'e' && *p != 'E')) return p;
    const char* digits = p + 1;
    if (digits < end && (*digits == '-' || *digits == '+')) ++digits;
    const char* after = skip_digits(digits, end);
    return after == digits ? p : after;
}

template <class T>
bool parse_whole(const char* p, const char* end, T& value) {
    const auto result = std::from_chars(p, end, value);
    return result.ec == std::errc() && result.ptr == end;
}

enum class Value { OK, NONE, REFUSED };

Value read_number(const char*& p, const char* end, FieldPart& field, std::string& error) {
    const char* after = integral_end(p, end);
    if (after == p) return Value::NONE;
    if (after < end && *after == 'i') {
        field.type = FieldType::INTEGER;
        if (!parse_whole(p, after, field.integer)) {
            error = "Unable to parse integer value " + quoted(p, after);
            return Value::REFUSED;
        }
        p = after + 1;
        return Value::OK;
    }
    if (after < end && *after == 'u' && *p != '-') {
        field.type = FieldType::UINTEGER;
        if (!parse_whole(p, after, field.uinteger)) {
            error = "Unable to parse unsigned integer value " + quoted(p, after);
            return Value::REFUSED;
        }
        p = after + 1;
        return Value::OK;
    }
    if (after < end && *after == '.') {
        const char* fraction = skip_digits(after + 1, end);
        if (fraction != after + 1) after = exponent_end(fraction, end);
    } else {
        after = exponent_end(after, end);
    }
    field.type = FieldType::FLOAT;
    field.number = to_float(p, after);
    p = after;
    return Value::OK;
}

Value read_string(const char*& p, const char* end, FieldPart& field, std::string& scratch, std::string& error) {
    const char* const begin = p + 1;
    const char* at = begin;
    while (at < end && *at != '"' && *at != '\\') ++at;
    if (at < end && *at == '"') {
        field.text = {begin, static_cast<size_t>(at - begin)};
    } else {
        const size_t start = scratch.size();
        scratch.append(begin, at);
        while (at < end && *at != '"') {
            if (*at == '\\' && at + 1 < end && (at[1] == '"' || at[1] == '\\')) ++at;
            scratch.push_back(*at++);
        }
        field.text = {scratch.data() + start, scratch.size() - start};
    }
    if (at == end) return Value::NONE;
    if (field.text.size() > NAME_LIMIT) {
        error = TOO_LONG;
        return Value::REFUSED;
    }
    field.type = FieldType::STRING;
    p = at + 1;
    return Value::OK;
}

Value read_boolean(const char*& p, const char* end, FieldPart& field) {
    static constexpr std::string_view WORDS[] = {"true", "True", "TRUE", "t", "T", "false", "False", "FALSE", "f", "F"};
    const std::string_view rest(p, std::min<size_t>(5, static_cast<size_t>(end - p)));
    for (size_t i = 0; i < 10; ++i) {
        if (rest.substr(0, WORDS[i].size()) != WORDS[i]) continue;
        field.type = FieldType::BOOLEAN;
        field.boolean = i < 5;
        p += WORDS[i].size();
        return Value::OK;
    }
    return Value::NONE;
}

Value read_value(const char*& p, const char* end, FieldPart& field, std::string& scratch, std::string& error) {
    if (p == end) return Value::NONE;
    if (is_digit(*p) || *p == '-') return read_number(p, end, field, error);
    if (*p == '"') return read_string(p, end, field, scratch, error);
    return read_boolean(p, end, field);
}

// name=value at `p`; NONE leaves `p` where it was.
Value read_field(const char*& p, const char* end, LineParts& parts, std::string& error) {
    FieldPart field{};
    const char* at = p;
    const Name name = read_name(at, end, KEY, field.name, parts.scratch, error);
    if (name == Name::REFUSED) return Value::REFUSED;
    if (name == Name::EMPTY || at == end || *at != '=') return Value::NONE;
    ++at;
    const Value value = read_value(at, end, field, parts.scratch, error);
    if (value != Value::OK) return value;
    parts.fields.push_back(field);
    p = at;
    return Value::OK;
}

// The field set at `p`; returns where it ends. What follows and is no field is left to the caller: after the first field the comma
// before it is consumed, after later ones it is not.
const char* read_fields(const char* p, const char* end, LineParts& parts, std::string& error) {
    Value value = read_field(p, end, parts, error);
    if (value == Value::NONE) error = NO_FIELDS;
    if (value != Value::OK) return nullptr;
    for (bool second = true; p < end && *p == ','; second = false) {
        const char* next = p + 1;
        value = read_field(next, end, parts, error);
        if (value == Value::REFUSED) return nullptr;
        if (value == Value::NONE) return second ? p + 1 : p;
        p = next;
    }
    return p;
}

const char* skip_spaces(const char* p, const char* end) {
    while (p < end && *p == ' ') ++p;
    return p;
}

}  // namespace

double to_float(const char* begin, const char* end) {
    double value = 0;
    const auto result = std::from_chars(begin, end, value);
    if (result.ec != std::errc::result_out_of_range) return value;
    // too large or too small: the place of the first non-zero digit, counted from the decimal point, tells which
    const bool negative = *begin == '-';
    const char* p = negative ? begin + 1 : begin;
    int64_t place = 0;
    bool fraction = false, significant = false;
    for (; p < end && *p != 'e' && *p != 'E'; ++p) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        significant = significant || *p != '0';
        if (significant && !fraction) ++place;
        if (!significant && fraction) --place;
    }
    int64_t exponent = 0;
    if (p < end) {
        const bool below = *++p == '-';
        if (*p == '-' || *p == '+') ++p;
        for (; p < end; ++p) exponent = std::min<int64_t>(exponent * 10 + (*p - '0'), int64_t{1} << 50);
        if (below) exponent = -exponent;
    }
    const double magnitude = significant && place + exponent > 0 ? std::numeric_limits<double>::infinity() : 0.0;
    return negative ? -magnitude : magnitude;
}

const char* line_end(const char* p, const char* end) {
    bool fields = false, quoted = false;
    int64_t open = 0;  // equals signs less commas among the fields: positive where a value may begin
    for (; p < end; ++p) {
        switch (*p) {
            case '\\':
                if (p + 1 < end) ++p;
                break;
            case ' ':
                fields = true;
                break;
            case '=':
                if (fields && !quoted) ++open;
                break;
            case ',':
                if (fields && !quoted) --open;
                break;
            case '"':
                if (fields && open > 0) quoted = !quoted;
                break;
            case '\n':
                if (!quoted) return p;
                break;
            default:
                break;
        }
    }
    return end;
}

const char* read_series(const char* p, const char* end, LineParts& parts, std::string& error) {
    switch (read_name(p, end, MEASUREMENT, parts.measurement, parts.scratch, error)) {
        case Name::EMPTY:
            error = "Invalid measurement was provided";
            return nullptr;
        case Name::REFUSED:
            return nullptr;
        case Name::OK:
            break;
    }
    const char* const tags = p + 1;
    while (p < end && *p == ',') {
        ++p;
        const char* at = p;
        std::string_view key, value;
        Name name = read_name(p, end, KEY, key, parts.scratch, error);
        if (name == Name::EMPTY) error = "Expected tag key, got " + found(at, end);
        if (name != Name::OK) return nullptr;
        if (p == end || *p != '=') {
            error = "Tag set malformed: could not find equals sign in `" + excerpt(tags, end) + "`";
            return nullptr;
        }
        at = ++p;
        name = read_name(p, end, VALUE, value, parts.scratch, error);
        if (name == Name::EMPTY) error = "Expected tag value, got " + found(at, end);
        if (name != Name::OK) return nullptr;
        parts.tags.emplace_back(key, value);
    }
    return p;
}

bool read_line(const char* begin, const char* end, LineParts& parts, std::string& error) {
    parts.tags.clear();
    parts.fields.clear();
    parts.scratch.clear();
    parts.scratch.reserve(static_cast<size_t>(end - begin));  // what is unescaped is shorter: the views stay valid
    parts.has_timestamp = false;

    const char* p = read_series(begin, end, parts, error);
    if (p == nullptr) return false;
    if (p == end || *p != ' ') {
        error = "Expected at least one space character, got " + (p == end ? "end of input" : quoted(p, end));
        return false;
    }
    p = read_fields(skip_spaces(p, end), end, parts, error);
    if (p == nullptr) return false;

    const char* at = skip_spaces(p, end);
    const char* after = integral_end(at, end);
    if (at > p && after > at) {
        if (!parse_whole(at, after, parts.timestamp)) {
            error = "Unable to parse timestamp value " + quoted(at, after);
            return false;
        }
        parts.has_timestamp = true;
        p = skip_spaces(after, end);
    } else if (at == end) {
        p = end;
    }
    if (p != end) {
        error = "Could not parse entire line. Found trailing content: `" + excerpt(p, end) + "`";
        return false;
    }
    return true;
}

}  // namespace flightline
