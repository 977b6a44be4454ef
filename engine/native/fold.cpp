// Aggregates of rows by group and bin of time, without a hash table entry for each row: a stretch of rows of one series within
// one bin is one entry. Interface and meaning: engine/_native.pyi.
//
// A1  No input makes the kernel read or write outside its buffers: lengths are checked on entry, numbers where they are used.
// A2  Sums of integers are exact: their low 64 bits for sum, the whole for the average. No result depends on how rows were cut
//     into calls, but for the last bits of sums of floats.
// A3  The GIL is released while rows are touched. An object is used by one thread at a time.
// A4  Rows make no more cells than an object may have: the call that would make more fails instead.
//
// Held by tests/unit/engine/test_fold_kernel.py (A1, A2, A4).
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

// `count` values of 8 bytes, made by a function of the cell's number, as bytes.
template <typename Make>
PyObject* column_of(size_t count, Make make) {
    PyObject* bytes = PyBytes_FromStringAndSize(nullptr, Py_ssize_t(count * 8));
    if (bytes == nullptr) return nullptr;
    char* out = PyBytes_AS_STRING(bytes);
    for (size_t cell = 0; cell < count; cell++) {
        const auto value = make(cell);
        static_assert(sizeof(value) == 8, "8 bytes a cell");
        std::memcpy(out + cell * 8, &value, 8);
    }
    return bytes;
}

PyObject* fold_cells(PyObject* self, PyObject*) {
    const Fold& fold = *reinterpret_cast<FoldObject*>(self)->fold;
    const size_t count = fold.cells.size();
    PyObject* keys = column_of(count, [&](size_t cell) { return fold.cells[cell].key; });
    PyObject* bins = column_of(count, [&](size_t cell) { return fold.cells[cell].bin; });
    PyObject* rows = column_of(count, [&](size_t cell) { return fold.rows[cell]; });
    PyObject* made = keys && bins && rows ? PyTuple_Pack(3, keys, bins, rows) : nullptr;
    Py_XDECREF(keys);
    Py_XDECREF(bins);
    Py_XDECREF(rows);
    return made;
}

PyObject* fold_column(PyObject* self, PyObject* number) {
    const Fold& fold = *reinterpret_cast<FoldObject*>(self)->fold;
    const Py_ssize_t at = PyLong_AsSsize_t(number);
    if (PyErr_Occurred()) return nullptr;
    if (at < 0 || size_t(at) >= fold.columns.size()) {
        PyErr_SetString(PyExc_IndexError, "no such column");
        return nullptr;
    }
    const Column& column = fold.columns[size_t(at)];
    const size_t count = column.cells.size();
    PyObject* parts[5] = {
        column_of(count, [&](size_t cell) { return column.cells[cell].count; }),
        column_of(count, [&](size_t cell) { return column.cells[cell].sum; }),
        column_of(count, [&](size_t cell) { return column.cells[cell].total; }),
        column_of(count, [&](size_t cell) { return column.cells[cell].low; }),
        column_of(count, [&](size_t cell) { return column.cells[cell].high; }),
    };
    bool fine = true;
    for (PyObject* part : parts) fine = fine && part != nullptr;
    PyObject* made = fine ? PyTuple_Pack(5, parts[0], parts[1], parts[2], parts[3], parts[4]) : nullptr;
    for (PyObject* part : parts) Py_XDECREF(part);
    return made;
}

PyMethodDef fold_methods[] = {
    {"add", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fold_add)), METH_VARARGS | METH_KEYWORDS,
     "add(codes, keys, times, first, last, origin, width, columns, begins=None, ends=None)"},
    {"merge", fold_merge, METH_O, "merge(other)"},
    {"cells", fold_cells, METH_NOARGS, "cells() -> (keys, bins, rows)"},
    {"column", fold_column, METH_O, "column(number) -> (counts, sums, totals, lows, highs)"},
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
