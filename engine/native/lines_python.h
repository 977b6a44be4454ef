// What the Python-facing sources share: buffers in, memoryviews out, the GIL, exceptions, capsules.
#pragma once

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "series_arrow.h"

namespace flightline {

// An object that is released when the scope ends.
struct Decref {
    void operator()(PyObject* object) const { Py_XDECREF(object); }
};
using Owned = std::unique_ptr<PyObject, Decref>;

// A contiguous buffer that is released when the scope ends.
class View {
  public:
    View() = default;
    ~View() {
        if (view_.obj != nullptr) PyBuffer_Release(&view_);
    }
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    bool open(PyObject* object) { return PyObject_GetBuffer(object, &view_, PyBUF_ANY_CONTIGUOUS) == 0; }
    // Opens a buffer of whole numbers.
    template <class T>
    bool open_numbers(PyObject* object, const char* what) {
        if (!open(object)) return false;
        if (view_.len % static_cast<Py_ssize_t>(sizeof(T)) == 0) return true;
        PyErr_Format(PyExc_ValueError, "%s: %zd bytes are no whole number of items", what, view_.len);
        return false;
    }
    template <class T>
    const T* at() const {
        return static_cast<const T*>(view_.buf);
    }
    int64_t bytes() const { return view_.len; }

  private:
    Py_buffer view_ = {};
};

class WithoutGil {
  public:
    WithoutGil() : state_(PyEval_SaveThread()) {}
    ~WithoutGil() { PyEval_RestoreThread(state_); }
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

  private:
    PyThreadState* state_;
};

// The Python exception for a C++ one; to be called in a catch block, with the GIL.
inline void raise_current() {
    try {
        throw;
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::length_error& error) {
        PyErr_SetString(PyExc_OverflowError, error.what());
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
}

// Runs `work` without the GIL; false with an exception set when it throws.
template <class Work>
bool without_gil(Work work) {
    std::exception_ptr failure;
    {
        WithoutGil released;
        try {
            work();
        } catch (...) {
            failure = std::current_exception();
        }
    }
    if (failure == nullptr) return true;
    try {
        std::rethrow_exception(failure);
    } catch (...) {
        raise_current();
    }
    return false;
}

// A new bytes object of `count` items and where they go.
template <class T>
PyObject* new_numbers(int64_t count, T*& at) {
    PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(count * static_cast<int64_t>(sizeof(T))));
    if (bytes != nullptr) at = reinterpret_cast<T*>(PyBytes_AS_STRING(bytes));
    return bytes;
}

// A memoryview of the bytes object, of items with the given struct format.
inline PyObject* as_memoryview(PyObject* bytes, const char* format) {
    const Owned whole(PyMemoryView_FromObject(bytes));
    return whole == nullptr ? nullptr : PyObject_CallMethod(whole.get(), "cast", "s", format);
}

inline void release_schema_capsule(PyObject* capsule) {
    auto* schema = static_cast<ArrowSchema*>(PyCapsule_GetPointer(capsule, "arrow_schema"));
    if (schema->release != nullptr) schema->release(schema);
    delete schema;
}

inline void release_array_capsule(PyObject* capsule) {
    auto* array = static_cast<ArrowArray*>(PyCapsule_GetPointer(capsule, "arrow_array"));
    if (array->release != nullptr) array->release(array);
    delete array;
}

// What __arrow_c_array__ returns. `fill` exports into both structures and may throw.
template <class Fill>
PyObject* capsules(Fill fill) {
    auto schema = std::make_unique<ArrowSchema>();
    auto array = std::make_unique<ArrowArray>();
    *schema = {};
    *array = {};
    try {
        fill(*schema, *array);
    } catch (...) {
        if (schema->release != nullptr) schema->release(schema.get());
        raise_current();
        return nullptr;
    }
    const Owned schema_capsule(PyCapsule_New(schema.get(), "arrow_schema", release_schema_capsule));
    if (schema_capsule != nullptr) schema.release();
    const Owned array_capsule(PyCapsule_New(array.get(), "arrow_array", release_array_capsule));
    if (array_capsule != nullptr) array.release();
    if (schema_capsule == nullptr || array_capsule == nullptr) return nullptr;
    return PyTuple_Pack(2, schema_capsule.get(), array_capsule.get());
}

// An object whose __arrow_c_array__ gives these capsules, to be taken once.
PyObject* exported(PyObject* schema_capsule, PyObject* array_capsule);

// The index of a SeriesIndex object, or null with an exception set.
std::shared_ptr<SeriesIndex> index_of(PyObject* object);

bool add_series_index(PyObject* module);

}  // namespace flightline
