// Storage that one thread extends while others read it without locks.
//
// T1  What has been published never moves and never changes: Buckets and Arena only grow.
// T2  A reader that learned of an element through an acquire load (a slot, a count) sees its whole content.
// T3  A slot table that was outgrown is freed only when no reader is inside (ReaderCount).
//
// Held by tests/native/race_series.cpp (T1-T3).
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <vector>

#include "lines_bytes.h"

namespace flightline {

inline void* must(void* memory) {
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

// An array of zero-initialised elements in buckets that double: element addresses never change. Large buckets come from the
// system untouched, so what was not written costs address space only.
template <class T, unsigned FIRST_BITS, unsigned MAX_BITS = 32>
class Buckets {
    static_assert(std::is_trivially_destructible<T>::value, "buckets are freed, not destroyed");

  public:
    static constexpr unsigned COUNT = MAX_BITS - FIRST_BITS + 1;  // below 2^MAX_BITS elements

    Buckets() = default;
    Buckets(const Buckets&) = delete;
    Buckets& operator=(const Buckets&) = delete;
    ~Buckets() {
        for (auto& bucket : buckets_) std::free(bucket.load(std::memory_order_relaxed));
    }

    static unsigned bucket_of(uint64_t index) { return 63u - static_cast<unsigned>(__builtin_clzll(index + FIRST)) - FIRST_BITS; }
    static uint64_t bucket_begin(unsigned bucket) { return (FIRST << bucket) - FIRST; }
    static uint64_t bucket_size(unsigned bucket) { return FIRST << bucket; }

    // The element, which must exist.
    T& operator[](uint64_t index) const {
        const unsigned bucket = bucket_of(index);
        return buckets_[bucket].load(std::memory_order_acquire)[index - bucket_begin(bucket)];
    }
    // The element, or null when nothing in its bucket was ever written.
    T* find(uint64_t index) const {
        const unsigned bucket = bucket_of(index);
        T* start = buckets_[bucket].load(std::memory_order_acquire);
        return start == nullptr ? nullptr : start + (index - bucket_begin(bucket));
    }
    // The element, made if need be. Writer only.
    T& make(uint64_t index) {
        const unsigned bucket = bucket_of(index);
        T* start = buckets_[bucket].load(std::memory_order_relaxed);
        if (start == nullptr) {
            start = static_cast<T*>(must(std::calloc(bucket_size(bucket), sizeof(T))));
            buckets_[bucket].store(start, std::memory_order_release);
        }
        return start[index - bucket_begin(bucket)];
    }
    // Bytes in use when `count` elements are: large buckets are counted by the pages touched.
    size_t memory_bytes(uint64_t count) const {
        size_t total = 0;
        for (unsigned bucket = 0; bucket < COUNT; ++bucket) {
            if (buckets_[bucket].load(std::memory_order_relaxed) == nullptr) continue;
            const uint64_t begin = bucket_begin(bucket), size = bucket_size(bucket) * sizeof(T);
            uint64_t used = count <= begin ? 0 : (count - begin) * sizeof(T);
            used = (used + 4095) & ~uint64_t{4095};
            total += size <= 65536 || used > size ? size : used;
        }
        return total;
    }

  private:
    static constexpr uint64_t FIRST = uint64_t{1} << FIRST_BITS;
    std::atomic<T*> buckets_[COUNT] = {};
};

// Memory handed out in units of `Unit`, contiguous, never moved, never given back before the end.
template <class Unit, unsigned FIRST_BITS, unsigned MAX_BITS>
class Arena {
  public:
    static constexpr uint64_t FULL = UINT64_MAX;

    // The number of the first of `units` contiguous units, or FULL. Writer only.
    uint64_t take(uint64_t units) {
        uint64_t start = position_.load(std::memory_order_relaxed);
        unsigned bucket = buckets_.bucket_of(start);
        while (buckets_.bucket_begin(bucket) + buckets_.bucket_size(bucket) - start < units) {
            if (++bucket == buckets_.COUNT) return FULL;
            start = buckets_.bucket_begin(bucket);
        }
        buckets_.make(start);
        position_.store(start + units, std::memory_order_relaxed);
        return start;
    }
    char* at(uint64_t unit) const { return reinterpret_cast<char*>(&buckets_[unit]); }
    size_t memory_bytes() const { return buckets_.memory_bytes(position_.load(std::memory_order_relaxed)); }

  private:
    Buckets<Unit, FIRST_BITS, MAX_BITS> buckets_;
    std::atomic<uint64_t> position_{0};
};

// Who is reading right now. seq_cst: either the reader sees the writer's new table or the writer sees the reader.
class ReaderCount {
  public:
    void enter() { count_.fetch_add(1, std::memory_order_seq_cst); }
    void leave() { count_.fetch_sub(1, std::memory_order_release); }
    bool none() const { return count_.load(std::memory_order_seq_cst) == 0; }

  private:
    std::atomic<int64_t> count_{0};
};

// From hashes to numbers (below 2^32 - 1), open addressing. A slot is the upper half of the hash and the number plus one.
class SlotTable {
  public:
    SlotTable() = default;
    SlotTable(const SlotTable&) = delete;
    SlotTable& operator=(const SlotTable&) = delete;
    ~SlotTable() {
        std::free(current_.load(std::memory_order_relaxed));
        for (Slots* old : retired_) std::free(old);
    }

    static constexpr uint32_t NONE = UINT32_MAX;

    // The number of which `equal(number)` holds, or NONE.
    template <class Equal>
    uint32_t find(uint64_t hash, Equal equal) const {
        const Slots* slots = current_.load(std::memory_order_acquire);
        if (slots == nullptr) return NONE;
        const uint32_t tag = static_cast<uint32_t>(hash >> 32);
        for (uint64_t i = tag & slots->mask;; i = (i + 1) & slots->mask) {
            const uint64_t slot = slots->at[i].load(std::memory_order_acquire);
            if (slot == 0) return NONE;
            if (static_cast<uint32_t>(slot >> 32) == tag && equal(static_cast<uint32_t>(slot) - 1)) return static_cast<uint32_t>(slot) - 1;
        }
    }
    void prefetch(uint64_t hash) const {
        const Slots* slots = current_.load(std::memory_order_acquire);
        if (slots != nullptr) __builtin_prefetch(&slots->at[(hash >> 32) & slots->mask]);
    }

    // Writer only; the number is published with everything written before.
    void insert(uint64_t hash, uint32_t number, const ReaderCount& readers) {
        Slots* slots = current_.load(std::memory_order_relaxed);
        if (slots == nullptr || (count_ + 1) * 4 > (slots->mask + 1) * 3) slots = grow(slots);
        place(slots, (hash >> 32) << 32 | (number + 1));
        ++count_;
        if (!retired_.empty()) drop_retired(readers);
    }
    void drop_retired(const ReaderCount& readers) {
        if (!readers.none()) return;
        for (Slots* old : retired_) std::free(old);
        retired_.clear();
        retired_bytes_ = 0;
    }
    size_t memory_bytes() const {
        const Slots* slots = current_.load(std::memory_order_acquire);
        return (slots == nullptr ? 0 : bytes_of(slots->mask + 1)) + retired_bytes_;
    }

  private:
    struct Slots {
        uint64_t mask;
        std::atomic<uint64_t> at[1];
    };

    static size_t bytes_of(uint64_t size) { return sizeof(uint64_t) * (1 + size); }

    static void place(Slots* slots, uint64_t slot) {
        uint64_t i = (slot >> 32) & slots->mask;
        while (slots->at[i].load(std::memory_order_relaxed) != 0) i = (i + 1) & slots->mask;
        slots->at[i].store(slot, std::memory_order_release);
    }

    Slots* grow(Slots* old) {
        const uint64_t size = old == nullptr ? 8 : (old->mask + 1) * 2;
        Slots* bigger = static_cast<Slots*>(must(std::calloc(1, bytes_of(size))));
        bigger->mask = size - 1;
        if (old != nullptr) {
            retired_.reserve(retired_.size() + 1);
            for (uint64_t i = 0; i <= old->mask; ++i) {
                const uint64_t slot = old->at[i].load(std::memory_order_relaxed);
                if (slot != 0) place(bigger, slot);
            }
            retired_.push_back(old);
            retired_bytes_ += bytes_of(old->mask + 1);
        }
        current_.store(bigger, std::memory_order_seq_cst);
        return bigger;
    }

    std::atomic<Slots*> current_{nullptr};
    uint64_t count_ = 0;
    std::vector<Slots*> retired_;
    std::atomic<size_t> retired_bytes_{0};
};

}  // namespace flightline
