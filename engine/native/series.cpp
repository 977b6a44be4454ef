#include "series.h"

#include <limits>
#include <stdexcept>

namespace flightline {

namespace {

uint64_t hash_codes(const int32_t* codes, int count) {
    uint64_t h = hash_seed[0];
    for (int i = 0; i < count; ++i) {
        if (codes[i] >= 0) h = fold(h ^ (static_cast<uint64_t>(i) << 32 | static_cast<uint32_t>(codes[i])), hash_seed[1] | 1);
    }
    return fold(h, 0xd6e8feb86659fd93u);
}

std::string_view stored_text(const char* p) { return {p + 4, load32(p)}; }

}  // namespace

SeriesIndex::SeriesIndex(int tag_count) { add_tags(tag_count); }

SeriesIndex::~SeriesIndex() {
    for (int i = 0; i < tag_count(); ++i) delete &tag(i);
}

size_t SeriesIndex::memory_bytes() const {
    const auto series = static_cast<uint64_t>(size());
    size_t total = sizeof(*this) + slots_.memory_bytes() + newest_.memory_bytes(series) + defined_.memory_bytes(series) +
                   alias_counts_.memory_bytes(series) + alias_slots_.memory_bytes() + aliases_.memory_bytes() +
                   tags_.memory_bytes(static_cast<uint64_t>(tag_count()));
    for (int i = 0; i < tag_count(); ++i) {
        const Tag& each = tag(i);
        total += sizeof(Tag) + each.slots.memory_bytes() + each.values.memory_bytes(static_cast<uint64_t>(code_count(i))) +
                 each.text.memory_bytes() + each.codes.memory_bytes(series);
    }
    return total;
}

int32_t SeriesIndex::find_code(int number, std::string_view value) const {
    const Tag& of = tag(number);
    const uint32_t code = of.slots.find(hash_bytes(value), [&](uint32_t candidate) { return stored_text(of.values[candidate]) == value; });
    return code == SlotTable::NONE ? UNKNOWN : static_cast<int32_t>(code);
}

int32_t SeriesIndex::code_count(int number) const { return tag(number).count.load(std::memory_order_acquire); }

std::string_view SeriesIndex::value(int number, int32_t code) const { return stored_text(tag(number).values[static_cast<uint64_t>(code)]); }

bool SeriesIndex::equals(int64_t series, const int32_t* codes, int count) const {
    const int tags = tag_count();
    for (int i = 0; i < tags; ++i) {
        if (code(i, series) != (i < count ? codes[i] : NULL_CODE)) return false;
    }
    return true;
}

int32_t SeriesIndex::find(const int32_t* codes, int count) const {
    const uint32_t series = slots_.find(hash_codes(codes, count), [&](uint32_t candidate) { return equals(candidate, codes, count); });
    return series == SlotTable::NONE ? UNKNOWN : static_cast<int32_t>(series);
}

int32_t SeriesIndex::code(int number, int64_t series) const {
    const int32_t* stored = tag(number).codes.find(static_cast<uint64_t>(series));
    return stored == nullptr ? NULL_CODE : *stored - 1;
}

uint32_t SeriesIndex::find_alias(uint64_t hash, std::string_view text) const {
    return alias_slots_.find(hash, [&](uint32_t handle) {
        const Alias* candidate = alias(handle);
        for (size_t at = 64; at <= text.size(); at += 64) __builtin_prefetch(reinterpret_cast<const char*>(candidate) + at);
        return candidate->size == text.size() && std::memcmp(candidate->text(), text.data(), text.size()) == 0;
    });
}

bool SeriesIndex::wants_alias(int64_t series, size_t size) const {
    if (size > static_cast<size_t>(ALIAS_LIMIT)) return false;
    const std::atomic<uint8_t>* count = alias_counts_.find(static_cast<uint64_t>(series));
    return count == nullptr || count->load(std::memory_order_relaxed) < ALIASES_PER_SERIES;
}

void SeriesIndex::add_tags(int count) {
    const int have = tag_count();
    for (int i = have; i < have + count; ++i) {
        tags_.make(static_cast<uint64_t>(i)) = new Tag;
        tag_count_.store(i + 1, std::memory_order_release);
    }
}

int32_t SeriesIndex::intern(int number, std::string_view value) {
    const int32_t known = find_code(number, value);
    if (known != UNKNOWN) return known;
    if (value.size() > UINT32_MAX - 4) throw std::length_error("a tag value is longer than 4 GiB");
    Tag& of = tag(number);
    const int32_t code = of.count.load(std::memory_order_relaxed);
    if (code == std::numeric_limits<int32_t>::max()) throw std::length_error("a tag has more than 2^31 different values");
    char* text = of.text.at(of.text.take(value.size() + 4));
    const auto size = static_cast<uint32_t>(value.size());
    std::memcpy(text, &size, 4);
    std::memcpy(text + 4, value.data(), value.size());
    of.values.make(static_cast<uint64_t>(code)) = text;
    of.slots.insert(hash_bytes(value), static_cast<uint32_t>(code), readers_);
    of.count.store(code + 1, std::memory_order_release);
    return code;
}

int32_t SeriesIndex::get_or_add(const int32_t* codes, int count) {
    const int32_t known = find(codes, count);
    if (known != UNKNOWN) return known;
    const int64_t number = size();
    if (number == std::numeric_limits<int32_t>::max()) throw std::length_error("a table has more than 2^31 series");
    const auto at = static_cast<uint64_t>(number);
    for (int i = 0; i < count; ++i) {
        if (codes[i] >= 0) tag(i).codes.make(at) = codes[i] + 1;
    }
    newest_.make(at).store(floor_ns_, std::memory_order_relaxed);
    defined_.make(at);
    alias_counts_.make(at);
    slots_.insert(hash_codes(codes, count), static_cast<uint32_t>(number), readers_);
    size_.store(number + 1, std::memory_order_release);
    return static_cast<int32_t>(number);
}

void SeriesIndex::add_alias(uint64_t hash, std::string_view text, int32_t series) {
    if (!wants_alias(series, text.size()) || find_alias(hash, text) != SlotTable::NONE) return;
    const uint64_t handle = aliases_.take((sizeof(Alias) + text.size() + 15) / 16);
    if (handle >= SlotTable::NONE - 1) return;
    Alias* entry = new (aliases_.at(handle)) Alias{{0}, series, static_cast<uint32_t>(text.size())};
    std::memcpy(reinterpret_cast<char*>(entry + 1), text.data(), text.size());
    alias_counts_[static_cast<uint64_t>(series)].fetch_add(1, std::memory_order_relaxed);
    alias_slots_.insert(hash, static_cast<uint32_t>(handle), readers_);
}

SeriesIndex::Late SeriesIndex::arrive(const int32_t* series, const int64_t* times, int64_t rows) {
    Late late;
    for (int64_t i = 0; i < rows; ++i) {
        std::atomic<int64_t>& newest = newest_[static_cast<uint64_t>(series[i])];
        const int64_t time = times[i];
        if (FL_LIKELY(time > newest.load(std::memory_order_relaxed))) {
            newest.store(time, std::memory_order_relaxed);
            continue;
        }
        ++late.rows;
        if (time < late.earliest_ns) late.earliest_ns = time;
        if (time > late.latest_ns) late.latest_ns = time;
    }
    return late;
}

void SeriesIndex::define(const int32_t* series, int64_t rows, uint32_t epoch, std::vector<int32_t>& fresh) {
    for (int64_t i = 0; i < rows; ++i) {
        uint32_t& mark = defined_[static_cast<uint64_t>(series[i])];
        if (mark == epoch) continue;
        mark = epoch;
        fresh.push_back(series[i]);
    }
}

}  // namespace flightline
