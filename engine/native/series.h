// One table's series: a dense number for each combination of tag values.
//
// S1  A number, once given, means the same values for ever. Null is a value; it is stored as code -1.
// S2  Adding tags at the end changes no number: a series hashes and compares by its non-null (tag, code) pairs.
// S3  Readers never lock and never wait, but for what is kept for queries (Exported, Postings). The caller keeps writers apart;
//     every function says which it is.
// S4  An alias is the raw text of a line up to and including its first unescaped space. Equal text means equal series, so it is
//     registered only for text that parsed. At most ALIASES_PER_SERIES are kept for a series, and none longer than ALIAS_LIMIT.
//
// Held by tests/unit/engine/test_series_index.py (S1, S2, S4) and tests/native/race_series.cpp (S3).
// Elsewhere: Arrow columns in and out (series_arrow.h), who decides what is new (lines.cpp).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "series_store.h"

namespace flightline {

constexpr int32_t NULL_CODE = -1;
constexpr int32_t UNKNOWN = -2;

// The value of one tag of a series. A series is its non-null tags, in the order of the key.
struct TagCode {
    int32_t tag;
    int32_t code;

    bool operator==(const TagCode& other) const { return tag == other.tag && code == other.code; }
};

struct Alias {
    std::atomic<uint64_t> next;  // which alias followed last time: table id << 32 | handle; 0 when unknown
    int32_t series;
    uint32_t size;

    const char* text() const { return reinterpret_cast<const char*>(this + 1); }
};
static_assert(sizeof(Alias) == 16, "aliases are laid out in units of 16 bytes");

// By value of a tag: the series that have it (series_postings.h).
struct Postings {
    struct Lists {
        int64_t size = 0;                      // of the first so many series
        std::vector<int32_t> starts, numbers;  // the list of code n begins at starts[n - NULL_CODE]
    };
    std::mutex lock;
    std::shared_ptr<const Lists> lists;

    size_t memory_bytes() {
        const std::lock_guard<std::mutex> guard(lock);
        return lists ? (lists->starts.capacity() + lists->numbers.capacity()) * sizeof(int32_t) : 0;
    }
};

class SeriesIndex {
  public:
    static constexpr size_t ALIAS_LIMIT = 4096;
    static constexpr uint32_t ALIASES_PER_SERIES = 2;

    explicit SeriesIndex(int tag_count);
    ~SeriesIndex();
    SeriesIndex(const SeriesIndex&) = delete;
    SeriesIndex& operator=(const SeriesIndex&) = delete;

    // ---- readers
    int tag_count() const { return tag_count_.load(std::memory_order_acquire); }
    int64_t size() const { return size_.load(std::memory_order_acquire); }
    size_t memory_bytes() const;
    // The code of a value, or UNKNOWN.
    int32_t find_code(int tag, std::string_view value) const;
    int32_t code_count(int tag) const;
    std::string_view value(int tag, int32_t code) const;
    // The series with these tags and no others, or UNKNOWN.
    int32_t find(const TagCode* codes, size_t count) const;
    int32_t code(int tag, int64_t series) const;
    int64_t newest(int64_t series) const { return state(series).newest_ns.load(std::memory_order_relaxed); }
    // The handle of an alias, or SlotTable::NONE.
    uint32_t find_alias(uint64_t hash, std::string_view text) const;
    Alias* alias(uint32_t handle) const { return reinterpret_cast<Alias*>(aliases_.at(handle)); }
    bool wants_alias(int64_t series, size_t size) const;
    // What was made of a tag's values last, kept for the next one who asks while no value has been added.
    struct Exported {
        std::mutex lock;
        std::shared_ptr<void> texts;
        int32_t count = -1;
        std::shared_ptr<std::vector<int32_t>> places;  // of each value among all, by code
    };
    Exported& exported(int number) const { return tag(number).exported; }
    Postings& postings(int number) const { return tag(number).postings; }

    // ---- the writer
    void add_tags(int count);
    int32_t intern(int tag, std::string_view value);
    int32_t get_or_add(const TagCode* codes, size_t count);
    void add_alias(uint64_t hash, std::string_view text, int32_t series);
    void set_floor(int64_t time_ns) { floor_ns_ = time_ns; }
    struct Late {
        int64_t rows = 0, earliest_ns = INT64_MAX, latest_ns = INT64_MIN;
    };
    Late arrive(const int32_t* series, const int64_t* times, int64_t rows);
    void define(const int32_t* series, int64_t rows, uint32_t epoch, std::vector<int32_t>& fresh);

    ReaderCount& readers() const { return readers_; }

  private:
    struct Unit {
        alignas(16) char bytes[16];
    };
    struct Rare {
        struct Entry {
            int32_t series;
            int32_t code;
        };
        Buckets<Entry, 2, 31> entries;
        std::atomic<int32_t> count{0};
    };
    struct Tag {
        SlotTable slots;
        Buckets<const char*, 3, 31> values;  // by code: a length (uint32), then the bytes
        std::atomic<int32_t> count{0};
        Arena<char, 6, 42> text;
        // By series: the code plus one, so that what was never written is null. Only as long as one series in DENSITY has the tag;
        // others are listed, in the order of their numbers. So a tag that few series have costs little.
        Buckets<int32_t, 4, 31> codes;
        std::atomic<Rare*> rare{nullptr};
        int64_t present = 0;  // series that have the tag; the writer's
        Exported exported;
        Postings postings;
    };

    Tag& tag(int number) const { return *tags_[static_cast<uint64_t>(number)]; }
    static constexpr int64_t DENSITY = 64, ALWAYS_DENSE = 256;

    size_t counted_bytes() const;
    static int32_t rare_code(const Rare& rare, int64_t series);
    void set_code(Tag& tag, int64_t series, int32_t code);
    bool equals(int64_t series, const TagCode* codes, size_t count) const;

    // What a series has besides its codes.
    struct State {
        std::atomic<int64_t> newest_ns;
        std::atomic<uint32_t> counts;  // tags that are not null, times four, plus aliases
        uint32_t defined;              // the epoch, the writer's
    };
    static_assert(ALIASES_PER_SERIES < 4, "two bits count the aliases");

    State& state(int64_t series) const { return states_[static_cast<uint64_t>(series)]; }

    std::atomic<int32_t> tag_count_{0};
    std::atomic<int64_t> size_{0};
    Buckets<Tag*, 3, 31> tags_;
    SlotTable slots_;
    Buckets<State, 3, 31> states_;
    SlotTable alias_slots_;
    Arena<Unit, 5, 32> aliases_;
    int64_t floor_ns_ = INT64_MIN;
    mutable ReaderCount readers_;
};

// Keeps slot tables alive while it lives (T3).
class Reading {
  public:
    explicit Reading(std::shared_ptr<const SeriesIndex> index) : index_(std::move(index)) {
        if (index_) index_->readers().enter();
    }
    ~Reading() {
        if (index_) index_->readers().leave();
    }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    const SeriesIndex* operator->() const { return index_.get(); }

  private:
    std::shared_ptr<const SeriesIndex> index_;
};

}  // namespace flightline
