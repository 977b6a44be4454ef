// What the parser knows of one database: tables, their columns, their series.
//
// L1  A Table never changes; widening puts a new one in its place, under the same id while its series index is the same.
// L2  A table id is never used twice in a process, so whatever remembers one (Alias::next) cannot reach another table.
//
// Held by tests/unit/engine/test_line_protocol.py (L1, L2).
#pragma once

#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "series.h"

namespace flightline {

enum class FieldType : uint8_t { FLOAT = 1, INTEGER = 2, UINTEGER = 3, STRING = 4, BOOLEAN = 5 };

// Names to small numbers, open addressing. The bytes of a name belong to the caller and must stay where they are.
class NameMap {
  public:
    static constexpr int32_t NONE = -1;

    int32_t find(std::string_view name) const { return find(name, hash_bytes(name)); }
    int32_t find(std::string_view name, uint64_t hash) const {
        if (slots_.empty()) return NONE;
        for (uint64_t i = hash & mask_;; i = (i + 1) & mask_) {
            const Slot& slot = slots_[i];
            if (slot.number == NONE) return NONE;
            if (slot.hash == hash && slot.name == name) return slot.number;
        }
    }
    // The name must not be there yet.
    void insert(std::string_view name, int32_t number) { insert(name, hash_bytes(name), number); }
    void insert(std::string_view name, uint64_t hash, int32_t number) {
        if ((count_ + 1) * 3 > slots_.size() * 2) grow();
        place({hash, name, number});
        ++count_;
    }
    size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }

  private:
    struct Slot {
        uint64_t hash = 0;
        std::string_view name;
        int32_t number = NONE;
    };

    void place(const Slot& slot) {
        uint64_t i = slot.hash & mask_;
        while (slots_[i].number != NONE) i = (i + 1) & mask_;
        slots_[i] = slot;
    }
    void grow() {
        std::vector<Slot> old(slots_.empty() ? 8 : slots_.size() * 2);
        old.swap(slots_);
        mask_ = slots_.size() - 1;
        for (const Slot& slot : old) {
            if (slot.number != NONE) place(slot);
        }
    }

    std::vector<Slot> slots_;
    uint64_t mask_ = 0;
    size_t count_ = 0;
};

struct Field {
    std::string name;
    FieldType type;
};

struct Table {
    Table(uint32_t id, std::string name, std::vector<std::string> tags, std::vector<Field> fields, std::shared_ptr<SeriesIndex> index);
    Table(const Table&) = delete;
    Table& operator=(const Table&) = delete;

    const uint32_t id;
    const std::string name;
    const std::vector<std::string> tags;
    const std::vector<Field> fields;
    const std::shared_ptr<SeriesIndex> index;
    NameMap columns;  // tags by their position, fields by tags.size() + their position

    size_t memory_bytes() const;
};

class LineSchema {
  public:
    LineSchema(bool extend_tags_, int64_t column_limit_) : extend_tags(extend_tags_), column_limit(column_limit_) {}
    LineSchema(const LineSchema&) = delete;
    LineSchema& operator=(const LineSchema&) = delete;

    const bool extend_tags;
    const int64_t column_limit;  // tags and fields of a table; 0 is none

    // Throws std::invalid_argument for columns that do not fit together.
    void put_table(std::string name, std::vector<std::string> tags, std::vector<Field> fields, std::shared_ptr<SeriesIndex> index);
    void drop_table(std::string_view name);
    std::shared_ptr<const Table> find(std::string_view name) const;
    size_t memory_bytes() const;

  private:
    struct Hash {
        size_t operator()(std::string_view name) const { return hash_bytes(name); }
    };

    mutable std::shared_mutex mutex_;
    std::unordered_map<std::string_view, std::shared_ptr<const Table>, Hash> tables_;  // by the table's own name
};

}  // namespace flightline
