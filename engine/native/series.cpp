#include "series.h"

#include <limits>
#include <stdexcept>

namespace flightline {

namespace {

uint64_t hash_codes(const TagCode* codes, size_t count) {
    uint64_t lanes[2] = {hash_seed[0], ~hash_seed[0]};  // two, so that neither multiplication waits for the other
    for (size_t i = 0; i < count; ++i) {
        uint64_t& h = lanes[i % 2];
        h = fold(h ^ (static_cast<uint64_t>(codes[i].tag) << 32 | static_cast<uint32_t>(codes[i].code)), hash_seed[1] | 1);
    }
    return fold(lanes[0] ^ (lanes[1] >> 32 | lanes[1] << 32), 0xd6e8feb86659fd93u);
}

std::string_view stored_text(const char* p) { return {p + 4, load32(p)}; }

}  // namespace

SeriesIndex::SeriesIndex(int tag_count) { add_tags(tag_count); }

SeriesIndex::~SeriesIndex() {
    for (int i = 0; i < tag_count(); ++i) {
        delete tag(i).rare.load(std::memory_order_relaxed);
        delete &tag(i);
    }
}

size_t SeriesIndex::memory_bytes() const {
    readers_.enter();
    const size_t total = counted_bytes();
    readers_.leave();
    return total;
}

size_t SeriesIndex::counted_bytes() const {
    const auto series = static_cast<uint64_t>(size());
    size_t total = sizeof(*this) + slots_.memory_bytes() + states_.memory_bytes(series) + alias_slots_.memory_bytes() +
                   aliases_.memory_bytes() + tags_.memory_bytes(static_cast<uint64_t>(tag_count()));
    for (int i = 0; i < tag_count(); ++i) {
        Tag& each = tag(i);
        total += each.postings.memory_bytes();
        total += sizeof(Tag) + each.slots.memory_bytes() + each.values.memory_bytes(static_cast<uint64_t>(code_count(i))) +
                 each.text.memory_bytes() + each.codes.memory_bytes(series);
        const Rare* rare = each.rare.load(std::memory_order_acquire);
        if (rare != nullptr)
            total += sizeof(Rare) + rare->entries.memory_bytes(static_cast<uint64_t>(rare->count.load(std::memory_order_relaxed)));
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

bool SeriesIndex::equals(int64_t series, const TagCode* codes, size_t count) const {
    if (state(series).counts.load(std::memory_order_relaxed) >> 2 != count) return false;
    for (size_t i = 0; i < count; ++i) {
        if (code(codes[i].tag, series) != codes[i].code) return false;
    }
    return true;
}

int32_t SeriesIndex::find(const TagCode* codes, size_t count) const {
    const uint32_t series = slots_.find(hash_codes(codes, count), [&](uint32_t candidate) { return equals(candidate, codes, count); });
    return series == SlotTable::NONE ? UNKNOWN : static_cast<int32_t>(series);
}

int32_t SeriesIndex::code(int number, int64_t series) const {
    const Tag& of = tag(number);
    const int32_t* stored = of.codes.find(static_cast<uint64_t>(series));
    if (FL_LIKELY(stored != nullptr && *stored != 0)) return *stored - 1;
    const Rare* rare = of.rare.load(std::memory_order_acquire);
    return rare == nullptr ? NULL_CODE : rare_code(*rare, series);
}

int32_t SeriesIndex::rare_code(const Rare& rare, int64_t series) {
    int32_t low = 0, high = rare.count.load(std::memory_order_acquire);
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const Rare::Entry& entry = rare.entries[static_cast<uint64_t>(middle)];
        if (entry.series == series) return entry.code;
        if (entry.series < series) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL_CODE;
}

void SeriesIndex::set_code(Tag& tag, int64_t series, int32_t code) {
    if (series < ALWAYS_DENSE + DENSITY * tag.present++) {
        tag.codes.make(static_cast<uint64_t>(series)) = code + 1;
        return;
    }
    Rare* rare = tag.rare.load(std::memory_order_relaxed);
    if (rare == nullptr) {
        rare = new Rare;
        tag.rare.store(rare, std::memory_order_release);
    }
    const int32_t count = rare->count.load(std::memory_order_relaxed);
    rare->entries.make(static_cast<uint64_t>(count)) = {static_cast<int32_t>(series), code};
    rare->count.store(count + 1, std::memory_order_release);
}

uint32_t SeriesIndex::find_alias(uint64_t hash, std::string_view text) const {
    return alias_slots_.find(hash, [&](uint32_t handle) {
        const Alias* candidate = alias(handle);
        for (size_t at = 64; at <= text.size(); at += 64) __builtin_prefetch(reinterpret_cast<const char*>(candidate) + at);
        return candidate->size == text.size() && std::memcmp(candidate->text(), text.data(), text.size()) == 0;
    });
}

bool SeriesIndex::wants_alias(int64_t series, size_t size) const {
    return size <= ALIAS_LIMIT && (state(series).counts.load(std::memory_order_relaxed) & 3) < ALIASES_PER_SERIES;
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
    const uint64_t at = of.text.take(value.size() + 4);
    if (at == of.text.FULL) throw std::length_error("the values of a tag take more memory than can be addressed");
    char* text = of.text.at(at);
    const auto size = static_cast<uint32_t>(value.size());
    std::memcpy(text, &size, 4);
    std::memcpy(text + 4, value.data(), value.size());
    of.values.make(static_cast<uint64_t>(code)) = text;
    of.slots.insert(hash_bytes(value), static_cast<uint32_t>(code), readers_);
    of.count.store(code + 1, std::memory_order_release);
    return code;
}

int32_t SeriesIndex::get_or_add(const TagCode* codes, size_t count) {
    const int32_t known = find(codes, count);
    if (known != UNKNOWN) return known;
    const int64_t number = size();
    if (number == std::numeric_limits<int32_t>::max()) throw std::length_error("a table has more than 2^31 series");
    const auto at = static_cast<uint64_t>(number);
    for (size_t i = 0; i < count; ++i) set_code(tag(codes[i].tag), number, codes[i].code);
    State& added = states_.make(at);
    added.newest_ns.store(floor_ns_, std::memory_order_relaxed);
    added.counts.store(static_cast<uint32_t>(count) << 2, std::memory_order_relaxed);
    slots_.insert(hash_codes(codes, count), static_cast<uint32_t>(number), readers_);
    size_.store(number + 1, std::memory_order_release);
    return static_cast<int32_t>(number);
}

void SeriesIndex::add_alias(uint64_t hash, std::string_view text, int32_t series) {
    if (!wants_alias(series, text.size()) || find_alias(hash, text) != SlotTable::NONE) return;
    const uint64_t handle = aliases_.take((sizeof(Alias) + text.size() + 15) / 16);
    if (handle == aliases_.FULL) return;
    Alias* entry = new (aliases_.at(handle)) Alias{{0}, series, static_cast<uint32_t>(text.size())};
    std::memcpy(reinterpret_cast<char*>(entry + 1), text.data(), text.size());
    state(series).counts.fetch_add(1, std::memory_order_relaxed);
    alias_slots_.insert(hash, static_cast<uint32_t>(handle), readers_);
}

SeriesIndex::Late SeriesIndex::arrive(const int32_t* series, const int64_t* times, int64_t rows) {
    Late late;
    for (int64_t i = 0; i < rows; ++i) {
        std::atomic<int64_t>& newest = state(series[i]).newest_ns;
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
        uint32_t& mark = state(series[i]).defined;
        if (mark == epoch) continue;
        mark = epoch;
        fresh.push_back(series[i]);
    }
}

}  // namespace flightline
