// Aggregates of rows by group and bin of time, without a hash table entry for each row: a stretch of rows of one series within
// one bin is one entry. Interface and meaning: engine/_native.pyi.
//
// A1  No input makes the kernel read or write outside its buffers: lengths are checked on entry, numbers where they are used.
// A2  Sums of integers are exact: their low 64 bits for sum, the whole for the average. No result depends on how rows were cut
//     into calls, but for the last bits of sums of floats.
// A3  The GIL is released while rows are touched. An object is used by one thread at a time.
// A4  Rows make no more cells than an object may have: the call that would make more fails instead.
// A5  What comes out is in the order of time, and of keys where times are equal.
//
// Held by tests/unit/engine/test_fold_kernel.py (A1, A2, A4, A5).
#include <algorithm>
#include <cmath>

#include "rows_buffers.h"

namespace {

constexpr int kFloat = 1, kInteger = 2, kUnsigned = 3, kOther = 0;  // FieldType, but for what can only be counted
constexpr int64_t kEarliest = std::numeric_limits<int64_t>::min(), kLatest = std::numeric_limits<int64_t>::max();
using Wide = __int128;

struct Cell {
    int64_t key;
    int64_t bin;
};

// What a column has in one cell. Integers of both kinds are kept as 64 bits; `low` and `high` are undefined while count is 0.
struct Values {
    int64_t count = 0;
    uint64_t sum = 0;
    double total = 0;
    uint64_t low = 0, high = 0;
};

struct Stretch {
    uint32_t begin, end, cell;
};

double as_double(uint64_t bits) {
    double value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

uint64_t as_bits(double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

// Whether `left` comes before `right` in the order of a column. A float that is not a number comes after all numbers.
bool before(int kind, uint64_t left, uint64_t right) {
    if (kind == kInteger) return int64_t(left) < int64_t(right);
    if (kind == kUnsigned) return left < right;
    const double a = as_double(left), b = as_double(right);
    return std::isnan(b) ? !std::isnan(a) : a < b;
}

void join(int kind, Values& into, const Values& from) {
    if (from.count == 0) return;
    if (into.count == 0 || before(kind, from.low, into.low)) into.low = from.low;
    if (into.count == 0 || before(kind, into.high, from.high)) into.high = from.high;
    into.count += from.count;
    into.sum += from.sum;
    into.total += from.total;
}

struct Column {
    int kind;
    std::vector<Values> cells;
};

struct Input {
    Lent<uint64_t> values;
    Lent<uint8_t> validity;
    size_t offset = 0;

    bool is_valid(size_t row) const {
        const size_t bit = offset + row;
        return !validity.present() || ((validity[bit / 8] >> (bit % 8)) & 1);
    }
};

// A stretch without nulls.
Values fold_all(int kind, const Input& input, size_t begin, size_t end) {
    Values found;
    found.count = int64_t(end - begin);
    if (kind == kOther) return found;
    found.low = found.high = input.values[begin];
    if (kind == kFloat) {
        double totals[4] = {0, 0, 0, 0};
        double low = as_double(found.low), high = low;
        bool strange = false;
        for (size_t row = begin; row < end; row++) {
            const double value = as_double(input.values[row]);
            totals[row & 3] += value;
            strange |= value != value;
            low = value < low ? value : low;
            high = value > high ? value : high;
        }
        found.total = (totals[0] + totals[1]) + (totals[2] + totals[3]);
        if (strange) {  // comparisons say nothing then
            for (size_t row = begin; row < end; row++) {
                const uint64_t value = input.values[row];
                if (before(kind, value, found.low)) found.low = value;
                if (before(kind, found.high, value)) found.high = value;
            }
        } else {
            found.low = as_bits(low);
            found.high = as_bits(high);
        }
        return found;
    }
    uint64_t halves = 0;
    if (kind == kInteger) {
        int64_t upper = 0, low = int64_t(found.low), high = low;
        for (size_t row = begin; row < end; row++) {
            const int64_t value = int64_t(input.values[row]);
            halves += uint32_t(value);
            upper += value >> 32;
            low = value < low ? value : low;
            high = value > high ? value : high;
        }
        const Wide total = (Wide(upper) << 32) + Wide(halves);
        found.sum = uint64_t(total);
        found.total = double(total);
        found.low = uint64_t(low);
        found.high = uint64_t(high);
    } else {
        uint64_t upper = 0;
        for (size_t row = begin; row < end; row++) {
            const uint64_t value = input.values[row];
            halves += uint32_t(value);
            upper += value >> 32;
            found.low = value < found.low ? value : found.low;
            found.high = value > found.high ? value : found.high;
        }
        const Wide total = (Wide(upper) << 32) + Wide(halves);
        found.sum = uint64_t(total);
        found.total = double(total);
    }
    return found;
}

class Fold {
   public:
    std::vector<Column> columns;
    std::vector<Cell> cells;
    std::vector<int64_t> rows;
    size_t cells_max = kEmpty;

    uint32_t cell_of(int64_t key, int64_t bin) {
        if (cells.size() * 2 >= table_.size()) grow();
        size_t at = place(key, bin);
        while (table_[at] != kEmpty) {
            const Cell& known = cells[table_[at]];
            if (known.key == key && known.bin == bin) return table_[at];
            at = (at + 1) & (table_.size() - 1);
        }
        const uint32_t number = uint32_t(cells.size());
        if (number >= cells_max) throw std::length_error("cells");
        cells.push_back({key, bin});
        rows.push_back(0);
        for (Column& column : columns) column.cells.emplace_back();
        table_[at] = number;
        return number;
    }

    void fold(const std::vector<Stretch>& stretches, const std::vector<Input>& inputs) {
        for (const Stretch& stretch : stretches) rows[stretch.cell] += stretch.end - stretch.begin;
        for (size_t at = 0; at < columns.size(); at++) {
            Column& column = columns[at];
            const Input& input = inputs[at];
            for (const Stretch& stretch : stretches) {
                size_t begin = stretch.begin;
                while (begin < stretch.end) {
                    size_t end = stretch.end;
                    if (input.validity.present()) {
                        while (begin < stretch.end && !input.is_valid(begin)) begin++;
                        end = begin;
                        while (end < stretch.end && input.is_valid(end)) end++;
                        if (begin == end) break;
                    }
                    join(column.kind, column.cells[stretch.cell], fold_all(column.kind, input, begin, end));
                    begin = end;
                }
            }
        }
    }

    void merge(const Fold& other) {
        cells_max = std::min(size_t(kEmpty), cells_max + other.cells_max);
        for (size_t from = 0; from < other.cells.size(); from++) {
            const uint32_t into = cell_of(other.cells[from].key, other.cells[from].bin);
            rows[into] += other.rows[from];
            for (size_t at = 0; at < columns.size(); at++) {
                join(columns[at].kind, columns[at].cells[into], other.columns[at].cells[from]);
            }
        }
    }

   private:
    static constexpr uint32_t kEmpty = std::numeric_limits<uint32_t>::max();
    std::vector<uint32_t> table_;

    size_t place(int64_t key, int64_t bin) const {
        uint64_t mixed = uint64_t(key) * 0x9E3779B97F4A7C15ull ^ (uint64_t(bin) + 0x7F4A7C15ull) * 0xC2B2AE3D27D4EB4Full;
        mixed ^= mixed >> 29;
        mixed *= 0xBF58476D1CE4E5B9ull;
        return size_t(mixed ^ (mixed >> 32)) & (table_.size() - 1);
    }

    void grow() {
        table_.assign(table_.empty() ? 64 : table_.size() * 2, kEmpty);
        for (uint32_t number = 0; number < cells.size(); number++) {
            size_t at = place(cells[number].key, cells[number].bin);
            while (table_[at] != kEmpty) at = (at + 1) & (table_.size() - 1);
            table_[at] = number;
        }
    }
};

// Bins of one width, counted from an origin; one bin for all times when the width is 0.
struct Bins {
    int64_t origin, width;

    int64_t number(int64_t time) const {
        if (width == 0) return 0;
        const Wide distance = Wide(time) - origin;
        const Wide towards_zero = distance / width;
        return int64_t(towards_zero - (towards_zero * width > distance ? 1 : 0));
    }
    int64_t last_time(int64_t bin) const {
        if (width == 0) return kLatest;
        const Wide end = Wide(origin) + (Wide(bin) + 1) * width - 1;
        return end > kLatest ? kLatest : int64_t(end);
    }
    int64_t first_time(int64_t bin) const {
        if (width == 0) return kEarliest;
        const Wide begin = Wide(origin) + Wide(bin) * width;
        return begin < kEarliest ? kEarliest : int64_t(begin);
    }
};

struct Rows {
    Lent<int32_t> codes;
    Lent<int64_t> keys, times;
    int64_t first, last;
    Bins bins;

    // of a row whose codes are given
    int64_t key(size_t row) const {
        const size_t code = size_t(uint32_t(codes[row]));
        if (code >= keys.size()) throw std::invalid_argument("codes: a number without a key");
        return keys[code];
    }
};

// Rows of one key, in order of time.
void cut_sorted(Fold& fold, const Rows& rows, int64_t key, size_t begin, size_t end, std::vector<Stretch>& found) {
    if (key < 0) return;
    while (begin < end && rows.times[begin] < rows.first) begin++;
    while (begin < end) {
        const int64_t time = rows.times[begin];
        if (time > rows.last) return;
        const int64_t bin = rows.bins.number(time);
        const int64_t last = std::min(rows.bins.last_time(bin), rows.last);
        size_t inside = begin, step = 1;  // the row at `inside` is in the bin
        while (inside + step < end && rows.times[inside + step] <= last) {
            inside += step;
            step *= 2;
        }
        size_t outside = std::min(inside + step, end);
        while (inside + 1 < outside) {
            const size_t middle = inside + (outside - inside) / 2;
            (rows.times[middle] <= last ? inside : outside) = middle;
        }
        found.push_back({uint32_t(begin), uint32_t(outside), fold.cell_of(key, bin)});
        begin = outside;
    }
}

// Rows in any order; neighbours of one code and bin are taken together.
void cut_any(Fold& fold, const Rows& rows, size_t begin, size_t end, std::vector<Stretch>& found) {
    int32_t code = 0;
    int64_t from = 1, to = 0;  // of the bin at hand; none yet
    bool open = false;
    for (size_t row = begin; row < end; row++) {
        const int64_t time = rows.times[row];
        if (time < rows.first || time > rows.last) {
            open = false;
            continue;
        }
        if (open && rows.codes[row] == code && time >= from && time <= to) {
            found.back().end = uint32_t(row + 1);
            continue;
        }
        const int64_t key = rows.key(row);
        open = key >= 0;
        if (!open) continue;
        code = rows.codes[row];
        const int64_t bin = rows.bins.number(time);
        from = rows.bins.first_time(bin);
        to = rows.bins.last_time(bin);
        found.push_back({uint32_t(row), uint32_t(row + 1), fold.cell_of(key, bin)});
    }
}

// ---- Python ---------------------------------------------------------------------------------------------------------

struct FoldObject {
    PyObject_HEAD
    Fold* fold;
};

PyTypeObject* fold_type = nullptr;

PyObject* fold_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"kinds", "cells_max", nullptr};
    PyObject* kinds_object;
    Py_ssize_t cells_max = PY_SSIZE_T_MAX;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|n:Fold", const_cast<char**>(names), &kinds_object, &cells_max)) return nullptr;
    if (cells_max < 0) {
        PyErr_SetString(PyExc_ValueError, "cells_max is negative");
        return nullptr;
    }
    PyObject* kinds = PySequence_Fast(kinds_object, "kinds must be a sequence");
    if (kinds == nullptr) return nullptr;
    auto* self = reinterpret_cast<FoldObject*>(type->tp_alloc(type, 0));
    if (self != nullptr) {
        self->fold = new (std::nothrow) Fold;
        bool fine = self->fold != nullptr;
        if (!fine) PyErr_NoMemory();
        if (fine) self->fold->cells_max = std::min(self->fold->cells_max, size_t(cells_max));
        for (Py_ssize_t at = 0; fine && at < PySequence_Fast_GET_SIZE(kinds); at++) {
            const long kind = PyLong_AsLong(PySequence_Fast_GET_ITEM(kinds, at));
            fine = !PyErr_Occurred();
            if (fine && (kind < kOther || kind > kUnsigned)) {
                PyErr_SetString(PyExc_ValueError, "kinds are 0 to 3");
                fine = false;
            }
            if (fine) self->fold->columns.push_back({int(kind), {}});
        }
        if (!fine) {
            Py_DECREF(self);
            self = nullptr;
        }
    }
    Py_DECREF(kinds);
    return reinterpret_cast<PyObject*>(self);
}

void fold_dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<FoldObject*>(self)->fold;
    type->tp_free(self);
    Py_DECREF(type);
}

bool open_column(PyObject* given, int kind, size_t rows, Input& input) {
    PyObject *values, *validity;
    Py_ssize_t offset;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_ValueError, "a column is a tuple (values, validity, offset)");
        return false;
    }
    if (!PyArg_ParseTuple(given, "OOn:column", &values, &validity, &offset)) return false;
    if (!input.values.open_optional(values, "values") || !input.validity.open_optional(validity, "validity")) return false;
    if (kind != kOther && input.values.size() != rows) {
        PyErr_Format(PyExc_ValueError, "a column has %zu values, expected %zu", input.values.size(), rows);
        return false;
    }
    if (offset < 0 || (input.validity.present() && input.validity.size() < (size_t(offset) + rows + 7) / 8)) {
        PyErr_SetString(PyExc_ValueError, "validity is too short");
        return false;
    }
    input.offset = size_t(offset);
    return true;
}

PyObject* fold_add(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"codes", "keys", "times", "first", "last", "origin", "width", "columns", "begins", "ends", nullptr};
    PyObject *codes, *keys, *times, *columns_object, *begins_object = Py_None, *ends_object = Py_None;
    long long first, last, origin, width;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOLLLLO|OO:add", const_cast<char**>(names), &codes, &keys, &times, &first,
                                     &last, &origin, &width, &columns_object, &begins_object, &ends_object)) {
        return nullptr;
    }
    Fold& fold = *reinterpret_cast<FoldObject*>(self)->fold;
    Rows rows;
    rows.first = first;
    rows.last = last;
    rows.bins = {origin, width};
    Lent<int32_t> begins, ends;
    if (!rows.codes.open_optional(codes, "codes") || !rows.keys.open(keys, "keys") || !rows.times.open(times, "times") ||
        !begins.open_optional(begins_object, "begins") || !ends.open_optional(ends_object, "ends")) {
        return nullptr;
    }
    const size_t count = rows.times.size();
    if (!check_row_count(count)) return nullptr;
    const bool fits = rows.codes.present() ? rows.codes.size() == count && !begins.present() : rows.keys.size() == begins.size();
    if (!fits || begins.size() != ends.size() || begins.present() != ends.present() || width < 0) {
        PyErr_SetString(PyExc_ValueError, "codes and times, or keys, begins and ends, differ in length, or the width is negative");
        return nullptr;
    }
    PyObject* given = PySequence_Fast(columns_object, "columns must be a sequence");
    if (given == nullptr) return nullptr;
    std::vector<Input> inputs(fold.columns.size());
    bool fine = size_t(PySequence_Fast_GET_SIZE(given)) == inputs.size();
    if (!fine) PyErr_SetString(PyExc_ValueError, "columns do not fit the kinds");
    for (size_t at = 0; fine && at < inputs.size(); at++) {
        fine = open_column(PySequence_Fast_GET_ITEM(given, Py_ssize_t(at)), fold.columns[at].kind, count, inputs[at]);
    }
    fine = fine && without_gil([&] {
               std::vector<Stretch> stretches;
               if (rows.codes.present()) cut_any(fold, rows, 0, count, stretches);
               for (size_t at = 0; at < begins.size(); at++) {
                   const size_t begin = size_t(uint32_t(begins[at])), end = size_t(uint32_t(ends[at]));
                   if (begin > end || end > count) throw std::invalid_argument("a range lies outside the rows");
                   cut_sorted(fold, rows, rows.keys[at], begin, end, stretches);
               }
               fold.fold(stretches, inputs);
           });
    inputs.clear();
    Py_DECREF(given);
    if (!fine) return nullptr;
    Py_RETURN_NONE;
}

PyObject* fold_merge(PyObject* self, PyObject* other) {
    if (!PyObject_TypeCheck(other, fold_type) || other == self) {
        PyErr_SetString(PyExc_TypeError, "merge takes another Fold");
        return nullptr;
    }
    Fold& into = *reinterpret_cast<FoldObject*>(self)->fold;
    const Fold& from = *reinterpret_cast<FoldObject*>(other)->fold;
    bool alike = into.columns.size() == from.columns.size();
    for (size_t at = 0; alike && at < into.columns.size(); at++) alike = into.columns[at].kind == from.columns[at].kind;
    if (!alike) {
        PyErr_SetString(PyExc_ValueError, "columns of different kinds");
        return nullptr;
    }
    if (!without_gil([&] { into.merge(from); })) return nullptr;
    Py_RETURN_NONE;
}

// ---- the outcome, as Arrow's buffers

constexpr int kTagBits = 21;  // of a key, for each tag: its code and one, or 0 for none
constexpr int64_t kTagMask = (int64_t(1) << kTagBits) - 1;

enum class Measure { kCount, kSum, kMean, kLow, kHigh };

// One column on its way to Python: values of `width` bytes and, where any is missing, a bitmap.
struct Outgoing {
    PyObject* values = nullptr;
    PyObject* validity = nullptr;
    int64_t nulls = 0;

    Outgoing() = default;
    Outgoing(const Outgoing&) = delete;
    Outgoing& operator=(const Outgoing&) = delete;
    ~Outgoing() {
        Py_XDECREF(values);
        Py_XDECREF(validity);
    }

    bool allocate(size_t count, size_t width) {
        values = PyBytes_FromStringAndSize(nullptr, Py_ssize_t(count * width));
        validity = values == nullptr ? nullptr : PyBytes_FromStringAndSize(nullptr, Py_ssize_t((count + 7) / 8));
        return validity != nullptr;
    }

    // `make` gives the value of a row and says whether there is one.
    template <typename T, typename Make>
    void fill(size_t count, Make make) {
        char* out = PyBytes_AS_STRING(values);
        auto* bits = reinterpret_cast<uint8_t*>(PyBytes_AS_STRING(validity));
        std::memset(bits, 0, (count + 7) / 8);
        for (size_t row = 0; row < count; row++) {
            T value{};
            if (make(row, value)) {
                bits[row / 8] |= uint8_t(1 << (row % 8));
            } else {
                nulls++;
            }
            std::memcpy(out + row * sizeof(T), &value, sizeof(T));
        }
    }

    PyObject* taken() const {
        return Py_BuildValue("(OOL)", nulls == 0 ? Py_None : validity, values, static_cast<long long>(nulls));
    }
};

// The cells by the beginnings of their bins; those of one bin by their keys.
std::vector<uint32_t> in_order(const Fold& fold) {
    std::vector<uint32_t> order(fold.cells.size());
    for (uint32_t at = 0; at < order.size(); at++) order[at] = at;
    const auto earlier = [&](uint32_t left, uint32_t right) {
        const Cell &one = fold.cells[left], &other = fold.cells[right];
        return one.bin != other.bin ? one.bin < other.bin : one.key < other.key;
    };
    if (!std::is_sorted(order.begin(), order.end(), earlier)) std::sort(order.begin(), order.end(), earlier);
    return order;
}

void fill_measure(Outgoing& out, const Fold& fold, const std::vector<uint32_t>& order, Measure measure, int at) {
    const size_t count = order.size();
    if (at < 0) {
        out.fill<int64_t>(count, [&](size_t row, int64_t& value) {
            value = fold.rows[order[row]];
            return true;
        });
        return;
    }
    const Column& column = fold.columns[size_t(at)];
    out.fill<uint64_t>(count, [&](size_t row, uint64_t& value) {
        const Values& found = column.cells[order[row]];
        if (measure == Measure::kCount) {
            value = uint64_t(found.count);
            return true;
        }
        if (found.count == 0) return false;
        switch (measure) {
            case Measure::kSum:
                value = column.kind == kFloat ? as_bits(found.total) : found.sum;
                break;
            case Measure::kMean:
                value = as_bits(found.total / double(found.count));
                break;
            case Measure::kLow:
                value = found.low;
                break;
            default:
                value = found.high;
        }
        return true;
    });
}

void fill_key(Outgoing& out, const Fold& fold, const std::vector<uint32_t>& order, int tag, int64_t origin, int64_t width) {
    if (tag < 0) {
        out.fill<int64_t>(order.size(), [&](size_t row, int64_t& value) {
            value = int64_t(uint64_t(fold.cells[order[row]].bin) * uint64_t(width) + uint64_t(origin));
            return true;
        });
        return;
    }
    out.fill<int32_t>(order.size(), [&](size_t row, int32_t& value) {
        const int64_t code = (fold.cells[order[row]].key >> (tag * kTagBits)) & kTagMask;
        value = code == 0 ? 0 : int32_t(code - 1);
        return code != 0;
    });
}

bool open_keys(PyObject* given, std::vector<int>& keys) {
    PyObject* items = PySequence_Fast(given, "keys must be a sequence");
    if (items == nullptr) return false;
    for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(items) && !PyErr_Occurred(); at++) {
        const long tag = PyLong_AsLong(PySequence_Fast_GET_ITEM(items, at));
        if (!PyErr_Occurred() && (tag < -1 || tag > 2)) PyErr_SetString(PyExc_ValueError, "keys are -1, or tags from 0 to 2");
        keys.push_back(int(tag));
    }
    Py_DECREF(items);
    return !PyErr_Occurred();
}

bool open_measures(PyObject* given, const Fold& fold, std::vector<std::pair<Measure, int>>& measures) {
    static const std::pair<const char*, Measure> known[] = {
        {"count", Measure::kCount}, {"sum", Measure::kSum}, {"avg", Measure::kMean}, {"min", Measure::kLow}, {"max", Measure::kHigh}};
    PyObject* items = PySequence_Fast(given, "measures must be a sequence");
    if (items == nullptr) return false;
    for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(items) && !PyErr_Occurred(); at++) {
        const char* name;
        int column;
        PyObject* item = PySequence_Fast_GET_ITEM(items, at);
        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_ValueError, "a measure is a tuple (function, column)");
            break;
        }
        if (!PyArg_ParseTuple(item, "si:measure", &name, &column)) break;
        const auto* found = std::find_if(std::begin(known), std::end(known), [&](const auto& each) { return std::strcmp(each.first, name) == 0; });
        const bool counts = found != std::end(known) && found->second == Measure::kCount;
        const bool fits = found != std::end(known) && column >= (counts ? -1 : 0) && column < int(fold.columns.size()) &&
                          (counts || fold.columns[size_t(column)].kind != kOther);
        if (!fits) PyErr_SetString(PyExc_ValueError, "no such measure of this column");
        if (fits) measures.emplace_back(found->second, column);
    }
    Py_DECREF(items);
    return !PyErr_Occurred();
}

PyObject* fold_outcome(PyObject* self, PyObject* args) {
    PyObject *keys_object, *measures_object;
    long long origin, width;
    if (!PyArg_ParseTuple(args, "OLLO:outcome", &keys_object, &origin, &width, &measures_object)) return nullptr;
    const Fold& fold = *reinterpret_cast<FoldObject*>(self)->fold;
    std::vector<int> keys;
    std::vector<std::pair<Measure, int>> measures;
    if (!open_keys(keys_object, keys) || !open_measures(measures_object, fold, measures)) return nullptr;
    const size_t count = fold.cells.size();
    std::vector<Outgoing> columns(keys.size() + measures.size());
    for (size_t at = 0; at < columns.size(); at++) {
        if (!columns[at].allocate(count, at < keys.size() && keys[at] >= 0 ? 4 : 8)) return nullptr;
    }
    const bool made = without_gil([&] {
        const std::vector<uint32_t> order = in_order(fold);
        for (size_t at = 0; at < keys.size(); at++) fill_key(columns[at], fold, order, keys[at], origin, width);
        for (size_t at = 0; at < measures.size(); at++) {
            fill_measure(columns[keys.size() + at], fold, order, measures[at].first, measures[at].second);
        }
    });
    PyObject* list = made ? PyList_New(Py_ssize_t(columns.size())) : nullptr;
    for (size_t at = 0; list != nullptr && at < columns.size(); at++) {
        PyObject* column = columns[at].taken();
        if (column == nullptr) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, Py_ssize_t(at), column);
        }
    }
    return list == nullptr ? nullptr : Py_BuildValue("(nN)", Py_ssize_t(count), list);
}

PyMethodDef fold_methods[] = {
    {"add", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fold_add)), METH_VARARGS | METH_KEYWORDS,
     "add(codes, keys, times, first, last, origin, width, columns, begins=None, ends=None)"},
    {"merge", fold_merge, METH_O, "merge(other)"},
    {"outcome", fold_outcome, METH_VARARGS, "outcome(keys, origin, width, measures) -> (rows, columns)"},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot fold_slots[] = {
    {Py_tp_doc, const_cast<char*>("Aggregates of columns by key and bin of time.")},
    {Py_tp_new, reinterpret_cast<void*>(fold_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(fold_dealloc)},
    {Py_tp_methods, fold_methods},
    {0, nullptr},
};

PyType_Spec fold_spec = {"engine._native.Fold", sizeof(FoldObject), 0, Py_TPFLAGS_DEFAULT, fold_slots};

}  // namespace

bool add_fold(PyObject* module) {
    fold_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&fold_spec));
    return fold_type != nullptr && PyModule_AddObjectRef(module, "Fold", reinterpret_cast<PyObject*>(fold_type)) == 0;
}
