// Kernels of a scan: which rows of sorted rows are of wanted series and lie in a range of time. Interface and meaning: engine/_native.pyi.
//
// N1  No input makes a kernel read or write outside its buffers: every position is checked before it is used.
// N2  The GIL is released while rows are touched.
//
// Held by tests/unit/engine/test_scan_kernels.py (N1, N2).
#include <algorithm>

#include "rows_buffers.h"

namespace {

// The first of [begin, end) for which `passed` holds; all before it do not.
template <typename Passed>
size_t first_where(size_t begin, size_t end, Passed passed) {
    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        if (passed(middle)) {
            end = middle;
        } else {
            begin = middle + 1;
        }
    }
    return begin;
}

// Runs of rows of one series each, and what of them is wanted.
struct Runs {
    Lent<int32_t> numbers, starts, wanted, order;
    Lent<int64_t> times;
    int64_t first, last;
    bool ascending;

    size_t end(size_t run) const { return run + 1 < starts.size() ? size_t(uint32_t(starts[run + 1])) : times.size(); }
    int64_t time_at(size_t position) const {
        const size_t row = order.present() ? size_t(uint32_t(order[position])) : position;
        if (row >= times.size()) throw std::invalid_argument("order: a row is out of range");
        return times[row];
    }
    bool is_wanted(int32_t number) const {
        const size_t at = first_where(0, wanted.size(), [&](size_t place) { return wanted[place] >= number; });
        return at < wanted.size() && wanted[at] == number;
    }
};

class Found {
   public:
    std::vector<int32_t> begins, ends;
    int64_t rows = 0;

    void add(const Runs& runs, size_t run) {
        size_t begin = size_t(uint32_t(runs.starts[run])), end = runs.end(run);
        if (begin > end || end > runs.times.size()) throw std::invalid_argument("a run lies outside the rows");
        if (runs.first > std::numeric_limits<int64_t>::min()) {
            begin = first_where(begin, end, [&](size_t at) { return runs.time_at(at) >= runs.first; });
        }
        if (runs.last < std::numeric_limits<int64_t>::max()) {
            end = first_where(begin, end, [&](size_t at) { return runs.time_at(at) > runs.last; });
        }
        if (begin == end) return;
        begins.push_back(int32_t(begin));
        ends.push_back(int32_t(end));
        rows += int64_t(end - begin);
    }
};

PyObject* find_ranges(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"numbers", "starts", "times", "first", "last", "wanted", "ascending", "order", nullptr};
    PyObject *numbers, *starts, *times, *wanted = Py_None, *order = Py_None;
    long long first, last;
    int ascending = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOLL|OpO:find_ranges", const_cast<char**>(names), &numbers, &starts, &times,
                                     &first, &last, &wanted, &ascending, &order)) {
        return nullptr;
    }
    Runs runs;
    runs.first = first;
    runs.last = last;
    runs.ascending = ascending != 0;
    if (!runs.numbers.open(numbers, "numbers") || !runs.starts.open(starts, "starts") || !runs.times.open(times, "times") ||
        !runs.wanted.open_optional(wanted, "wanted") || !runs.order.open_optional(order, "order")) {
        return nullptr;
    }
    if (runs.numbers.size() != runs.starts.size() || (runs.order.present() && runs.order.size() != runs.times.size())) {
        PyErr_SetString(PyExc_ValueError, "numbers and starts, or order and times, differ in length");
        return nullptr;
    }
    if (!check_row_count(runs.times.size())) return nullptr;
    Found found;
    const bool done = without_gil([&] {
        const size_t count = runs.numbers.size();
        if (!runs.wanted.present()) {
            for (size_t run = 0; run < count; run++) found.add(runs, run);
        } else if (runs.ascending) {
            size_t run = 0;
            for (size_t at = 0; at < runs.wanted.size(); at++) {
                const int32_t number = runs.wanted[at];
                run = first_where(run, count, [&](size_t place) { return runs.numbers[place] >= number; });
                if (run < count && runs.numbers[run] == number) found.add(runs, run);
            }
        } else {
            for (size_t run = 0; run < count; run++) {
                if (runs.is_wanted(runs.numbers[run])) found.add(runs, run);
            }
        }
    });
    if (!done) return nullptr;
    Made begins, ends;
    if (!begins.copy(found.begins) || !ends.copy(found.ends)) return nullptr;
    return Py_BuildValue("NNL", begins.view(), ends.view(), static_cast<long long>(found.rows));
}

PyObject* spread(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"begins", "ends", nullptr};
    PyObject *begins_object, *ends_object;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:spread", const_cast<char**>(names), &begins_object, &ends_object)) {
        return nullptr;
    }
    Lent<int32_t> begins, ends;
    if (!begins.open(begins_object, "begins") || !ends.open(ends_object, "ends")) return nullptr;
    if (begins.size() != ends.size()) {
        PyErr_SetString(PyExc_ValueError, "begins and ends differ in length");
        return nullptr;
    }
    size_t total = 0;
    for (size_t i = 0; i < begins.size(); i++) {
        if (begins[i] < 0 || ends[i] < begins[i]) {
            PyErr_SetString(PyExc_ValueError, "a range ends before it begins");
            return nullptr;
        }
        total += size_t(ends[i] - begins[i]);
    }
    if (!check_row_count(total)) return nullptr;
    Made rows;
    if (!rows.allocate(total)) return nullptr;
    const bool done = without_gil([&] {
        int32_t* out = rows.data();
        size_t left = total;
        for (size_t i = 0; i < begins.size(); i++) {
            for (int32_t row = begins[i], end = ends[i]; row < end && left > 0; row++, left--) *out++ = row;
        }
        if (left > 0) throw std::invalid_argument("the ranges changed meanwhile");
    });
    return done ? rows.view() : nullptr;
}

PyMethodDef functions[] = {
    {"find_ranges", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(find_ranges)), METH_VARARGS | METH_KEYWORDS,
     "find_ranges(numbers, starts, times, first, last, wanted=None, ascending=False, order=None) -> (begins, ends, rows)"},
    {"spread", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(spread)), METH_VARARGS | METH_KEYWORDS,
     "spread(begins, ends) -> rows"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_scan(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }
