// One class for each way in which Arrow lays out values; rows.h says what they promise.
#include <cmath>
#include <stdexcept>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "rows.h"

namespace flightline::encode {

namespace {

constexpr int64_t DAY_S = 86'400;

template <typename T>
T at(const void* base, int64_t place) {
    T value;  // buffers cut out of a message need not be aligned
    std::memcpy(&value, static_cast<const char*>(base) + place * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
}

bool bit(const uint8_t* bits, int64_t place) { return (bits[place >> 3] >> (place & 7) & 1) != 0; }

float half_to_float(uint16_t half) {
    const int exponent = half >> 10 & 31;
    const int fraction = half & 1023;
    const float size = exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                       : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                       : std::ldexp(static_cast<float>(fraction + 1'024), exponent - 25);
    return (half & 0x8000) != 0 ? -size : size;
}

class Nulls final : public Column {
  public:
    explicit Nulls(const ArrowSchema& schema) : Column(schema) { nulls_elsewhere_ = true; }
    void bind(const ArrowArray&) override {}
    void put(Text&, int64_t) const override {}

  protected:
    bool is_null_elsewhere(int64_t) const override { return true; }
};

class Booleans final : public Column {
  public:
    using Column::Column;
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        out.put(bit(buffer<uint8_t>(1), array_->offset + row) ? std::string_view("true") : std::string_view("false"));
    }
};

template <typename T>
class Integers final : public Column {
  public:
    using Column::Column;
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        const T value = at<T>(buffer<char>(1), array_->offset + row);
        if constexpr (static_cast<T>(-1) < 0) {
            put_integer(out, value);
        } else {
            put_unsigned(out, value);
        }
    }
};

template <typename Stored, typename Float>
class Floats final : public Column {
  public:
    Floats(const ArrowSchema& schema, bool json) : Column(schema), json_(json) {}
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        const auto stored = at<Stored>(buffer<char>(1), array_->offset + row);
        Float value;
        if constexpr (sizeof(Stored) == 2) {
            value = half_to_float(stored);
        } else {
            value = stored;
        }
        if (std::isfinite(value)) {
            put_float(out, value, json_ ? FloatStyle::JSON : FloatStyle::PLAIN);
        } else if (json_) {
            out.put("null");
        } else {
            out.put(std::isnan(value) ? "NaN" : value > 0 ? "inf" : "-inf");
        }
    }

  private:
    const bool json_;
};

class Decimals final : public Column {
  public:
    // d:precision,scale[,bits]
    explicit Decimals(const ArrowSchema& schema) : Column(schema) {
        const size_t comma = format().find(',');
        if (comma == std::string::npos) throw std::invalid_argument("a decimal without a scale");
        scale_ = std::atoi(format().c_str() + comma + 1);
        const size_t second = format().find(',', comma + 1);
        const int bits = second == std::string::npos ? 128 : std::atoi(format().c_str() + second + 1);
        if (bits != 32 && bits != 64 && bits != 128 && bits != 256) throw std::invalid_argument("a decimal of odd width");
        bytes_ = bits / 8;
    }
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        const char* const from = buffer<char>(1) + (array_->offset + row) * bytes_;
        uint64_t limbs[4];
        if (bytes_ == 4) {
            limbs[0] = static_cast<uint64_t>(static_cast<int64_t>(at<int32_t>(from, 0)));
        } else {
            std::memcpy(limbs, from, static_cast<size_t>(bytes_));
        }
        put_decimal(out, limbs, bytes_ <= 8 ? 1 : bytes_ / 8, scale_);
    }

  private:
    int scale_, bytes_;
};

// Text and bytes, in the four ways in which Arrow keeps them.
enum class Kept { OFFSETS, LARGE_OFFSETS, VIEWS, FIXED };

template <Kept KEPT>
class Strings final : public Column {
  public:
    Strings(const ArrowSchema& schema, bool json, bool is_text) : Column(schema), json_(json), is_text_(is_text) {
        if (KEPT == Kept::FIXED) width_ = std::atoi(format().c_str() + 2);
    }
    void bind(const ArrowArray& array) override {
        take(array, KEPT == Kept::FIXED ? 2 : KEPT == Kept::VIEWS ? -1 : 3, 0);
        last_in_ = nullptr;
    }
    bool may_need_quotes() const override { return is_text_; }
    void put(Text& out, int64_t row) const override {
        const std::string_view value = value_at(array_->offset + row);
        if (is_text_) {
            if (json_) {
                put_json(out, value);
            } else {
                out.put(value);
            }
            return;
        }
        if (json_) out.put('"');
        put_hex(out, value);
        if (json_) out.put('"');
    }

  private:
    const bool json_, is_text_;
    int64_t width_ = 0;
    // The value before, and where in the piece it is spelled: rows that follow each other often say the same. (What is written
    // elsewhere first, as keys of maps are, is no JSON yet.)
    mutable const Text* last_in_ = nullptr;
    mutable std::string_view last_;
    mutable size_t last_begin_ = 0, last_size_ = 0;

    void put_json(Text& out, std::string_view value) const {
        if (last_in_ == &out && value == last_) {
            out.room(last_size_);  // now nothing moves
            out.put({out.data() + last_begin_, last_size_});
            return;
        }
        last_begin_ = out.size();
        put_json_string(out, value);
        last_size_ = out.size() - last_begin_;
        last_ = value;
        last_in_ = &out;
    }

    std::string_view value_at(int64_t place) const {
        if constexpr (KEPT == Kept::FIXED) {
            return {buffer<char>(1) + place * width_, static_cast<size_t>(width_)};
        } else if constexpr (KEPT == Kept::VIEWS) {
            const char* const view = buffer<char>(1) + place * 16;
            const auto size = at<int32_t>(view, 0);
            if (size <= 12) return {view + 4, static_cast<size_t>(size)};
            return {buffer<char>(2 + at<int32_t>(view, 2)) + at<int32_t>(view, 3), static_cast<size_t>(size)};
        } else {
            using Offset = std::conditional_t<KEPT == Kept::OFFSETS, int32_t, int64_t>;
            const auto begin = at<Offset>(buffer<char>(1), place), end = at<Offset>(buffer<char>(1), place + 1);
            return {buffer<char>(2) + begin, static_cast<size_t>(end - begin)};
        }
    }
};

class Dates final : public Column {
  public:
    Dates(const ArrowSchema& schema, bool json) : Column(schema), json_(json) {}
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        if (json_) out.put('"');
        put_date(out, at<int32_t>(buffer<char>(1), array_->offset + row));
        if (json_) out.put('"');
    }

  private:
    const bool json_;
};

template <typename T>
class Times final : public Column {
  public:
    Times(const ArrowSchema& schema, bool json, int digits, int64_t unit)
        : Column(schema), json_(json), digits_(digits), unit_(unit) {}
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        const int64_t value = at<T>(buffer<char>(1), array_->offset + row);
        const int64_t seconds = floor_divided(value, unit_);
        if (json_) out.put('"');
        put_clock(out, ((seconds % DAY_S) + DAY_S) % DAY_S, value - seconds * unit_, digits_);
        if (json_) out.put('"');
    }

  private:
    const bool json_;
    const int digits_;
    const int64_t unit_;
};

// The offsets of one zone. Asked for once a day; on a day that has two of them, the second at which the first one ends is found.
class Zone {
  public:
    Zone(std::string name, const ZoneOffset& offset) : name_(std::move(name)), offset_(offset) {
        const bool is_number = (name_[0] == '+' || name_[0] == '-') && name_.size() >= 3;
        if (name_ == "UTC" || name_ == "utc" || name_ == "Utc" || name_ == "Z" || name_ == "z" || name_ == "+00:00") {
            is_utc_ = is_fixed_ = true;
        } else if (is_number) {
            const auto digit = [this](size_t place) {
                if (place >= name_.size()) return int64_t(0);
                if (name_[place] < '0' || name_[place] > '9') throw std::invalid_argument("no time zone: " + name_);
                return static_cast<int64_t>(name_[place] - '0');
            };
            const size_t minutes = name_.size() > 3 && name_[3] == ':' ? 4 : 3;
            fixed_ = (digit(1) * 10 + digit(2)) * 3'600 + (digit(minutes) * 10 + digit(minutes + 1)) * 60;
            if (name_[0] == '-') fixed_ = -fixed_;
            is_fixed_ = true;
        }
    }

    bool is_utc() const { return is_utc_; }

    int64_t offset_at(int64_t moment) const {
        if (is_fixed_) return fixed_;
        const int64_t day = floor_divided(moment, DAY_S);
        if (day != day_ || days_.empty()) {
            auto found = days_.find(day);
            if (found == days_.end()) found = days_.emplace(day, looked_up(day)).first;
            day_ = day;
            rule_ = found->second;
        }
        return moment < rule_.until ? rule_.before : rule_.after;
    }

  private:
    struct Rule {
        int64_t before = 0, until = 0, after = 0;
    };
    const std::string name_;
    const ZoneOffset offset_;
    bool is_utc_ = false, is_fixed_ = false;
    int64_t fixed_ = 0;
    mutable std::unordered_map<int64_t, Rule> days_;
    mutable int64_t day_ = 0;
    mutable Rule rule_;

    Rule looked_up(int64_t day) const {
        int64_t first = day * DAY_S, last = first + DAY_S;
        Rule rule{offset_(name_, first), last, offset_(name_, last)};
        if (rule.before == rule.after) return rule;
        while (last - first > 1) {
            const int64_t middle = first + (last - first) / 2;
            (offset_(name_, middle) == rule.before ? first : last) = middle;
        }
        rule.until = last;
        return rule;
    }
};

class Timestamps final : public Column {
  public:
    Timestamps(const ArrowSchema& schema, bool json, int digits, int64_t unit, std::unique_ptr<Zone> zone)
        : Column(schema), json_(json), digits_(digits), unit_(unit), zone_(std::move(zone)) {}
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        const auto value = at<int64_t>(buffer<char>(1), array_->offset + row);
        int64_t seconds = unit_ == 1 ? value : floor_divided(value, unit_);
        const int64_t fraction = unit_ == 1 ? 0 : value - seconds * unit_;
        int64_t offset = 0;
        if (zone_ != nullptr) offset = zone_->offset_at(seconds);
        if (__builtin_add_overflow(seconds, offset, &seconds)) seconds -= offset;
        if (json_) out.put('"');
        const int64_t day = floor_divided(seconds, DAY_S);
        if (day != day_ || date_size_ == 0) {  // rows are close together
            const size_t begin = out.size();
            put_date(out, day);
            const std::string_view date = out.view(begin);
            day_ = day;
            date_size_ = date.size() < sizeof date_ ? date.size() : 0;
            std::memcpy(date_, date.data(), date_size_);
        } else {
            out.put({date_, date_size_});
        }
        out.put('T');
        put_clock(out, seconds - day * DAY_S, fraction, digits_);
        if (zone_ != nullptr) {
            if (zone_->is_utc()) {
                out.put('Z');
            } else {
                put_offset(out, offset);
            }
        }
        if (json_) out.put('"');
    }

  private:
    const bool json_;
    const int digits_;
    const int64_t unit_;
    const std::unique_ptr<Zone> zone_;
    mutable int64_t day_ = 0;
    mutable char date_[32];
    mutable size_t date_size_ = 0;
};

class Durations final : public Column {
  public:
    Durations(const ArrowSchema& schema, bool json, int digits) : Column(schema), json_(json), digits_(digits) {}
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        if (json_) out.put('"');
        put_duration(out, at<int64_t>(buffer<char>(1), array_->offset + row), digits_);
        if (json_) out.put('"');
    }

  private:
    const bool json_;
    const int digits_;
};

// Months; days and milliseconds; or months, days and nanoseconds.
class Intervals final : public Column {
  public:
    Intervals(const ArrowSchema& schema, bool json) : Column(schema), json_(json), kind_(format()[2]) {}
    void bind(const ArrowArray& array) override { take(array, 2, 0); }
    void put(Text& out, int64_t row) const override {
        const int64_t place = array_->offset + row;
        const char* const values = buffer<char>(1);
        if (json_) out.put('"');
        if (kind_ == 'M') {
            put_interval(out, at<int32_t>(values, place), 0, 0);
        } else if (kind_ == 'D') {
            put_interval(out, 0, at<int32_t>(values, place * 2), at<int32_t>(values, place * 2 + 1) * int64_t(1'000'000));
        } else {
            put_interval(out, at<int32_t>(values, place * 4), at<int32_t>(values, place * 4 + 1), at<int64_t>(values, place * 2 + 1));
        }
        if (json_) out.put('"');
    }

  private:
    const bool json_;
    const char kind_;
};

// Lists of three kinds, and maps, which are lists of pairs.
enum class Bounds { OFFSETS, LARGE_OFFSETS, FIXED };

template <Bounds BOUNDS>
class Lists final : public Column {
  public:
    Lists(const ArrowSchema& schema, bool json, std::unique_ptr<Column> items)
        : Column(schema), json_(json), items_(std::move(items)) {
        if (BOUNDS == Bounds::FIXED) width_ = std::atoll(format().c_str() + 3);
    }
    void bind(const ArrowArray& array) override {
        take(array, BOUNDS == Bounds::FIXED ? 1 : 2, 1);
        items_->bind(*array.children[0]);
    }
    bool may_need_quotes() const override { return true; }
    void put(Text& out, int64_t row) const override {
        const auto [begin, end] = bounds(array_->offset + row);
        out.put('[');
        for (int64_t item = begin; item < end; ++item) {
            if (item > begin) out.put(json_ ? std::string_view(",") : std::string_view(", "));
            if (!items_->is_null(item)) {
                items_->put(out, item);
            } else if (json_) {
                out.put("null");
            }
        }
        out.put(']');
    }

  private:
    const bool json_;
    const std::unique_ptr<Column> items_;
    int64_t width_ = 0;

    std::pair<int64_t, int64_t> bounds(int64_t place) const {
        if constexpr (BOUNDS == Bounds::FIXED) {
            return {place * width_, (place + 1) * width_};
        } else {
            using Offset = std::conditional_t<BOUNDS == Bounds::OFFSETS, int32_t, int64_t>;
            return {at<Offset>(buffer<char>(1), place), at<Offset>(buffer<char>(1), place + 1)};
        }
    }
};

class Structs final : public Column {
  public:
    Structs(const ArrowSchema& schema, bool json, std::vector<std::unique_ptr<Column>> fields)
        : Column(schema), json_(json), fields_(std::move(fields)) {
        for (const auto& field : fields_) {
            Text key;
            if (json) {
                put_json_string(key, field->name());
                key.put(':');
            } else {
                key.put(field->name());
                key.put(": ");
            }
            keys_.emplace_back(key.view());
        }
    }
    void bind(const ArrowArray& array) override {
        take(array, 1, static_cast<int64_t>(fields_.size()));
        for (size_t number = 0; number < fields_.size(); ++number) fields_[number]->bind(*array.children[number]);
    }
    bool may_need_quotes() const override { return true; }
    void put(Text& out, int64_t row) const override {
        const int64_t place = array_->offset + row;
        bool any = false;
        out.put('{');
        for (size_t number = 0; number < fields_.size(); ++number) {
            const bool null = fields_[number]->is_null(place);
            if (json_ && null) continue;  // E2
            if (any) out.put(json_ ? std::string_view(",") : std::string_view(", "));
            any = true;
            out.put(keys_[number]);
            if (!null) fields_[number]->put(out, place);
        }
        out.put('}');
    }

  private:
    const bool json_;
    const std::vector<std::unique_ptr<Column>> fields_;
    std::vector<std::string> keys_;
};

class Maps final : public Column {
  public:
    // `keys` spells plain text: a key of a JSON object is a string whatever its type.
    Maps(const ArrowSchema& schema, bool json, std::unique_ptr<Column> keys, std::unique_ptr<Column> values)
        : Column(schema), json_(json), keys_(std::move(keys)), values_(std::move(values)) {}
    void bind(const ArrowArray& array) override {
        take(array, 2, 1);
        pairs_offset_ = array.children[0]->offset;
        if (array.children[0]->n_children != 2) throw std::invalid_argument("a map without keys and values");
        keys_->bind(*array.children[0]->children[0]);
        values_->bind(*array.children[0]->children[1]);
    }
    bool may_need_quotes() const override { return true; }
    void put(Text& out, int64_t row) const override {
        const int64_t place = array_->offset + row;
        const auto begin = at<int32_t>(buffer<char>(1), place), end = at<int32_t>(buffer<char>(1), place + 1);
        out.put('{');
        for (int64_t pair = begin; pair < end; ++pair) {
            const int64_t entry = pairs_offset_ + pair;
            if (pair > begin) out.put(json_ ? std::string_view(",") : std::string_view(", "));
            if (json_) {
                Text key;
                keys_->put(key, entry);
                put_json_string(out, key.view());
                out.put(':');
            } else {
                keys_->put(out, entry);
                out.put(": ");
            }
            if (!values_->is_null(entry)) {
                values_->put(out, entry);
            } else if (json_) {
                out.put("null");
            }
        }
        out.put('}');
    }

  private:
    const bool json_;
    const std::unique_ptr<Column> keys_, values_;
    int64_t pairs_offset_ = 0;
};

template <typename Index>
class Dictionaries final : public Column {
  public:
    Dictionaries(const ArrowSchema& schema, std::unique_ptr<Column> values) : Column(schema), values_(std::move(values)) {
        nulls_elsewhere_ = true;
    }
    void bind(const ArrowArray& array) override {
        take(array, 2, 0);
        if (array.dictionary == nullptr) throw std::invalid_argument("a dictionary without its values");
        values_->bind(*array.dictionary);
    }
    bool may_need_quotes() const override { return values_->may_need_quotes(); }
    void put(Text& out, int64_t row) const override { values_->put(out, index(row)); }

  protected:
    bool is_null_elsewhere(int64_t row) const override { return values_->is_null(index(row)); }

  private:
    const std::unique_ptr<Column> values_;

    int64_t index(int64_t row) const { return static_cast<int64_t>(at<Index>(buffer<char>(1), array_->offset + row)); }
};

std::unique_ptr<Column> make_dictionary(const ArrowSchema& schema, std::unique_ptr<Column> values) {
    switch (schema.format[0]) {
        case 'c': return std::make_unique<Dictionaries<int8_t>>(schema, std::move(values));
        case 'C': return std::make_unique<Dictionaries<uint8_t>>(schema, std::move(values));
        case 's': return std::make_unique<Dictionaries<int16_t>>(schema, std::move(values));
        case 'S': return std::make_unique<Dictionaries<uint16_t>>(schema, std::move(values));
        case 'i': return std::make_unique<Dictionaries<int32_t>>(schema, std::move(values));
        case 'I': return std::make_unique<Dictionaries<uint32_t>>(schema, std::move(values));
        case 'l': return std::make_unique<Dictionaries<int64_t>>(schema, std::move(values));
        case 'L': return std::make_unique<Dictionaries<uint64_t>>(schema, std::move(values));
        default: throw std::invalid_argument("a dictionary whose numbers are no integers");
    }
}

struct Unit {
    int digits;
    int64_t per_second;
};

Unit unit_of(char letter) {
    switch (letter) {
        case 's': return {0, 1};
        case 'm': return {3, 1'000};
        case 'u': return {6, 1'000'000};
        case 'n': return {9, 1'000'000'000};
        default: throw std::invalid_argument(std::string("no unit of time: ") + letter);
    }
}

// Formats that begin with t: dates, times of a day, timestamps, durations, intervals.
std::unique_ptr<Column> make_temporal(const ArrowSchema& schema, bool json, const ZoneOffset& zone_offset) {
    const std::string format = schema.format;
    if (format == "tdD") return std::make_unique<Dates>(schema, json);
    if (format == "tdm") return std::make_unique<Timestamps>(schema, json, 3, 1'000, nullptr);
    if (format.size() < 3) throw std::invalid_argument("no type: " + format);
    if (format == "tiM" || format == "tiD" || format == "tin") return std::make_unique<Intervals>(schema, json);
    const Unit unit = unit_of(format[2]);
    if (format[1] == 'D') return std::make_unique<Durations>(schema, json, unit.digits);
    if (format == "tts" || format == "ttm") return std::make_unique<Times<int32_t>>(schema, json, unit.digits, unit.per_second);
    if (format == "ttu" || format == "ttn") return std::make_unique<Times<int64_t>>(schema, json, unit.digits, unit.per_second);
    if (format[1] != 's' || format.size() < 4) throw std::invalid_argument("no type: " + format);
    std::unique_ptr<Zone> zone;
    if (format.size() > 4) zone = std::make_unique<Zone>(format.substr(4), zone_offset);
    return std::make_unique<Timestamps>(schema, json, unit.digits, unit.per_second, std::move(zone));
}

// Formats that begin with +: lists, structs, maps.
std::unique_ptr<Column> make_nested(const ArrowSchema& schema, bool json, const ZoneOffset& zone_offset) {
    const std::string format = schema.format;
    const auto child = [&](int64_t number) { return make_column(*schema.children[number], json, zone_offset); };
    if (format == "+s") {
        std::vector<std::unique_ptr<Column>> fields;
        for (int64_t number = 0; number < schema.n_children; ++number) fields.push_back(child(number));
        return std::make_unique<Structs>(schema, json, std::move(fields));
    }
    if (schema.n_children != 1) throw std::invalid_argument("values of type " + format + " can not be written as text");
    if (format == "+l") return std::make_unique<Lists<Bounds::OFFSETS>>(schema, json, child(0));
    if (format == "+L") return std::make_unique<Lists<Bounds::LARGE_OFFSETS>>(schema, json, child(0));
    if (format.compare(0, 3, "+w:") == 0) return std::make_unique<Lists<Bounds::FIXED>>(schema, json, child(0));
    if (format == "+m" && schema.children[0]->n_children == 2) {
        const ArrowSchema& pair = *schema.children[0];
        auto keys = make_column(*pair.children[0], false, zone_offset);
        return std::make_unique<Maps>(schema, json, std::move(keys), make_column(*pair.children[1], json, zone_offset));
    }
    throw std::invalid_argument("values of type " + format + " can not be written as text");
}

}  // namespace

void Column::take(const ArrowArray& array, int64_t buffers, int64_t children) {
    if ((buffers >= 0 ? array.n_buffers != buffers : array.n_buffers < 2) || array.n_children != children)
        throw std::invalid_argument("an array of another shape than its type");
    array_ = &array;
    validity_ = static_cast<const uint8_t*>(array.buffers[0]);
}

std::unique_ptr<Column> make_column(const ArrowSchema& schema, bool json, const ZoneOffset& zone_offset) {
    if (schema.dictionary != nullptr) return make_dictionary(schema, make_column(*schema.dictionary, json, zone_offset));
    const std::string format = schema.format;
    switch (format[0]) {
        case 'n': return std::make_unique<Nulls>(schema);
        case 'b': return std::make_unique<Booleans>(schema);
        case 'c': return std::make_unique<Integers<int8_t>>(schema);
        case 'C': return std::make_unique<Integers<uint8_t>>(schema);
        case 's': return std::make_unique<Integers<int16_t>>(schema);
        case 'S': return std::make_unique<Integers<uint16_t>>(schema);
        case 'i': return std::make_unique<Integers<int32_t>>(schema);
        case 'I': return std::make_unique<Integers<uint32_t>>(schema);
        case 'l': return std::make_unique<Integers<int64_t>>(schema);
        case 'L': return std::make_unique<Integers<uint64_t>>(schema);
        case 'e': return std::make_unique<Floats<uint16_t, float>>(schema, json);
        case 'f': return std::make_unique<Floats<float, float>>(schema, json);
        case 'g': return std::make_unique<Floats<double, double>>(schema, json);
        case 'd': return std::make_unique<Decimals>(schema);
        case 'u': return std::make_unique<Strings<Kept::OFFSETS>>(schema, json, true);
        case 'U': return std::make_unique<Strings<Kept::LARGE_OFFSETS>>(schema, json, true);
        case 'z': return std::make_unique<Strings<Kept::OFFSETS>>(schema, json, false);
        case 'Z': return std::make_unique<Strings<Kept::LARGE_OFFSETS>>(schema, json, false);
        case 'w': return std::make_unique<Strings<Kept::FIXED>>(schema, json, false);
        case 'v': return std::make_unique<Strings<Kept::VIEWS>>(schema, json, format == "vu");
        case 't': return make_temporal(schema, json, zone_offset);
        case '+': return make_nested(schema, json, zone_offset);
        default: throw std::invalid_argument("values of type " + format + " can not be written as text");
    }
}

bool same_types(const ArrowSchema& one, const ArrowSchema& other) {
    if (std::strcmp(one.format, other.format) != 0 || one.n_children != other.n_children ||
        (one.dictionary == nullptr) != (other.dictionary == nullptr))
        return false;
    for (int64_t number = 0; number < one.n_children; ++number) {
        if (!same_types(*one.children[number], *other.children[number])) return false;
    }
    return one.dictionary == nullptr || same_types(*one.dictionary, *other.dictionary);
}

}  // namespace flightline::encode
