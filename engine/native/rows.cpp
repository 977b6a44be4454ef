// Kernels over rows: order, duplicates, runs. Interface and meaning: engine/_native.pyi.
//
// R1  No input makes a kernel read or write outside its buffers: every length is checked on entry, every number where it is
//     used, and a number that steers a write is a private copy, so a buffer that changes meanwhile yields wrong order at worst.
// R2  sort_rows is stable, and linear in the rows when each series arrives in order of time; series out of order cost
//     n log(their ascending pieces), or one radix sort when the pieces are many.
// R3  Extra memory is at most 4 bytes a row for the keys, 32 bytes a row of slots or of sparse entries, and 32 bytes a row
//     of the longest series that is out of order.
// R4  The GIL is released while rows are touched.
//
// Held by tests/unit/engine/test_rows_kernels.py (R1, R2) and tests/property/test_merge.py (R2).
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <vector>

#include "native.h"
#include "rows_buffers.h"

namespace {

constexpr int kDigitBits = 11;
constexpr size_t kDigits = size_t(1) << kDigitBits;
constexpr uint64_t kSignBit = uint64_t(1) << 63;

// ---- ordering -------------------------------------------------------------------------------------------------------

struct Entry {
    uint64_t key;
    int32_t row;
};

int bit_length(uint64_t value) { return value == 0 ? 0 : 64 - __builtin_clzll(value); }

int radix_passes(uint64_t span) { return (bit_length(span) + kDigitBits - 1) / kDigitBits; }

// Stable, least significant digit first, on keys of 0..span. The result is in `entries`.
void radix_sort(std::vector<Entry>& entries, std::vector<Entry>& scratch, uint64_t span) {
    scratch.resize(entries.size());
    std::vector<size_t> next(kDigits);
    const int passes = radix_passes(span);
    for (int pass = 0; pass < passes; pass++) {
        const int shift = pass * kDigitBits;
        std::fill(next.begin(), next.end(), 0);
        for (const Entry& entry : entries) next[(entry.key >> shift) & (kDigits - 1)]++;
        size_t position = 0;
        for (size_t& slot : next) {
            const size_t count = slot;
            slot = position;
            position += count;
        }
        for (const Entry& entry : entries) scratch[next[(entry.key >> shift) & (kDigits - 1)]++] = entry;
        entries.swap(scratch);
    }
}

// Stable: merges neighbouring ascending pieces until one is left. `begins` holds where each piece begins.
void merge_pieces(std::vector<Entry>& entries, std::vector<Entry>& scratch, std::vector<size_t>& begins) {
    scratch.resize(entries.size());
    const auto by_key = [](const Entry& a, const Entry& b) { return a.key < b.key; };
    while (begins.size() > 1) {
        size_t kept = 0;
        for (size_t piece = 0; piece < begins.size(); piece += 2) {
            const auto end_of = [&](size_t at) { return at + 1 < begins.size() ? begins[at + 1] : entries.size(); };
            const auto from = entries.begin() + begins[piece];
            const auto middle = entries.begin() + end_of(piece);
            const auto to = entries.begin() + end_of(std::min(piece + 1, begins.size() - 1));
            std::merge(from, middle, middle, to, scratch.begin() + begins[piece], by_key);
            begins[kept++] = begins[piece];
        }
        begins.resize(kept);
        entries.swap(scratch);
    }
}

// Puts the rows of one key in order of time. One object serves many series, so that its memory is taken once.
class TimeSorter {
   public:
    explicit TimeSorter(const Lent<int64_t>& times) : times_(times) {}

    // `rows` come in order of arrival; true when two of them share a time.
    bool sort(int32_t* rows, size_t count) {
        uint64_t lowest = std::numeric_limits<uint64_t>::max();
        uint64_t highest = 0;
        entries_.resize(count);
        begins_.assign(1, 0);
        for (size_t i = 0; i < count; i++) {
            const uint64_t key = uint64_t(times_[size_t(rows[i])]) ^ kSignBit;
            entries_[i] = {key, rows[i]};
            lowest = std::min(lowest, key);
            highest = std::max(highest, key);
            if (i > 0 && key < entries_[i - 1].key) begins_.push_back(i);
        }
        if (radix_passes(highest - lowest) < bit_length(begins_.size() - 1) && count >= kDigits) {
            for (Entry& entry : entries_) entry.key -= lowest;
            radix_sort(entries_, scratch_, highest - lowest);
        } else {
            merge_pieces(entries_, scratch_, begins_);
        }
        bool repeats = false;
        for (size_t i = 0; i < count; i++) {
            rows[i] = entries_[i].row;
            repeats |= i > 0 && entries_[i].key == entries_[i - 1].key;
        }
        return repeats;
    }

   private:
    const Lent<int64_t>& times_;
    std::vector<Entry> entries_;
    std::vector<Entry> scratch_;
    std::vector<size_t> begins_;
};

// What one reading of the rows in order of arrival tells.
struct Survey {
    std::vector<int32_t> keys;
    int32_t lowest = std::numeric_limits<int32_t>::max();
    int32_t highest = 0;
    bool in_order = true;
    bool repeats = false;  // of neighbours; says all only when in order
};

Survey survey(const Lent<int32_t>& series, const Lent<int64_t>& times, const Lent<int32_t>& rank) {
    Survey seen;
    const size_t rows = series.size();
    seen.keys.resize(rows);
    int32_t key_before = -1;
    int64_t time_before = 0;
    for (size_t i = 0; i < rows; i++) {
        int32_t key = series[i];
        if (key < 0) throw std::invalid_argument("series: a number is negative");
        if (rank.present()) {
            if (size_t(key) >= rank.size()) throw std::invalid_argument("series: a number has no rank");
            key = rank[size_t(key)];
            if (key < 0) throw std::invalid_argument("rank: a rank is negative");
        }
        const int64_t time = times[i];
        seen.keys[i] = key;
        seen.lowest = std::min(seen.lowest, key);
        seen.highest = std::max(seen.highest, key);
        seen.in_order &= key > key_before || (key == key_before && time >= time_before);
        seen.repeats |= key == key_before && time == time_before;
        key_before = key;
        time_before = time;
    }
    return seen;
}

// Keys that lie close together: count them, place them. Whether a series is in order is seen on the way.
bool order_dense(const Survey& seen, const Lent<int64_t>& times, int32_t* order) {
    struct Slot {
        int64_t newest = std::numeric_limits<int64_t>::min();
        uint32_t next = 0;  // first the count, then the position of the next row
        bool descends = false;
    };
    const size_t rows = seen.keys.size();
    std::vector<Slot> slots(size_t(seen.highest - seen.lowest) + 1);
    bool repeats = false;
    for (size_t i = 0; i < rows; i++) {
        Slot& slot = slots[size_t(seen.keys[i] - seen.lowest)];
        const int64_t time = times[i];
        slot.descends |= time < slot.newest;
        repeats |= time == slot.newest && slot.next > 0;
        slot.newest = time;
        slot.next++;
    }
    uint32_t position = 0;
    for (Slot& slot : slots) {
        const uint32_t count = slot.next;
        slot.next = position;
        position += count;
    }
    for (size_t i = 0; i < rows; i++) order[slots[size_t(seen.keys[i] - seen.lowest)].next++] = int32_t(i);
    TimeSorter sorter(times);
    uint32_t begin = 0;
    for (const Slot& slot : slots) {
        if (slot.descends) repeats |= sorter.sort(order + begin, slot.next - begin);
        begin = slot.next;
    }
    return repeats;
}

// Few rows over a wide range of keys.
bool order_sparse(const Survey& seen, const Lent<int64_t>& times, int32_t* order) {
    const size_t rows = seen.keys.size();
    std::vector<Entry> entries(rows);
    for (size_t i = 0; i < rows; i++) entries[i] = {uint64_t(seen.keys[i] - seen.lowest), int32_t(i)};
    {
        std::vector<Entry> scratch;
        radix_sort(entries, scratch, uint64_t(seen.highest - seen.lowest));
    }
    for (size_t i = 0; i < rows; i++) order[i] = entries[i].row;
    TimeSorter sorter(times);
    bool repeats = false;
    size_t begin = 0;
    bool descends = false;
    for (size_t i = 1; i <= rows; i++) {
        if (i == rows || entries[i].key != entries[begin].key) {
            if (descends) repeats |= sorter.sort(order + begin, i - begin);
            begin = i;
            descends = false;
            continue;
        }
        const int64_t before = times[size_t(order[i - 1])];
        const int64_t time = times[size_t(order[i])];
        descends |= time < before;
        repeats |= time == before;
    }
    return repeats;
}

// The sorted positions at which (key, time) changes.
std::vector<int32_t> key_starts(const Survey& seen, const Lent<int64_t>& times, const int32_t* order) {
    std::vector<int32_t> starts;
    int32_t key_before = -1;
    int64_t time_before = 0;
    for (size_t i = 0; i < seen.keys.size(); i++) {
        const size_t row = order != nullptr ? size_t(order[i]) : i;
        const int64_t time = times[row];
        if (seen.keys[row] != key_before || time != time_before) starts.push_back(int32_t(i));
        key_before = seen.keys[row];
        time_before = time;
    }
    return starts;
}

PyObject* sort_rows(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"series", "times", "rank", nullptr};
    PyObject *series_object, *times_object, *rank_object = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|O:sort_rows", const_cast<char**>(names), &series_object,
                                     &times_object, &rank_object)) {
        return nullptr;
    }
    Lent<int32_t> series, rank;
    Lent<int64_t> times;
    if (!series.open(series_object, "series") || !times.open(times_object, "times") ||
        !rank.open_optional(rank_object, "rank") || !check_row_count(series.size())) {
        return nullptr;
    }
    const size_t rows = series.size();
    if (times.size() != rows) {
        PyErr_Format(PyExc_ValueError, "series has %zu rows, times has %zu", rows, times.size());
        return nullptr;
    }
    Survey seen;
    if (!without_gil([&] { seen = survey(series, times, rank); })) return nullptr;
    Made order;
    if (!seen.in_order && !order.allocate(rows)) return nullptr;
    bool repeats = seen.repeats;
    std::vector<int32_t> starts;
    const bool sorted = without_gil([&] {
        if (!seen.in_order) {
            const bool dense = size_t(seen.highest - seen.lowest) < 2 * rows;
            repeats = dense ? order_dense(seen, times, order.data()) : order_sparse(seen, times, order.data());
        }
        if (repeats) starts = key_starts(seen, times, seen.in_order ? nullptr : order.data());
    });
    Made begins;
    if (!sorted || (repeats && !begins.copy(starts))) return nullptr;
    return pair(seen.in_order ? none() : order.view(), repeats ? begins.view() : none());
}

// ---- duplicates -----------------------------------------------------------------------------------------------------

PyObject* last_valid(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"count", "indices", "starts", "validity", "offset", nullptr};
    Py_ssize_t count, offset;
    PyObject *indices_object, *starts_object, *validity_object;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "nOOOn:last_valid", const_cast<char**>(names), &count, &indices_object,
                                     &starts_object, &validity_object, &offset)) {
        return nullptr;
    }
    Lent<int32_t> indices, starts;
    Lent<uint8_t> validity;
    if (!indices.open_optional(indices_object, "indices") || !starts.open(starts_object, "starts") ||
        !validity.open_optional(validity_object, "validity")) {
        return nullptr;
    }
    if (count < 0 || offset < 0 || offset > std::numeric_limits<Py_ssize_t>::max() / 2) {
        PyErr_SetString(PyExc_ValueError, "count and offset must not be negative");
        return nullptr;
    }
    const size_t rows = size_t(count);
    if (!check_row_count(rows)) return nullptr;
    if (indices.present() && indices.size() != rows) {
        PyErr_Format(PyExc_ValueError, "indices has %zu rows, expected %zu", indices.size(), rows);
        return nullptr;
    }
    if (validity.present() && validity.size() < (size_t(offset) + rows + 7) / 8) {
        PyErr_Format(PyExc_ValueError, "validity is too short for %zu rows from bit %zd", rows, offset);
        return nullptr;
    }
    Made chosen;
    if (!chosen.allocate(starts.size())) return nullptr;
    const bool done = without_gil([&] {
        int32_t* out = chosen.data();
        const auto row_at = [&](size_t position) {
            const size_t row = indices.present() ? size_t(uint32_t(indices[position])) : position;
            if (row >= rows) throw std::invalid_argument("indices: a row is out of range");
            return row;
        };
        size_t begin = starts.size() > 0 ? size_t(uint32_t(starts[0])) : 0;
        for (size_t run = 0; run < starts.size(); run++) {
            const size_t end = run + 1 < starts.size() ? size_t(uint32_t(starts[run + 1])) : rows;
            if (end <= begin || end > rows) throw std::invalid_argument("starts: positions must rise and lie within the rows");
            size_t row = row_at(end - 1);
            if (validity.present()) {
                for (size_t position = end; position-- > begin;) {
                    const size_t candidate = row_at(position);
                    const size_t bit = size_t(offset) + candidate;
                    if ((validity[bit / 8] >> (bit % 8)) & 1) {
                        row = candidate;
                        break;
                    }
                }
            }
            out[run] = int32_t(row);
            begin = end;
        }
    });
    return done ? chosen.view() : nullptr;
}

// ---- numbers and runs -----------------------------------------------------------------------------------------------

PyObject* remap(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"numbers", "mapping", nullptr};
    PyObject *numbers_object, *mapping_object;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:remap", const_cast<char**>(names), &numbers_object, &mapping_object)) {
        return nullptr;
    }
    Lent<int32_t> numbers, mapping;
    if (!numbers.open(numbers_object, "numbers") || !mapping.open(mapping_object, "mapping")) return nullptr;
    Made mapped;
    if (!mapped.allocate(numbers.size())) return nullptr;
    const bool done = without_gil([&] {
        int32_t* out = mapped.data();
        for (size_t i = 0; i < numbers.size(); i++) {
            const size_t number = size_t(uint32_t(numbers[i]));
            if (number >= mapping.size()) throw std::invalid_argument("numbers: a number is outside the mapping");
            out[i] = mapping[number];
        }
    });
    return done ? mapped.view() : nullptr;
}

PyObject* assign(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"mapping", "numbers", "values", nullptr};
    PyObject *mapping_object, *numbers_object, *values_object;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO:assign", const_cast<char**>(names), &mapping_object, &numbers_object,
                                     &values_object)) {
        return nullptr;
    }
    Lent<int32_t> numbers, values;
    if (!numbers.open(numbers_object, "numbers") || !values.open(values_object, "values")) return nullptr;
    if (numbers.size() != values.size()) {
        PyErr_SetString(PyExc_ValueError, "numbers and values differ in length");
        return nullptr;
    }
    Py_buffer target;
    if (PyObject_GetBuffer(mapping_object, &target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) != 0) return nullptr;
    int32_t* out = static_cast<int32_t*>(target.buf);
    const size_t length = size_t(target.len) / sizeof(int32_t);
    const bool done = without_gil([&] {
        for (size_t i = 0; i < numbers.size(); i++) {
            const size_t number = size_t(uint32_t(numbers[i]));
            if (number >= length) throw std::invalid_argument("numbers: a number is outside the mapping");
            out[number] = values[i];
        }
    });
    PyBuffer_Release(&target);
    if (!done) return nullptr;
    Py_RETURN_NONE;
}

PyObject* series_runs(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"series", nullptr};
    PyObject* series_object;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:series_runs", const_cast<char**>(names), &series_object)) return nullptr;
    Lent<int32_t> series;
    if (!series.open(series_object, "series") || !check_row_count(series.size())) return nullptr;
    std::vector<int32_t> numbers, starts;
    const bool done = without_gil([&] {
        for (size_t i = 0; i < series.size(); i++) {
            const int32_t number = series[i];
            if (!numbers.empty() && numbers.back() == number) continue;
            numbers.push_back(number);
            starts.push_back(int32_t(i));
        }
    });
    Made first, second;
    if (!done || !first.copy(numbers) || !second.copy(starts)) return nullptr;
    return pair(first.view(), second.view());
}

PyMethodDef functions[] = {
    {"sort_rows", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(sort_rows)), METH_VARARGS | METH_KEYWORDS,
     "sort_rows(series, times, rank=None) -> (indices, starts)"},
    {"last_valid", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(last_valid)), METH_VARARGS | METH_KEYWORDS,
     "last_valid(count, indices, starts, validity, offset) -> rows"},
    {"remap", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(remap)), METH_VARARGS | METH_KEYWORDS,
     "remap(numbers, mapping) -> numbers"},
    {"assign", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(assign)), METH_VARARGS | METH_KEYWORDS,
     "assign(mapping, numbers, values)"},
    {"series_runs", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(series_runs)), METH_VARARGS | METH_KEYWORDS,
     "series_runs(series) -> (numbers, starts)"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_rows(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }
