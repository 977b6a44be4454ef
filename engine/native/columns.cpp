// Kernels over whole columns: values into their sorted places, integers into fewer bytes, where rows lie in time. Interface and
// meaning: engine/_native.pyi.
//
// T1  No input makes a kernel read or write outside its buffers: every place is checked before it is written to.
// T2  The GIL is released while rows are touched.
//
// Held by tests/unit/engine/test_column_kernels.py (T1, T2).
#include <algorithm>
#include <unordered_map>

#include "rows_buffers.h"

namespace {

// Memory of Python's that is written to.
class Target {
   public:
    Target() = default;
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target() {
        if (open_) PyBuffer_Release(&view_);
    }

    bool open(PyObject* object) {
        open_ = PyObject_GetBuffer(object, &view_, PyBUF_WRITABLE) == 0;
        return open_;
    }
    size_t size() const { return size_t(view_.len); }
    char* data() const { return static_cast<char*>(view_.buf); }

   private:
    Py_buffer view_{};
    bool open_ = false;
};

PyObject* inverse(PyObject*, PyObject* args) {
    PyObject* order_object;
    if (!PyArg_ParseTuple(args, "O:inverse", &order_object)) return nullptr;
    Lent<int32_t> order;
    Made places;
    if (!order.open(order_object, "order") || !check_row_count(order.size()) || !places.allocate(order.size())) return nullptr;
    const bool done = without_gil([&] {
        int32_t* out = places.data();
        for (size_t i = 0; i < order.size(); i++) {
            const size_t row = size_t(uint32_t(order[i]));
            if (row >= order.size()) throw std::invalid_argument("order: a row is out of range");
            out[row] = int32_t(i);
        }
    });
    return done ? places.view() : nullptr;
}

PyObject* scatter(PyObject*, PyObject* args) {
    PyObject *parts_object, *places_object, *out_object;
    if (!PyArg_ParseTuple(args, "OOO:scatter", &parts_object, &places_object, &out_object)) return nullptr;
    PyObject* sequence = PySequence_Fast(parts_object, "parts must be a sequence of buffers");
    if (sequence == nullptr) return nullptr;
    std::vector<Lent<int64_t>> parts(size_t(PySequence_Fast_GET_SIZE(sequence)));
    size_t rows = 0;
    bool opened = true;
    for (size_t i = 0; opened && i < parts.size(); i++) {
        opened = parts[i].open(PySequence_Fast_GET_ITEM(sequence, Py_ssize_t(i)), "parts");
        rows += parts[i].size();
    }
    Py_DECREF(sequence);
    Lent<int32_t> places;
    Target out;
    if (!opened || !places.open(places_object, "places") || !out.open(out_object)) return nullptr;
    if (places.size() != rows || out.size() != rows * sizeof(int64_t)) {
        PyErr_Format(PyExc_ValueError, "%zu rows, %zu places and room for %zu bytes", rows, places.size(), out.size());
        return nullptr;
    }
    const bool done = without_gil([&] {
        size_t row = 0;
        for (const Lent<int64_t>& part : parts) {
            for (size_t i = 0; i < part.size(); i++, row++) {
                const size_t place = size_t(uint32_t(places[row]));
                if (place >= rows) throw std::invalid_argument("places: a place is out of range");
                const int64_t value = part[i];
                std::memcpy(out.data() + place * sizeof(value), &value, sizeof(value));
            }
        }
    });
    if (!done) return nullptr;
    Py_RETURN_NONE;
}

// The bytes that each of the values fits in, as a signed integer. A value of n bits, its sign among them, and its double are of one
// mind from the n-th bit on; shifts and exclusive ors are what every processor does several at a time.
size_t width_of(const Lent<int64_t>& values) {
    const char* const data = values.data();
    const size_t count = values.size();
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        std::memcpy(&value, data + i * sizeof(value), sizeof(value));
        bits |= value ^ value << 1;
    }
    return bits >> 32 ? 8 : bits >> 16 ? 4 : bits >> 8 ? 2 : 1;
}

template <typename Narrow>
void copy_as(const Lent<int64_t>& values, char* out) {
    const char* const data = values.data();
    const size_t count = values.size();
    for (size_t i = 0; i < count; i++) {
        int64_t value;
        std::memcpy(&value, data + i * sizeof(value), sizeof(value));
        const Narrow narrow = Narrow(value);
        std::memcpy(out + i * sizeof(narrow), &narrow, sizeof(narrow));
    }
}

PyObject* narrow(PyObject*, PyObject* args) {
    PyObject* values_object;
    if (!PyArg_ParseTuple(args, "O:narrow", &values_object)) return nullptr;
    Lent<int64_t> values;
    if (!values.open(values_object, "values")) return nullptr;
    size_t width = 8;
    if (!without_gil([&] { width = width_of(values); })) return nullptr;
    if (width == 8) return none();
    PyObject* bytes = PyBytes_FromStringAndSize(nullptr, Py_ssize_t(values.size() * width));
    if (bytes == nullptr) return nullptr;
    char* out = PyBytes_AS_STRING(bytes);
    const bool done = without_gil([&] {
        if (width == 4) copy_as<int32_t>(values, out);
        if (width == 2) copy_as<int16_t>(values, out);
        if (width == 1) copy_as<int8_t>(values, out);
    });
    PyObject* view = done ? PyMemoryView_FromObject(bytes) : nullptr;
    Py_DECREF(bytes);
    return view;
}

PyObject* time_range(PyObject*, PyObject* args) {
    PyObject* times_object;
    if (!PyArg_ParseTuple(args, "O:time_range", &times_object)) return nullptr;
    Lent<int64_t> times;
    if (!times.open(times_object, "times")) return nullptr;
    if (times.size() == 0) {
        PyErr_SetString(PyExc_ValueError, "no rows have no range of time");
        return nullptr;
    }
    int64_t first = times[0], last = times[0];
    const bool done = without_gil([&] {
        for (size_t i = 1; i < times.size(); i++) {
            first = std::min(first, times[i]);
            last = std::max(last, times[i]);
        }
    });
    return done ? Py_BuildValue("LL", static_cast<long long>(first), static_cast<long long>(last)) : nullptr;
}

PyObject* count_windows(PyObject*, PyObject* args) {
    PyObject* times_object;
    long long width;
    if (!PyArg_ParseTuple(args, "OL:count_windows", &times_object, &width)) return nullptr;
    Lent<int64_t> times;
    if (!times.open(times_object, "times")) return nullptr;
    if (width <= 0) {
        PyErr_SetString(PyExc_ValueError, "a window must have a width");
        return nullptr;
    }
    std::unordered_map<int64_t, int64_t> counts;
    const bool done = without_gil([&] {
        int64_t* count = nullptr;
        int64_t window = 0;
        for (size_t i = 0; i < times.size(); i++) {
            const int64_t time = times[i];
            const int64_t here = time / width - (time % width < 0);
            if (count == nullptr || here != window) {
                window = here;
                count = &counts[here];
            }
            ++*count;
        }
    });
    PyObject* found = done ? PyDict_New() : nullptr;
    for (auto at = counts.begin(); found != nullptr && at != counts.end(); ++at) {
        PyObject* key = PyLong_FromLongLong(at->first);
        PyObject* value = PyLong_FromLongLong(at->second);
        if (key == nullptr || value == nullptr || PyDict_SetItem(found, key, value) != 0) Py_CLEAR(found);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return found;
}

PyMethodDef functions[] = {
    {"inverse", inverse, METH_VARARGS, "inverse(order) -> places"},
    {"scatter", scatter, METH_VARARGS, "scatter(parts, places, out)"},
    {"narrow", narrow, METH_VARARGS, "narrow(values) -> values"},
    {"time_range", time_range, METH_VARARGS, "time_range(times) -> (first, last)"},
    {"count_windows", count_windows, METH_VARARGS, "count_windows(times, width) -> {window: rows}"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_columns(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }
