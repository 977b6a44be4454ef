// Buffers in and out of the kernels over rows, and work without the GIL. For rows.cpp, scan.cpp, columns.cpp,
// spell.cpp and fold.cpp.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <vector>

#include "native.h"

namespace {

constexpr size_t kMaxRows = size_t(std::numeric_limits<int32_t>::max());

// An array lent by Python. Elements are read with memcpy: Arrow buffers cut out of a file need not be aligned.
template <typename T>
class Lent {
   public:
    Lent() = default;
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    ~Lent() {
        if (open_) PyBuffer_Release(&view_);
    }

    bool open(PyObject* object, const char* name) {
        if (PyObject_GetBuffer(object, &view_, PyBUF_SIMPLE) != 0) return false;
        open_ = true;
        if (size_t(view_.len) % sizeof(T) != 0) {
            PyErr_Format(PyExc_ValueError, "%s: %zd bytes are no whole number of %zu-byte values", name, view_.len, sizeof(T));
            return false;
        }
        return true;
    }

    // None leaves the array absent.
    bool open_optional(PyObject* object, const char* name) { return object == Py_None || open(object, name); }

    bool present() const { return open_; }
    size_t size() const { return open_ ? size_t(view_.len) / sizeof(T) : 0; }
    const char* data() const { return static_cast<const char*>(view_.buf); }
    T operator[](size_t at) const {
        T value;
        std::memcpy(&value, static_cast<const char*>(view_.buf) + at * sizeof(T), sizeof(T));
        return value;
    }

   private:
    Py_buffer view_{};
    bool open_ = false;
};

// An int32 array on its way to Python: filled without the GIL, then wrapped as a memoryview over bytes.
class Made {
   public:
    Made() = default;
    Made(const Made&) = delete;
    Made& operator=(const Made&) = delete;
    ~Made() { Py_XDECREF(bytes_); }

    bool allocate(size_t count) {
        bytes_ = PyBytes_FromStringAndSize(nullptr, Py_ssize_t(count * sizeof(int32_t)));
        return bytes_ != nullptr;
    }
    bool copy(const std::vector<int32_t>& values) {
        if (!allocate(values.size())) return false;
        if (!values.empty()) std::memcpy(data(), values.data(), values.size() * sizeof(int32_t));
        return true;
    }
    int32_t* data() { return reinterpret_cast<int32_t*>(PyBytes_AS_STRING(bytes_)); }
    PyObject* view() { return PyMemoryView_FromObject(bytes_); }

   private:
    PyObject* bytes_ = nullptr;
};

// Runs `work` without the GIL; what it throws becomes a Python error.
template <typename Work>
bool without_gil(Work work) {
    const char* wrong = nullptr;
    bool out_of_memory = false;
    static thread_local char text[160];
    PyThreadState* state = PyEval_SaveThread();
    try {
        work();
    } catch (const std::invalid_argument& error) {
        std::strncpy(text, error.what(), sizeof(text) - 1);
        wrong = text;
    } catch (const std::exception&) {
        out_of_memory = true;  // bad_alloc or length_error: nothing else is thrown here
    }
    PyEval_RestoreThread(state);
    if (wrong != nullptr) PyErr_SetString(PyExc_ValueError, wrong);
    if (out_of_memory) PyErr_NoMemory();
    return wrong == nullptr && !out_of_memory;
}

inline bool check_row_count(size_t rows) {
    if (rows <= kMaxRows) return true;
    PyErr_Format(PyExc_ValueError, "%zu rows: at most %zu fit one call", rows, kMaxRows);
    return false;
}

inline PyObject* pair(PyObject* first, PyObject* second) {
    PyObject* result = first != nullptr && second != nullptr ? PyTuple_Pack(2, first, second) : nullptr;
    Py_XDECREF(first);
    Py_XDECREF(second);
    return result;
}

inline PyObject* none() { return Py_NewRef(Py_None); }

}  // namespace
