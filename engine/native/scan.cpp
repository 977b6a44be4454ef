// Kernels of a scan: which rows of sorted rows lie in a range of time. Interface and meaning: engine/_native.pyi.
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

PyObject* clip(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"times", "begins", "ends", "first", "last", "order", nullptr};
    PyObject *times_object, *begins_object, *ends_object, *order_object = Py_None;
    long long first, last;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOLL|O:clip", const_cast<char**>(names), &times_object, &begins_object,
                                     &ends_object, &first, &last, &order_object)) {
        return nullptr;
    }
    Lent<int64_t> times;
    Lent<int32_t> begins, ends, order;
    if (!times.open(times_object, "times") || !begins.open(begins_object, "begins") || !ends.open(ends_object, "ends") ||
        !order.open_optional(order_object, "order")) {
        return nullptr;
    }
    if (begins.size() != ends.size() || (order.present() && order.size() != times.size())) {
        PyErr_SetString(PyExc_ValueError, "begins and ends, or order and times, differ in length");
        return nullptr;
    }
    Made from, to;
    if (!from.allocate(begins.size()) || !to.allocate(begins.size())) return nullptr;
    const size_t rows = times.size();
    const bool done = without_gil([&] {
        int32_t *from_out = from.data(), *to_out = to.data();
        const auto time_at = [&](size_t position) {
            const size_t row = order.present() ? size_t(uint32_t(order[position])) : position;
            if (row >= rows) throw std::invalid_argument("order: a row is out of range");
            return times[row];
        };
        for (size_t i = 0; i < begins.size(); i++) {
            const size_t begin = size_t(uint32_t(begins[i])), end = size_t(uint32_t(ends[i]));
            if (begin > end || end > rows) throw std::invalid_argument("a range lies outside the rows");
            const size_t low = first_where(begin, end, [&](size_t at) { return time_at(at) >= first; });
            const size_t high = first_where(low, end, [&](size_t at) { return time_at(at) > last; });
            from_out[i] = int32_t(low);
            to_out[i] = int32_t(high);
        }
    });
    return done ? pair(from.view(), to.view()) : nullptr;
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
    {"clip", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(clip)), METH_VARARGS | METH_KEYWORDS,
     "clip(times, begins, ends, first, last, order=None) -> (begins, ends)"},
    {"spread", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(spread)), METH_VARARGS | METH_KEYWORDS,
     "spread(begins, ends) -> rows"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_scan(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }
