// The extension module engine._encode; its interface is engine/_encode.pyi.
//
// Y1  The GIL is released while rows become text; it is taken back for a zone's offset and for nothing else.
// Y2  An encoder is used by one thread at a time: a second one gets an error, not a wrong answer.
//
// Held by tests/unit/engine/test_encode.py (Y1, Y2).
#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <exception>
#include <stdexcept>
#include <string>

#include "rows.h"

namespace {

using namespace flightline::encode;

// An error that Python already knows.
struct PythonError : std::exception {};

struct EncoderObject {
    PyObject_HEAD
    PyObject* schema;  // the capsule that `types` lies in
    const ArrowSchema* types;
    PyObject* zone_offset;
    Encoder* encoder;
    Text* text;  // a piece on its way, whose memory is used again
    PyThreadState* waiting;  // of the thread that encodes, while it has no GIL
    bool busy;
};

class Busy {
  public:
    explicit Busy(EncoderObject* self) : self_(self) { self_->busy = true; }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() { self_->busy = false; }

  private:
    EncoderObject* const self_;
};

class Reference {
  public:
    explicit Reference(PyObject* object = nullptr) : object_(object) {}
    Reference(const Reference&) = delete;
    Reference& operator=(const Reference&) = delete;
    ~Reference() { Py_XDECREF(object_); }
    PyObject* get() const { return object_; }

  private:
    PyObject* const object_;
};

// The capsules of a batch, as long as it is read.
struct Batch {
    explicit Batch(PyObject* batch) : pair(PyObject_CallMethod(batch, "__arrow_c_array__", nullptr)) {
        if (pair.get() == nullptr) throw PythonError();
        if (!PyTuple_Check(pair.get()) || PyTuple_GET_SIZE(pair.get()) != 2) {
            PyErr_SetString(PyExc_TypeError, "__arrow_c_array__ must return two capsules");
            throw PythonError();
        }
        schema = static_cast<const ArrowSchema*>(PyCapsule_GetPointer(PyTuple_GET_ITEM(pair.get(), 0), "arrow_schema"));
        if (schema == nullptr) throw PythonError();
        array = static_cast<const ArrowArray*>(PyCapsule_GetPointer(PyTuple_GET_ITEM(pair.get(), 1), "arrow_array"));
        if (array == nullptr) throw PythonError();
    }
    const Reference pair;
    const ArrowSchema* schema = nullptr;
    const ArrowArray* array = nullptr;
};

// What C++ throws, as an exception of Python.
PyObject* raised() {
    try {
        throw;
    } catch (const PythonError&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

int64_t ask_offset(EncoderObject* self, const std::string& zone, int64_t moment) {
    if (self->waiting != nullptr) PyEval_RestoreThread(self->waiting);
    const bool released = self->waiting != nullptr;
    self->waiting = nullptr;
    const Reference answer(PyObject_CallFunction(self->zone_offset, "sL", zone.c_str(), static_cast<long long>(moment)));
    const long long offset = answer.get() == nullptr ? -1 : PyLong_AsLongLong(answer.get());
    if (offset == -1 && PyErr_Occurred() != nullptr) throw PythonError();  // with the GIL: see encoder_encode
    if (released) self->waiting = PyEval_SaveThread();
    return offset;
}

PyObject* encoder_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
    static const char* names[] = {"schema", "form", "zone_offset_s", nullptr};
    PyObject *schema, *zone_offset;
    const char* form;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OsO", const_cast<char**>(names), &schema, &form, &zone_offset))
        return nullptr;
    const std::string wanted = form;
    Form found;
    if (wanted == "json") {
        found = Form::JSON;
    } else if (wanted == "jsonl") {
        found = Form::JSON_LINES;
    } else if (wanted == "csv") {
        found = Form::CSV;
    } else if (wanted == "cells") {
        found = Form::CELLS;
    } else {
        PyErr_Format(PyExc_ValueError, "no such form: %s", form);
        return nullptr;
    }
    auto* self = reinterpret_cast<EncoderObject*>(type->tp_alloc(type, 0));
    if (self == nullptr) return nullptr;
    const Reference owner(reinterpret_cast<PyObject*>(self));
    self->zone_offset = Py_NewRef(zone_offset);
    self->schema = PyObject_CallMethod(schema, "__arrow_c_schema__", nullptr);
    if (self->schema == nullptr) return nullptr;
    self->types = static_cast<const ArrowSchema*>(PyCapsule_GetPointer(self->schema, "arrow_schema"));
    if (self->types == nullptr) return nullptr;
    try {
        const auto offset = [self](const std::string& zone, int64_t moment) { return ask_offset(self, zone, moment); };
        self->text = new Text;
        self->encoder = new Encoder(*self->types, found, offset);
    } catch (...) {
        return raised();
    }
    return Py_NewRef(owner.get());
}

void encoder_dealloc(PyObject* object) {
    auto* self = reinterpret_cast<EncoderObject*>(object);
    delete self->encoder;
    delete self->text;
    Py_XDECREF(self->schema);
    Py_XDECREF(self->zone_offset);
    PyTypeObject* type = Py_TYPE(object);
    type->tp_free(object);
    Py_DECREF(type);
}

// Y2. Also checks that the batch has the schema's types (E1).
void check(EncoderObject* self, const Batch& batch) {
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the encoder is in use by another thread");
        throw PythonError();
    }
    if (!same_types(*self->types, *batch.schema)) throw std::invalid_argument("a batch of another schema");
}

PyObject* encoder_encode(PyObject* object, PyObject* arguments) {
    auto* self = reinterpret_cast<EncoderObject*>(object);
    PyObject* given;
    long long row = 0;
    if (!PyArg_ParseTuple(arguments, "OL", &given, &row)) return nullptr;
    try {
        const Batch batch(given);
        check(self, batch);
        const Busy busy(self);
        Text& text = *self->text;
        text.clear();
        int64_t next = 0;
        self->waiting = PyEval_SaveThread();
        try {
            next = self->encoder->encode(*batch.array, row, text);
        } catch (...) {
            if (self->waiting != nullptr) PyEval_RestoreThread(self->waiting);
            self->waiting = nullptr;
            throw;
        }
        PyEval_RestoreThread(self->waiting);
        self->waiting = nullptr;
        return Py_BuildValue("(y#L)", text.data() == nullptr ? "" : text.data(), static_cast<Py_ssize_t>(text.size()),
                             static_cast<long long>(next));
    } catch (...) {
        return raised();
    }
}

PyObject* encoder_end(PyObject* object, PyObject*) {
    auto* self = reinterpret_cast<EncoderObject*>(object);
    try {
        Text text;
        self->encoder->end(text);
        return PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
    } catch (...) {
        return raised();
    }
}

PyObject* encoder_cells(PyObject* object, PyObject* given) {
    auto* self = reinterpret_cast<EncoderObject*>(object);
    try {
        const Batch batch(given);
        check(self, batch);
        const Busy busy(self);
        self->encoder->bind(*batch.array);
        const Reference columns(PyList_New(0));
        Text text;
        for (size_t number = 0; columns.get() != nullptr && number < self->encoder->column_count(); ++number) {
            const Reference cells(PyList_New(static_cast<Py_ssize_t>(batch.array->length)));
            if (cells.get() == nullptr || PyList_Append(columns.get(), cells.get()) != 0) return nullptr;
            for (int64_t row = 0; row < batch.array->length; ++row) {
                text.clear();
                self->encoder->cell(number, batch.array->offset + row, text);
                PyObject* cell = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
                if (cell == nullptr) return nullptr;
                PyList_SET_ITEM(cells.get(), static_cast<Py_ssize_t>(row), cell);
            }
        }
        return Py_XNewRef(columns.get());
    } catch (...) {
        return raised();
    }
}

PyMethodDef methods[] = {
    {"encode", encoder_encode, METH_VARARGS, nullptr},
    {"end", encoder_end, METH_NOARGS, nullptr},
    {"cells", encoder_cells, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(encoder_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(encoder_dealloc)},
    {Py_tp_methods, methods},
    {0, nullptr},
};

PyType_Spec spec = {"engine._encode.Encoder", sizeof(EncoderObject), 0, Py_TPFLAGS_DEFAULT, slots};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_encode", "Rows of Arrow batches as text.", -1, nullptr, nullptr, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__encode() {
    PyObject* module = PyModule_Create(&definition);
    if (module == nullptr) return nullptr;
    PyObject* type = PyType_FromSpec(&spec);
    if (type == nullptr || PyModule_AddObject(module, "Encoder", type) != 0) {
        Py_XDECREF(type);
        Py_DECREF(module);
        return nullptr;
    }
    return module;
}
