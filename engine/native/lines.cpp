#include "lines.h"

#include <algorithm>
#include <stdexcept>

#include "lines_body.h"
#include "lines_grammar.h"
#include "lines_values.h"

namespace flightline {

namespace {

constexpr char RESERVED_TIME[] = "time";
constexpr char RESERVED_ORDER[] = "__chunk_order";
constexpr size_t ORIGINAL_LIMIT = 1024;

// How far the fast reader may look ahead without asking: at a field a name and a value, behind it a timestamp and the line's end.
// Lines that reach closer to the end of the body go through the grammar.
constexpr ptrdiff_t AHEAD = NAME_AHEAD + VALUE_AHEAD;
constexpr ptrdiff_t STAMP_AHEAD = 32;

// What forbids a column to have this name, if anything does.
const char* unusable(std::string_view name) {
    if (name == RESERVED_TIME || name == RESERVED_ORDER) return "a reserved column";
    if (name.find('\0') != std::string_view::npos) return "not a possible name: it contains a null character";
    return nullptr;
}

std::string shown(std::string_view name) {
    const size_t cut = utf8_cut(name.data(), name.size(), 256);
    return std::string(name.substr(0, cut)) + (cut < name.size() ? "..." : "");
}

const char* type_name(bool is_tag, FieldType type) {
    if (is_tag) return "iox::column_type::tag";
    switch (type) {
        case FieldType::FLOAT:
            return "iox::column_type::field::float";
        case FieldType::INTEGER:
            return "iox::column_type::field::integer";
        case FieldType::UINTEGER:
            return "iox::column_type::field::uinteger";
        case FieldType::STRING:
            return "iox::column_type::field::string";
        case FieldType::BOOLEAN:
            return "iox::column_type::field::boolean";
    }
    return "";
}

std::string conflict(std::string_view name, const char* expected, const char* got) {
    return "invalid column type for column '" + shown(name) + "', expected " + expected + ", got " + got;
}

int64_t unit_ns(Precision precision) {
    switch (precision) {
        case Precision::SECOND:
            return 1000000000;
        case Precision::MILLISECOND:
            return 1000000;
        case Precision::MICROSECOND:
            return 1000;
        default:
            return 1;
    }
}

const char* precision_name(Precision precision) {
    static constexpr const char* NAMES[] = {"Auto", "Second", "Millisecond", "Microsecond", "Nanosecond"};
    return NAMES[static_cast<int>(precision)];
}

Precision guess_precision(int64_t timestamp) {
    const uint64_t magnitude = timestamp < 0 ? uint64_t{0} - static_cast<uint64_t>(timestamp) : static_cast<uint64_t>(timestamp);
    const uint64_t billions = magnitude / 1000000000u;
    if (billions < 5) return Precision::SECOND;
    if (billions < 5000) return Precision::MILLISECOND;
    if (billions < 5000000) return Precision::MICROSECOND;
    return Precision::NANOSECOND;
}

// ---- the parser

class Parser {
  public:
    Parser(const LineSchema& schema, const char* body, size_t size, const ParseOptions& options)
        : schema_(schema), options_(options), begin_(body), end_(body + size), counted_to_(body) {
        const int64_t unit = unit_ns(options.precision);
        now_ns_ = options.now_ns - (options.now_ns % unit + unit) % unit;
    }

    ParseResult run();

  private:
    // A line's series as far as it is known before the row is written.
    struct Place {
        BodyTable* table = nullptr;
        int32_t series = UNKNOWN;  // UNKNOWN: not known yet, its key is in key_
        bool pending = false;      // the key must be given a number
        Alias* alias = nullptr;
        uint32_t handle = SlotTable::NONE;
        std::string_view spelling;  // to be noted when the row is written
        uint64_t spelling_hash = 0;
    };
    // A line up to and including the space behind its measurement and tags.
    struct Prefix {
        std::string_view text;
        const char* measurement_end;  // known only when not plain; null when there are no tags
        bool plain;                   // no backslash and no control character
    };
    static std::string_view measurement_of(const Prefix& prefix) {
        const char* const begin = prefix.text.data();
        const char* const end = prefix.measurement_end == nullptr ? begin + prefix.text.size() - 1 : prefix.measurement_end;
        return {begin, static_cast<size_t>(end - begin)};
    }
    struct LocalAlias {
        BodyTable* table;
        int64_t part_number;
        int32_t series;
    };

    struct Guess {
        Alias* alias = nullptr;
        BodyTable* table = nullptr;
    };

    const char* skip_blank(const char* p) const;
    bool read_prefix(const char* p, Prefix& prefix) const;
    BodyTable* table_of(const Prefix& prefix);
    bool find_series(const char* p, Place& place, const char*& fields);
    bool split_tags(const Prefix& prefix);
    bool resolve(BodyTable& table, Place& place);
    bool find_codes(BodyTable& table);
    const char* fast_line(const char* p);
    bool guessed(const char* p) const;
    const char* read_row(BodyTable& table, const char* p, int64_t& time);
    const char* read_time(const char* p, int64_t& time) const;
    Column* expect(BodyTable& table, size_t nth, const char*& p);
    const char* undo(BodyTable& table, size_t count, Column* last);
    void settle_place(Place& place);
    void add_row(BodyTable& table, int32_t series, int64_t time, size_t bytes);
    Guess after(const Guess& guess) const;
    void guess_after(const Guess& here);

    const char* check_line(const char* p);
    bool apply(const char* line, size_t bytes, std::string& error);
    bool fits_part(const BodyTable& table) const;
    void fail(const char* line, const char* stop, std::string message);

    BodyTable* open_table(std::string_view name);
    BodyTable* known_id(uint32_t id) const {
        BodyTable* candidate = by_id_[id % BY_ID];
        return candidate != nullptr && candidate->id == id ? candidate : nullptr;
    }
    BodyTable* add_table(std::string_view name, std::shared_ptr<const Table> known);
    void make_room(BodyTable& table, const char* at);
    void close_part(BodyTable& table);
    void next_part(BodyTable& table);
    bool to_ns(int64_t timestamp, int64_t& time) const;

    static constexpr size_t BY_ID = 64;

    const LineSchema& schema_;
    const ParseOptions& options_;
    const char* const begin_;
    const char* const end_;
    int64_t now_ns_;
    ParseResult result_;
    bool stopped_ = false;

    std::vector<std::unique_ptr<BodyTable>> tables_;
    NameMap names_;      // by name
    NameMap spellings_;  // by a spelling with backslashes
    TextArena arena_;
    BodyTable* by_id_[BY_ID] = {};
    BodyTable* last_ = nullptr;
    int64_t new_tables_ = 0;
    int64_t sparse_left_ = SPARSE_BYTES;

    NameMap local_numbers_;
    std::vector<LocalAlias> locals_;

    Alias* previous_ = nullptr;  // of the line before
    Guess guess_, ahead_;        // of this line and the next

    const char* counted_to_;
    int64_t line_number_ = 1;

    // scratch
    LineParts parts_;
    std::string error_;
    std::string key_;
    std::vector<std::pair<int32_t, std::string_view>> values_;  // of a line: tag positions and values
    std::vector<TagCode> codes_;
    std::vector<BodyColumn*> columns_;
};

bool Parser::to_ns(int64_t timestamp, int64_t& time) const {
    const Precision precision = options_.precision == Precision::AUTO ? guess_precision(timestamp) : options_.precision;
    return !__builtin_mul_overflow(timestamp, unit_ns(precision), &time);
}

// ---- tables and parts

BodyTable* Parser::add_table(std::string_view name, std::shared_ptr<const Table> known) {
    tables_.push_back(std::make_unique<BodyTable>(std::string(name), std::move(known)));
    BodyTable* table = tables_.back().get();
    names_.insert(table->name, static_cast<int32_t>(tables_.size()) - 1);
    if (table->table != nullptr) by_id_[table->id % BY_ID] = table;
    return table;
}

// The table of this body or of the schema, or null.
BodyTable* Parser::open_table(std::string_view name) {
    const int32_t at = names_.find(name);
    if (at != NameMap::NONE) return tables_[static_cast<size_t>(at)].get();
    std::shared_ptr<const Table> known = schema_.find(name);
    return known == nullptr ? nullptr : add_table(name, std::move(known));
}

// Hands the part to the result, unless it has no rows.
void Parser::close_part(BodyTable& table) {
    if (table.part->rows == 0) return;
    table.part->close();
    result_.rows += table.part->rows;
    result_.tables.push_back(table.part);
}

void Parser::next_part(BodyTable& table) {
    close_part(table);
    sparse_left_ -= table.begin_part();
}

// Room for one more row.
inline void Parser::make_room(BodyTable& table, const char* at) {
    if (FL_LIKELY(table.has_room())) return;
    const int64_t rest = end_ - at;
    if (!table.grow(static_cast<double>(rest) / static_cast<double>(at - begin_ + 1), rest, sparse_left_)) next_part(table);
}

// ---- the fast reader

const char* Parser::skip_blank(const char* p) const {
    while (p < end_) {
        if (*p == '\n' || *p == ' ' || *p == '\t') {
            ++p;
        } else if (*p == '\r' && p + 1 < end_ && p[1] == '\n') {
            p += 2;
        } else if (*p == '#') {
            const void* newline = std::memchr(p, '\n', static_cast<size_t>(end_ - p));
            p = newline == nullptr ? end_ : static_cast<const char*>(newline) + 1;
        } else {
            return p;
        }
    }
    return end_;
}

// Where the measurement and the tags of the line at `p` end; false when they do not end in a space.
bool Parser::read_prefix(const char* p, Prefix& prefix) const {
    const char* at = plain_end(p, end_);
    prefix.plain = at < end_ && *at == ' ';
    prefix.measurement_end = nullptr;
    if (!prefix.plain) {
        for (at = p; at < end_ && *at != ' ' && *at != '\n'; ++at) {
            if (*at == '\\') {
                if (at + 1 < end_) ++at;
            } else if (*at == ',' && prefix.measurement_end == nullptr) {
                prefix.measurement_end = at;
            }
        }
    }
    prefix.text = {p, static_cast<size_t>(at - p) + 1};
    return at < end_ && *at == ' ';
}

// The table of the line that begins with `prefix`, or null when only the grammar can tell.
BodyTable* Parser::table_of(const Prefix& prefix) {
    const char* const p = prefix.text.data();
    if (prefix.plain) {
        if (last_ != nullptr && last_->is_plain && last_->name.size() < prefix.text.size()) {
            const char behind = p[last_->name.size()];
            if ((behind == ',' || behind == ' ') && std::memcmp(p, last_->name.data(), last_->name.size()) == 0) return last_;
        }
        const char* const space = p + prefix.text.size() - 1;
        return open_table({p, static_cast<size_t>(find_byte(p, space, end_, ',') - p)});
    }
    const int32_t at = spellings_.find(measurement_of(prefix));
    return at == NameMap::NONE ? nullptr : tables_[static_cast<size_t>(at)].get();
}

// The series of the line at `p` and where its fields begin; false when only the grammar can tell.
bool Parser::find_series(const char* p, Place& place, const char*& fields) {
    Prefix prefix;
    if (!read_prefix(p, prefix)) return false;
    BodyTable* table = table_of(prefix);
    if (table == nullptr) return false;
    make_room(*table, p);
    place.table = table;
    fields = p + prefix.text.size();

    const uint64_t hash = hash_bytes(prefix.text);
    if (!locals_.empty()) {
        const int32_t at = local_numbers_.find(prefix.text, hash);
        if (at != NameMap::NONE) {
            const LocalAlias& local = locals_[static_cast<size_t>(at)];
            if (local.series >= 0 || local.part_number == table->part_number) {
                place.series = local.series;
                return true;
            }
        }
    }
    if (table->table != nullptr) {
        place.handle = table->index->find_alias(hash, prefix.text);
        if (place.handle != SlotTable::NONE) {
            place.alias = table->index->alias(place.handle);
            place.series = place.alias->series;
            return true;
        }
    }
    if (!prefix.plain || !is_utf8(p, prefix.text.size()) || !split_tags(prefix) || !resolve(*table, place)) return false;
    place.spelling = prefix.text;
    place.spelling_hash = hash;
    return true;
}

// The tags of a plain prefix into parts_; false when something about them is wrong.
bool Parser::split_tags(const Prefix& prefix) {
    parts_.tags.clear();
    const char* const space = prefix.text.data() + prefix.text.size() - 1;
    const char* p = find_byte(prefix.text.data(), space, end_, ',');
    while (p < space) {
        const char* const key = p + 1;
        const char* const equals = find_byte(key, space, end_, '=');
        if (equals == key || equals == space) return false;
        const char* const value = equals + 1;
        p = find_byte(value, space, end_, ',');
        if (p == value) return false;
        parts_.tags.emplace_back(std::string_view(key, static_cast<size_t>(equals - key)),
                                 std::string_view(value, static_cast<size_t>(p - value)));
        if (parts_.tags.back().first.size() > NAME_LIMIT || parts_.tags.back().second.size() > NAME_LIMIT) return false;
    }
    return true;
}

// The series that the tags in parts_ name: its number, or its key in key_. False when a tag is none of the table's or occurs twice.
bool Parser::resolve(BodyTable& table, Place& place) {
    values_.clear();
    bool ascending = true;
    for (const auto& [name, value] : parts_.tags) {
        const size_t nth = values_.size();
        TagPlace* expected = table.tag_place(nth);
        int32_t position = expected == nullptr ? -1 : expected->position;
        if (position < 0 || table.tag(static_cast<size_t>(position)) != name) {
            const BodyColumn* column = table.find(name);
            if (column == nullptr || !column->is_tag) return false;
            position = column->position;
            if (expected != nullptr) expected->position = position;
        }
        ascending = ascending && (nth == 0 || values_.back().first < position);
        values_.emplace_back(position, value);
    }
    if (!ascending) {
        const auto by_position = [](const auto& a, const auto& b) { return a.first < b.first; };
        std::sort(values_.begin(), values_.end(), by_position);
        for (size_t i = 1; i < values_.size(); ++i) {
            if (values_[i - 1].first == values_[i].first) return false;
        }
    }
    if (table.table != nullptr && find_codes(table)) {
        place.series = table.index->find(codes_.data(), codes_.size());
        if (place.series != UNKNOWN) return true;
    }
    key_.clear();
    for (const auto& [position, value] : values_) append_key(key_, position, value);
    place.pending = true;
    return true;
}

// The codes of values_; false when the index lacks one.
bool Parser::find_codes(BodyTable& table) {
    codes_.clear();
    for (const auto& [position, value] : values_) {
        const auto at = static_cast<size_t>(position);
        if (at >= table.known_tags()) return false;  // the index may have a tag there, and another than this
        TagPlace* last = table.tag_place(at);
        if (last != nullptr && last->value == value) {
            codes_.push_back({position, last->code});
            continue;
        }
        const int32_t code = table.index->find_code(position, value);
        if (code == UNKNOWN) return false;
        codes_.push_back({position, code});
        if (last == nullptr) continue;
        last->code = code;
        last->value = table.index->value(position, code);
    }
    return true;
}

// The column of the field at `p`, which is moved behind the equals sign; null when only the grammar can tell.
Column* Parser::expect(BodyTable& table, size_t nth, const char*& p) {
    const char* at = p;
    while (at < end_ && *at != '=' && *at != '\\' && *at != ',' && *at != ' ' && *at != '\t' && *at != '\n') ++at;
    if (at == end_ || *at != '=' || at == p) return nullptr;
    BodyColumn* found = table.find({p, static_cast<size_t>(at - p)});
    if (found == nullptr || found->is_tag) return nullptr;
    Column* column = table.column(*found, sparse_left_);
    if (column == nullptr || nth == BodyTable::EXPECTED_LIMIT) return nullptr;
    const auto size = static_cast<size_t>(at + 1 - p);
    if (table.expected.size() == nth) table.expected.emplace_back();
    Expected& expected = table.expected[nth];
    expected.column = column;
    expected.size = static_cast<uint32_t>(size);
    expected.mask = size > NAME_AHEAD ? 0 : static_cast<uint32_t>((uint64_t{1} << size) - 1);
    std::memcpy(expected.text, p, std::min(size, NAME_AHEAD));
    table.expected_count = std::max(table.expected_count, nth + 1);
    p = at + 1;
    return column;
}

// Does the name at `p` match? Reads NAME_AHEAD bytes.
inline bool matches(const Expected& expected, const char* p) {
#if defined(__SSE2__)
    const __m128i low = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)),
                                       _mm_load_si128(reinterpret_cast<const __m128i*>(expected.text)));
    const __m128i high = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)),
                                        _mm_load_si128(reinterpret_cast<const __m128i*>(expected.text + 16)));
    const uint32_t equal = static_cast<uint32_t>(_mm_movemask_epi8(low)) | static_cast<uint32_t>(_mm_movemask_epi8(high)) << 16;
    return expected.mask != 0 && (equal & expected.mask) == expected.mask;
#else
    return expected.mask != 0 && std::memcmp(p, expected.text, expected.size) == 0;
#endif
}

const char* Parser::undo(BodyTable& table, size_t count, Column* last) {
    const int64_t row = table.part->rows;
    for (size_t i = 0; i < count; ++i) table.expected[i].column->filled = row;
    if (last != nullptr && last->filled > row) last->filled = row;
    return nullptr;
}

// One value at `p` into row `row` of the column; returns where it ends, or null when only the grammar can tell.
inline const char* put_value(Column& column, int64_t row, const char* p, const char* end) {
    switch (column.type) {
        case FieldType::INTEGER: {
            const bool negative = *p == '-';
            if (FL_UNLIKELY(negative)) ++p;
            uint64_t magnitude;
            p = short_integer(p, 'i', magnitude);
            if (FL_LIKELY(p != nullptr)) column.put(row, negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude));
            return p;
        }
        case FieldType::FLOAT: {
            double value;
            const char* stop = short_float(p, value);
            if (FL_UNLIKELY(stop == nullptr)) stop = long_float(p, end, value);
            if (FL_LIKELY(stop != nullptr)) column.put(row, value);
            return stop;
        }
        case FieldType::STRING:
            return *p == '"' ? put_string(column, row, p + 1, end) : nullptr;
        case FieldType::BOOLEAN: {
            bool value;
            p = boolean(p, value);
            if (FL_LIKELY(p != nullptr)) column.put_boolean(row, value);
            return p;
        }
        case FieldType::UINTEGER: {
            uint64_t magnitude;
            p = short_integer(p, 'u', magnitude);
            if (FL_LIKELY(p != nullptr)) column.put(row, magnitude);
            return p;
        }
    }
    return nullptr;
}

// The timestamp at `p` (which reads STAMP_AHEAD bytes); returns where it ends, or null when only the grammar can tell.
inline const char* Parser::read_time(const char* p, int64_t& time) const {
    const bool negative = *p == '-';
    if (FL_UNLIKELY(negative)) ++p;
    uint64_t magnitude;
    const unsigned digits = read_digits(p, magnitude);
    if (FL_UNLIKELY(digits - 1 >= 19 || magnitude > static_cast<uint64_t>(INT64_MAX))) return nullptr;
    const auto timestamp = static_cast<int64_t>(magnitude);
    return to_ns(negative ? -timestamp : timestamp, time) ? p + digits : nullptr;
}

// The fields and the timestamp from `p` into row `rows` of the part; returns the next line, or null with nothing written.
const char* Parser::read_row(BodyTable& table, const char* p, int64_t& time) {
    const int64_t row = table.part->rows;
    const Expected* expected = table.expected.data();
    size_t expected_count = table.expected_count;
    for (size_t nth = 0;; ++nth) {
        if (FL_UNLIKELY(end_ - p < AHEAD)) return undo(table, nth, nullptr);
        Column* column;
        if (FL_LIKELY(nth < expected_count && matches(expected[nth], p))) {
            column = expected[nth].column;
            p += expected[nth].size;
        } else {
            // the fields written so far stay listed in `expected`, where undo finds them
            column = expect(table, nth, p);
            if (column == nullptr || end_ - p < AHEAD) return undo(table, nth, nullptr);
            expected = table.expected.data();
            expected_count = table.expected_count;
        }
        if (FL_UNLIKELY(column->filled != row)) {
            if (column->filled > row) return undo(table, nth, nullptr);
            column->pad(row);
        }
        p = put_value(*column, row, p, end_);
        if (FL_UNLIKELY(p == nullptr)) return undo(table, nth, column);
        if (FL_UNLIKELY(end_ - p < STAMP_AHEAD)) return undo(table, nth + 1, nullptr);
        if (FL_LIKELY(*p == ',')) {
            ++p;
            continue;
        }
        if (FL_LIKELY(*p == ' ')) {
            p = read_time(p + 1, time);
            if (FL_UNLIKELY(p == nullptr)) return undo(table, nth + 1, nullptr);
        } else {
            time = now_ns_;
        }
        if (FL_LIKELY(*p == '\n')) return p + 1;
        if (*p == '\r' && p[1] == '\n') return p + 2;
        return undo(table, nth + 1, nullptr);
    }
}

// The row that read_row wrote exists from here on.
inline void Parser::add_row(BodyTable& table, int32_t series, int64_t time, size_t bytes) {
    TableRows& part = *table.part;
    result_.takes_now |= time == now_ns_;
    reinterpret_cast<int32_t*>(part.series.data())[part.rows] = series;
    reinterpret_cast<int64_t*>(part.times.data())[part.rows] = time;
    ++part.rows;
    table.bytes += static_cast<int64_t>(bytes);
    last_ = &table;
}

// Numbers the series of a row about to be added and remembers how it was spelled.
void Parser::settle_place(Place& place) {
    BodyTable& table = *place.table;
    TableRows& part = *table.part;
    if (place.pending) place.series = part.pend(key_);
    if (place.spelling.empty()) return;
    const bool wanted = place.series < 0 ? place.spelling.size() <= SeriesIndex::ALIAS_LIMIT
                                         : table.index->wants_alias(place.series, place.spelling.size());
    const std::string_view kept = wanted ? part.note_alias(place.spelling, place.spelling_hash, place.series) : arena_.keep(place.spelling);
    const int32_t at = local_numbers_.find(kept, place.spelling_hash);
    const LocalAlias local{&table, table.part_number, place.series};
    if (at != NameMap::NONE) {
        locals_[static_cast<size_t>(at)] = local;
    } else {
        local_numbers_.insert(kept, place.spelling_hash, static_cast<int32_t>(locals_.size()));
        locals_.push_back(local);
    }
}

// The spelling that last followed one of this body's tables, if any did.
inline Parser::Guess Parser::after(const Guess& guess) const {
    const uint64_t next = guess.alias == nullptr ? 0 : guess.alias->next.load(std::memory_order_acquire);
    if (next == 0) return {};
    const auto id = static_cast<uint32_t>(next >> 32);
    BodyTable* table = FL_LIKELY(id == guess.table->id) ? guess.table : known_id(id);
    return table == nullptr ? Guess() : Guess{table->index->alias(static_cast<uint32_t>(next)), table};
}

// Guesses the line behind this one, and fetches the spelling of the one behind that: memory is slower than a line.
inline void Parser::guess_after(const Guess& here) {
    previous_ = here.alias;
    guess_ = ahead_.alias != nullptr ? ahead_ : after(here);
    ahead_ = after(guess_);
    if (ahead_.alias == nullptr) return;
    for (size_t at = 0; at < 256; at += 64) __builtin_prefetch(reinterpret_cast<const char*>(ahead_.alias) + at);
}

inline bool Parser::guessed(const char* p) const {
    const Alias* alias = guess_.alias;
    return alias != nullptr && end_ - p >= static_cast<ptrdiff_t>(alias->size) && std::memcmp(p, alias->text(), alias->size) == 0;
}

// One line the fast way; returns the next line, or null when the grammar must look at it.
const char* Parser::fast_line(const char* p) {
    int64_t time;
    if (FL_LIKELY(guessed(p))) {
        const Guess here = guess_;
        guess_after(here);
        make_room(*here.table, p);
        const char* next = read_row(*here.table, p + here.alias->size, time);
        if (FL_LIKELY(next != nullptr)) add_row(*here.table, here.alias->series, time, static_cast<size_t>(next - p));
        return next;
    }
    ahead_ = {};
    Place place;
    const char* fields;
    if (!find_series(p, place, fields)) return nullptr;
    const char* next = read_row(*place.table, fields, time);
    if (next == nullptr) return nullptr;
    settle_place(place);
    add_row(*place.table, place.series, time, static_cast<size_t>(next - p));
    if (place.alias != nullptr && previous_ != nullptr) {
        previous_->next.store(static_cast<uint64_t>(place.table->id) << 32 | place.handle, std::memory_order_release);
    }
    guess_after({place.alias, place.table});
    return next;
}

ParseResult Parser::run() {
    const char* p = begin_;
    while (p < end_ && !stopped_) {
        if (FL_UNLIKELY(static_cast<uint8_t>(*p) <= '#')) {
            p = skip_blank(p);
            if (p == end_) break;
        }
        const char* next = fast_line(p);
        ++result_.lines;
        if (FL_UNLIKELY(next == nullptr)) {
            next = check_line(p);
            previous_ = nullptr;
            guess_ = ahead_ = {};
        }
        p = next;
    }
    for (auto& table : tables_) close_part(*table);
    return std::move(result_);
}

// ---- the exact reader: one line through the grammar

void Parser::fail(const char* line, const char* stop, std::string message) {
    if (options_.stop_at_first_error) stopped_ = true;
    if (options_.error_limit >= 0 && static_cast<int64_t>(result_.errors.size()) >= options_.error_limit) return;
    const char* start = line;
    while (start > begin_ && (start[-1] == ' ' || start[-1] == '\t')) --start;
    line_number_ += static_cast<int64_t>(count_newlines(counted_to_, start));
    counted_to_ = start;
    if (result_.messages.empty() || result_.messages.back() != message) result_.messages.push_back(std::move(message));
    const size_t size = utf8_cut(start, static_cast<size_t>(stop - start), ORIGINAL_LIMIT);
    result_.errors.push_back({line_number_, result_.messages.size() - 1, {start, size}});
}

const char* Parser::check_line(const char* p) {
    const char* const newline = line_end(p, end_);
    const char* const next = newline < end_ ? newline + 1 : end_;
    const char* const stop = newline < end_ && newline > p && newline[-1] == '\r' ? newline - 1 : newline;
    const auto size = static_cast<size_t>(stop - p);
    const size_t valid = is_ascii(p, size) ? size : utf8_valid_prefix(p, size);
    error_.clear();
    if (valid < size) {
        const char* start = p;
        while (start > begin_ && (start[-1] == ' ' || start[-1] == '\t')) --start;
        const auto offset = std::to_string(p - start + static_cast<ptrdiff_t>(valid));
        fail(p, stop, "body content is not valid utf8: byte offset " + offset + " of the line");
    } else if (!read_line(p, stop, parts_, error_) || !apply(p, static_cast<size_t>(next - p), error_)) {
        fail(p, stop, error_);
    }
    return next;
}

// Has the part of the table room for the fields of the line, which are in parts_ and (where the table has them) in columns_?
bool Parser::fits_part(const BodyTable& table) const {
    int64_t more = 0;
    for (size_t i = 0; i < columns_.size(); ++i) {
        const Column* column = columns_[i] == nullptr ? nullptr : columns_[i]->column;
        if (column == nullptr) {
            ++more;
        } else if (column->type == FieldType::STRING) {
            const auto size = static_cast<int64_t>(parts_.fields[i].text.size() + Column::TEXT_SLACK);
            if (column->text_size() + size > TEXT_LIMIT) return false;
        }
    }
    return more == 0 || table.part->rows == 0 || table.fits(table.capacity(), more, sparse_left_);
}

// Checks everything first, then writes: a refused line has changed nothing.
bool Parser::apply(const char* line, size_t bytes, std::string& error) {
    const LineParts& parts = parts_;
    BodyTable* table = open_table(parts.measurement);
    NameMap fresh;  // names of this line that the table lacks, by their place in it
    std::vector<std::string_view> new_tags;
    std::vector<size_t> new_fields;
    const int64_t line_mark = result_.lines;

    const auto tag_count = static_cast<int32_t>(parts.tags.size());
    for (int32_t i = 0; i < tag_count; ++i) {
        const std::string_view name = parts.tags[static_cast<size_t>(i)].first;
        BodyColumn* column = table == nullptr ? nullptr : table->find(name);
        if (column != nullptr ? column->seen_line == line_mark : fresh.find(name) != NameMap::NONE) {
            error = "Must not contain duplicate tags, but `" + shown(name) + "` was repeated";
            return false;
        }
        if (column != nullptr) {
            column->seen_line = line_mark;
        } else {
            fresh.insert(name, i);
            new_tags.push_back(name);
        }
    }
    for (const auto& [name, value] : parts.tags) {
        if (const char* reason = unusable(name)) {
            error = "'" + shown(name) + "' is " + reason;
            return false;
        }
        const BodyColumn* column = table == nullptr ? nullptr : table->find(name);
        if (column != nullptr && !column->is_tag) {
            error = conflict(name, type_name(false, column->type), type_name(true, FieldType::STRING));
            return false;
        }
        if (column == nullptr && table != nullptr && !schema_.extend_tags) {
            error = "unknown tag '" + shown(name) + "' for table '" + shown(table->name) +
                    "': the tag set of a table is fixed by its first write";
            return false;
        }
    }
    columns_.clear();
    for (size_t i = 0; i < parts.fields.size(); ++i) {
        const FieldPart& field = parts.fields[i];
        if (const char* reason = unusable(field.name)) {
            error = "'" + shown(field.name) + "' is " + reason;
            return false;
        }
        BodyColumn* column = table == nullptr ? nullptr : table->find(field.name);
        const int32_t other = column != nullptr ? NameMap::NONE : fresh.find(field.name);
        const bool is_tag = column != nullptr ? column->is_tag : other != NameMap::NONE && other < tag_count;
        if (!is_tag && (column != nullptr ? column->seen_line == line_mark : other != NameMap::NONE)) {
            error = "invalid line protocol - multiple instances of '" + shown(field.name) + "' field found";
            return false;
        }
        if (is_tag || (column != nullptr && column->type != field.type)) {
            error = conflict(field.name, type_name(is_tag, is_tag ? FieldType::STRING : column->type), type_name(false, field.type));
            return false;
        }
        if (column != nullptr) {
            column->seen_line = line_mark;
        } else {
            fresh.insert(field.name, tag_count + static_cast<int32_t>(i));
            new_fields.push_back(i);
        }
        columns_.push_back(column);
    }
    int64_t time = now_ns_;
    if (parts.has_timestamp && !to_ns(parts.timestamp, time)) {
        error = "timestamp, " + std::to_string(parts.timestamp) + ", out of range for precision: " + precision_name(options_.precision);
        return false;
    }
    if (table == nullptr && options_.tables_left >= 0 && new_tables_ >= options_.tables_left) {
        error = "Update to schema would exceed number of tables limit: attempted to create table but already have " +
                std::to_string(options_.table_count + new_tables_) +
                " table(s) (limit: " + std::to_string(options_.table_count + options_.tables_left) + ")";
        return false;
    }
    const int64_t added = static_cast<int64_t>(new_tags.size() + new_fields.size());
    const int64_t columns = added + (table == nullptr ? 0 : table->column_count());
    if (schema_.column_limit > 0 && added > 0 && columns > schema_.column_limit) {
        error = "Update to schema would exceed number of columns per table limit of " + std::to_string(schema_.column_limit) + " columns";
        return false;
    }

    // nothing is refused from here on
    if (table == nullptr) {
        table = add_table(parts.measurement, nullptr);
        ++new_tables_;
    }
    make_room(*table, line);
    if (!fits_part(*table)) next_part(*table);
    for (const std::string_view name : new_tags) table->add_tag(name);
    for (const size_t i : new_fields) columns_[i] = table->add_field(parts.fields[i].name, parts.fields[i].type);
    Place place;
    place.table = table;
    resolve(*table, place);

    const int64_t row = table->part->rows;
    for (size_t i = 0; i < parts.fields.size(); ++i) {
        const FieldPart& field = parts.fields[i];
        Column& column = *table->column(*columns_[i], INT64_MAX);
        column.pad(row);
        switch (field.type) {
            case FieldType::FLOAT:
                column.put(row, field.number);
                break;
            case FieldType::INTEGER:
                column.put(row, field.integer);
                break;
            case FieldType::UINTEGER:
                column.put(row, field.uinteger);
                break;
            case FieldType::BOOLEAN:
                column.put_boolean(row, field.boolean);
                break;
            case FieldType::STRING:
                std::memcpy(column.text_room(field.text.size()), field.text.data(), field.text.size());
                column.put_text(row, field.text.size());
                break;
        }
    }
    Prefix prefix;
    read_prefix(line, prefix);
    place.spelling = prefix.text;
    place.spelling_hash = hash_bytes(prefix.text);
    if (!prefix.plain && spellings_.find(measurement_of(prefix)) == NameMap::NONE) {
        spellings_.insert(arena_.keep(measurement_of(prefix)), names_.find(table->name));
    }
    settle_place(place);
    add_row(*table, place.series, time, bytes);
    return true;
}

}  // namespace

ParseResult parse_lines(const LineSchema& schema, const char* body, size_t size, const ParseOptions& options) {
    return Parser(schema, body, size, options).run();
}

}  // namespace flightline
