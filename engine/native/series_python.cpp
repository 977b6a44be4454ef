// engine._native.SeriesIndex: arguments checked, the GIL released, the rest is series.h and series_arrow.h.
#include <vector>

#include "lines_python.h"
#include "series_pick.h"
#include "series_postings.h"
#include "series_rank.h"

namespace flightline {

namespace {

struct IndexObject {
    PyObject_HEAD std::shared_ptr<SeriesIndex> index;
};

PyTypeObject* index_type = nullptr;

SeriesIndex& of(PyObject* self) { return *reinterpret_cast<IndexObject*>(self)->index; }

PyObject* index_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"tag_count", nullptr};
    int tag_count = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i", const_cast<char**>(names), &tag_count)) return nullptr;
    if (tag_count < 0) {
        PyErr_SetString(PyExc_ValueError, "tag_count must not be negative");
        return nullptr;
    }
    PyObject* self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    new (&reinterpret_cast<IndexObject*>(self)->index) std::shared_ptr<SeriesIndex>();
    try {
        reinterpret_cast<IndexObject*>(self)->index = std::make_shared<SeriesIndex>(tag_count);
    } catch (...) {
        raise_current();
        Py_DECREF(self);
        return nullptr;
    }
    return self;
}

void index_dealloc(PyObject* self) {
    using Pointer = std::shared_ptr<SeriesIndex>;
    reinterpret_cast<IndexObject*>(self)->index.~Pointer();
    PyTypeObject* type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

Py_ssize_t index_length(PyObject* self) { return static_cast<Py_ssize_t>(of(self).size()); }

PyObject* get_tag_count(PyObject* self, void*) { return PyLong_FromLong(of(self).tag_count()); }

PyObject* get_memory_bytes(PyObject* self, void*) { return PyLong_FromSize_t(of(self).memory_bytes()); }

bool check_tag(const SeriesIndex& index, int tag) {
    if (tag >= 0 && tag < index.tag_count()) return true;
    PyErr_Format(PyExc_IndexError, "the index has no tag %d", tag);
    return false;
}

// Every number must be that of a series; checked apart, so that the loops that follow need not.
void check_series(const int32_t* series, int64_t rows, int64_t size) {
    bool good = true;
    for (int64_t i = 0; i < rows; ++i) good = good & (static_cast<uint32_t>(series[i]) < static_cast<uint64_t>(size));
    if (!good) throw std::invalid_argument("a series number is out of range");
}

PyObject* add_tags(PyObject* self, PyObject* args) {
    int count;
    if (!PyArg_ParseTuple(args, "i", &count)) return nullptr;
    if (count < 0) {
        PyErr_SetString(PyExc_ValueError, "count must not be negative");
        return nullptr;
    }
    if (!without_gil([&] { of(self).add_tags(count); })) return nullptr;
    Py_RETURN_NONE;
}

PyObject* resolve(PyObject* self, PyObject* args) {
    PyObject* given;
    long long rows;
    if (!PyArg_ParseTuple(args, "OL", &given, &rows)) return nullptr;
    if (rows < 0) {
        PyErr_SetString(PyExc_ValueError, "rows must not be negative");
        return nullptr;
    }
    const Owned sequence(PySequence_Fast(given, "columns must be a sequence"));
    if (sequence == nullptr) return nullptr;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence.get());
    if (count != of(self).tag_count()) {
        PyErr_Format(PyExc_ValueError, "the index has %d tags, not %zd", of(self).tag_count(), count);
        return nullptr;
    }
    std::vector<Owned> kept;
    std::vector<ArrowColumn> columns;
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* column = PySequence_Fast_GET_ITEM(sequence.get(), i);
        columns.push_back({nullptr, nullptr});
        if (column == Py_None) continue;
        kept.emplace_back(PyObject_CallMethod(column, "__arrow_c_array__", nullptr));
        PyObject* pair = kept.back().get();
        if (pair == nullptr) return nullptr;
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "__arrow_c_array__ must return two capsules");
            return nullptr;
        }
        columns.back().schema = static_cast<const ArrowSchema*>(PyCapsule_GetPointer(PyTuple_GET_ITEM(pair, 0), "arrow_schema"));
        if (columns.back().schema == nullptr) return nullptr;
        columns.back().array = static_cast<const ArrowArray*>(PyCapsule_GetPointer(PyTuple_GET_ITEM(pair, 1), "arrow_array"));
        if (columns.back().array == nullptr) return nullptr;
    }
    int32_t* numbers = nullptr;
    const Owned bytes(new_numbers(rows, numbers));
    if (bytes == nullptr) return nullptr;
    if (!without_gil([&] { resolve_series(of(self), columns, rows, numbers); })) return nullptr;
    return as_memoryview(bytes.get(), "i");
}

PyObject* codes(PyObject* self, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"tag", "series", nullptr};
    int tag;
    PyObject* given = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|O", const_cast<char**>(names), &tag, &given)) return nullptr;
    const SeriesIndex& index = of(self);
    if (!check_tag(index, tag)) return nullptr;
    View series;
    if (given != Py_None && !series.open_numbers<int32_t>(given, "series")) return nullptr;
    const int64_t size = index.size();
    const int64_t rows = given == Py_None ? size : series.bytes() / 4;
    int32_t* at = nullptr;
    const Owned bytes(new_numbers(rows, at));
    if (bytes == nullptr) return nullptr;
    const bool done = without_gil([&] {
        const int32_t* numbers = given == Py_None ? nullptr : series.at<int32_t>();
        if (numbers != nullptr) check_series(numbers, rows, size);
        if (numbers == nullptr || rows <= size) {
            for (int64_t i = 0; i < rows; ++i) at[i] = index.code(tag, numbers == nullptr ? i : numbers[i]);
            return;
        }
        std::vector<int32_t> known(static_cast<size_t>(size));  // looked up once for each series, and not for each row
        for (int64_t i = 0; i < size; ++i) known[static_cast<size_t>(i)] = index.code(tag, i);
        for (int64_t i = 0; i < rows; ++i) at[i] = known[static_cast<size_t>(numbers[i])];
    });
    return done ? as_memoryview(bytes.get(), "i") : nullptr;
}

PyObject* as_numbers(const std::vector<int32_t>& found) {
    int32_t* at = nullptr;
    const Owned bytes(new_numbers(static_cast<int64_t>(found.size()), at));
    if (bytes == nullptr) return nullptr;
    if (!found.empty()) std::memcpy(at, found.data(), found.size() * 4);
    return as_memoryview(bytes.get(), "i");
}

PyObject* find_codes(PyObject* self, PyObject* args) {
    int tag;
    PyObject* given;
    if (!PyArg_ParseTuple(args, "iO", &tag, &given)) return nullptr;
    const SeriesIndex& index = of(self);
    if (!check_tag(index, tag)) return nullptr;
    const Owned sequence(PySequence_Fast(given, "values must be a sequence"));
    if (sequence == nullptr) return nullptr;
    std::vector<int32_t> found;
    const Reading reading(reinterpret_cast<IndexObject*>(self)->index);
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence.get()); ++i) {
        PyObject* value = PySequence_Fast_GET_ITEM(sequence.get(), i);
        if (value == Py_None) {
            found.push_back(NULL_CODE);
            continue;
        }
        Py_ssize_t size;
        const char* text = PyUnicode_AsUTF8AndSize(value, &size);
        if (text == nullptr) return nullptr;
        const int32_t code = reading->find_code(tag, {text, static_cast<size_t>(size)});
        if (code != UNKNOWN) found.push_back(code);
    }
    return as_numbers(found);
}

PyObject* having(PyObject* self, PyObject* args) {
    int tag;
    PyObject* given;
    if (!PyArg_ParseTuple(args, "iO", &tag, &given)) return nullptr;
    const SeriesIndex& index = of(self);
    if (!check_tag(index, tag)) return nullptr;
    View codes;
    if (!codes.open_numbers<int32_t>(given, "codes")) return nullptr;
    std::vector<int32_t> found;
    const bool done = without_gil([&] {
        const int32_t* at = codes.at<int32_t>();
        for (int64_t i = 0; i < codes.bytes() / 4; ++i) {
            if (at[i] < NULL_CODE || at[i] >= index.code_count(tag)) throw std::invalid_argument("a code is out of range");
        }
        found = series_with(index, tag, at, codes.bytes() / 4);
    });
    return done ? as_numbers(found) : nullptr;
}

PyObject* newest(PyObject* self, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"series", nullptr};
    PyObject* given = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &given)) return nullptr;
    const SeriesIndex& index = of(self);
    View series;
    if (given != Py_None && !series.open_numbers<int32_t>(given, "series")) return nullptr;
    const int64_t size = index.size();
    const int64_t rows = given == Py_None ? size : series.bytes() / 4;
    int64_t* at = nullptr;
    const Owned bytes(new_numbers(rows, at));
    if (bytes == nullptr) return nullptr;
    const bool done = without_gil([&] {
        const int32_t* numbers = given == Py_None ? nullptr : series.at<int32_t>();
        if (numbers != nullptr) check_series(numbers, rows, size);
        for (int64_t i = 0; i < rows; ++i) at[i] = index.newest(numbers == nullptr ? i : numbers[i]);
    });
    return done ? as_memoryview(bytes.get(), "q") : nullptr;
}

// What has been exported, to be taken once.
struct ExportedObject {
    PyObject_HEAD PyObject* capsules;
};

PyTypeObject* exported_type = nullptr;

void exported_dealloc(PyObject* self) {
    Py_XDECREF(reinterpret_cast<ExportedObject*>(self)->capsules);
    PyTypeObject* type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* exported_taken(PyObject* self, PyObject*, PyObject*) { return Py_NewRef(reinterpret_cast<ExportedObject*>(self)->capsules); }

PyMethodDef exported_methods[] = {
    {"__arrow_c_array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(exported_taken)), METH_VARARGS | METH_KEYWORDS,
     nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot exported_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(exported_dealloc)},
    {Py_tp_methods, exported_methods},
    {0, nullptr},
};

PyType_Spec exported_spec = {"engine._native.Exported", sizeof(ExportedObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, exported_slots};

// The values of a tag at one moment, all of them by code or those of some series; exported anew each time it is asked.
struct ValuesObject {
    PyObject_HEAD std::shared_ptr<SeriesIndex> index;
    int tag;
    std::unique_ptr<std::vector<int32_t>> series;
};

PyTypeObject* values_type = nullptr;

void values_dealloc(PyObject* self) {
    using Index = std::shared_ptr<SeriesIndex>;
    using Series = std::unique_ptr<std::vector<int32_t>>;
    reinterpret_cast<ValuesObject*>(self)->index.~Index();
    reinterpret_cast<ValuesObject*>(self)->series.~Series();
    PyTypeObject* type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* values_export(PyObject* self, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"requested_schema", nullptr};
    PyObject* requested = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &requested)) return nullptr;
    const auto* values = reinterpret_cast<ValuesObject*>(self);
    return capsules([&](ArrowSchema& schema, ArrowArray& array) {
        if (values->series) {
            export_values_of(*values->index, values->tag, *values->series, schema, array);
        } else {
            export_values(*values->index, values->tag, schema, array);
        }
    });
}

PyMethodDef values_methods[] = {
    {"__arrow_c_array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(values_export)), METH_VARARGS | METH_KEYWORDS,
     nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot values_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(values_dealloc)},
    {Py_tp_methods, values_methods},
    {0, nullptr},
};

PyType_Spec values_spec = {"engine._native.TagValues", sizeof(ValuesObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           values_slots};

PyObject* values(PyObject* self, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"tag", "series", nullptr};
    int tag;
    PyObject* given = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|O", const_cast<char**>(names), &tag, &given)) return nullptr;
    if (!check_tag(of(self), tag)) return nullptr;
    std::unique_ptr<std::vector<int32_t>> chosen;
    if (given != Py_None) {
        View series;
        if (!series.open_numbers<int32_t>(given, "series")) return nullptr;
        const int64_t rows = series.bytes() / 4;
        const bool done = without_gil([&] {
            check_series(series.at<int32_t>(), rows, of(self).size());
            chosen = std::make_unique<std::vector<int32_t>>(series.at<int32_t>(), series.at<int32_t>() + rows);
        });
        if (!done) return nullptr;
    }
    PyObject* made = values_type->tp_alloc(values_type, 0);
    if (made == nullptr) return nullptr;
    auto* result = reinterpret_cast<ValuesObject*>(made);
    new (&result->index) std::shared_ptr<SeriesIndex>(reinterpret_cast<IndexObject*>(self)->index);
    result->tag = tag;
    new (&result->series) std::unique_ptr<std::vector<int32_t>>(std::move(chosen));
    return made;
}

// Numbers of tags, checked.
bool open_tags(PyObject* given, const SeriesIndex& index, std::vector<int32_t>& tags) {
    const Owned sequence(PySequence_Fast(given, "tags must be a sequence"));
    if (sequence == nullptr) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence.get()); ++i) {
        const long tag = PyLong_AsLong(PySequence_Fast_GET_ITEM(sequence.get(), i));
        if (tag == -1 && PyErr_Occurred()) return false;
        if (!check_tag(index, static_cast<int>(tag))) return false;
        tags.push_back(static_cast<int32_t>(tag));
    }
    return true;
}

PyObject* columns(PyObject* self, PyObject* args) {
    PyObject *given_tags, *given_series;
    if (!PyArg_ParseTuple(args, "OO", &given_tags, &given_series)) return nullptr;
    const SeriesIndex& index = of(self);
    std::vector<int32_t> tags;
    if (!open_tags(given_tags, index, tags)) return nullptr;
    View series;
    if (!series.open_numbers<int32_t>(given_series, "series")) return nullptr;
    const int64_t rows = series.bytes() / 4;
    const Owned made(capsules([&](ArrowSchema& schema, ArrowArray& array) {
        const WithoutGil released;
        check_series(series.at<int32_t>(), rows, index.size());
        export_columns(index, tags, series.at<int32_t>(), rows, schema, array);
    }));
    return made == nullptr ? nullptr : exported(PyTuple_GET_ITEM(made.get(), 0), PyTuple_GET_ITEM(made.get(), 1));
}

PyObject* set_floor(PyObject* self, PyObject* args) {
    long long time_ns;
    if (!PyArg_ParseTuple(args, "L", &time_ns)) return nullptr;
    of(self).set_floor(time_ns);
    Py_RETURN_NONE;
}

PyObject* arrive(PyObject* self, PyObject* args) {
    PyObject *given_series, *given_times;
    if (!PyArg_ParseTuple(args, "OO", &given_series, &given_times)) return nullptr;
    View series, times;
    if (!series.open_numbers<int32_t>(given_series, "series") || !times.open_numbers<int64_t>(given_times, "times")) return nullptr;
    const int64_t rows = series.bytes() / 4;
    if (times.bytes() / 8 != rows) {
        PyErr_SetString(PyExc_ValueError, "series and times have different lengths");
        return nullptr;
    }
    SeriesIndex::Late late;
    const bool done = without_gil([&] {
        check_series(series.at<int32_t>(), rows, of(self).size());
        late = of(self).arrive(series.at<int32_t>(), times.at<int64_t>(), rows);
    });
    if (!done) return nullptr;
    if (late.rows == 0) return Py_BuildValue("LLL", 0LL, 0LL, 0LL);
    return Py_BuildValue("LLL", static_cast<long long>(late.rows), static_cast<long long>(late.earliest_ns),
                         static_cast<long long>(late.latest_ns));
}

PyObject* define(PyObject* self, PyObject* args) {
    PyObject* given;
    unsigned long long epoch;
    if (!PyArg_ParseTuple(args, "OK", &given, &epoch)) return nullptr;
    View series;
    if (!series.open_numbers<int32_t>(given, "series")) return nullptr;
    std::vector<int32_t> fresh;
    const bool done = without_gil([&] {
        check_series(series.at<int32_t>(), series.bytes() / 4, of(self).size());
        of(self).define(series.at<int32_t>(), series.bytes() / 4, static_cast<uint32_t>(epoch) + 1, fresh);
    });
    if (!done) return nullptr;
    return as_numbers(fresh);
}

PyObject* rank(PyObject* self, PyObject* args) {
    PyObject* given;
    if (!PyArg_ParseTuple(args, "O", &given)) return nullptr;
    const Owned sequence(PySequence_Fast(given, "parts must be a sequence of buffers"));
    if (sequence == nullptr) return nullptr;
    std::vector<View> views(static_cast<size_t>(PySequence_Fast_GET_SIZE(sequence.get())));
    std::vector<std::pair<const int32_t*, int64_t>> parts;
    for (size_t i = 0; i < views.size(); ++i) {
        if (!views[i].open_numbers<int32_t>(PySequence_Fast_GET_ITEM(sequence.get(), static_cast<Py_ssize_t>(i)), "parts")) return nullptr;
        parts.emplace_back(views[i].at<int32_t>(), views[i].bytes() / 4);
    }
    std::vector<int32_t> ranks;
    const bool done = without_gil([&] {
        for (const auto& [series, rows] : parts) check_series(series, rows, of(self).size());
        ranks = rank_series(of(self), parts);
    });
    if (!done) return nullptr;
    return as_numbers(ranks);
}

PyObject* pick(PyObject* self, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"tags", "series", "times", "newest", "ascending", "nulls_first", nullptr};
    PyObject *given_tags, *given_series, *given_times, *ascending = Py_None;
    int newest, nulls_first = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOp|Op", const_cast<char**>(names), &given_tags, &given_series, &given_times,
                                     &newest, &ascending, &nulls_first)) {
        return nullptr;
    }
    const SeriesIndex& index = of(self);
    std::vector<int32_t> tags;
    if (!open_tags(given_tags, index, tags)) return nullptr;
    View series, times;
    if (!series.open_numbers<int32_t>(given_series, "series") || !times.open_numbers<int64_t>(given_times, "times")) return nullptr;
    const int64_t rows = series.bytes() / 4;
    if (times.bytes() / 8 != rows) {
        PyErr_SetString(PyExc_ValueError, "series and times have different lengths");
        return nullptr;
    }
    GroupOrder order;
    order.wanted = ascending != Py_None;
    order.ascending = ascending == Py_True;
    order.nulls_first = nulls_first != 0;
    std::vector<int32_t> picked;
    const bool done = without_gil([&] {
        check_series(series.at<int32_t>(), rows, index.size());
        picked = pick_rows(index, tags, series.at<int32_t>(), times.at<int64_t>(), rows, newest != 0, order);
    });
    if (!done) return nullptr;
    bool all = static_cast<int64_t>(picked.size()) == rows;
    for (size_t i = 0; all && i < picked.size(); ++i) all = picked[i] == static_cast<int32_t>(i);
    return all ? Py_NewRef(Py_None) : as_numbers(picked);
}

PyCFunction with_keywords(PyObject* (*function)(PyObject*, PyObject*, PyObject*)) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef index_methods[] = {
    {"add_tags", add_tags, METH_VARARGS, "More tags at the end of the key; null in every series known so far."},
    {"resolve", resolve, METH_VARARGS, "The series number of each row (int32), new series added."},
    {"codes", with_keywords(codes), METH_VARARGS | METH_KEYWORDS, "The value code (int32, -1 for null) of a tag for each series."},
    {"columns", columns, METH_VARARGS, "Tags of rows whose series are given, as dictionaries."},
    {"values", with_keywords(values), METH_VARARGS | METH_KEYWORDS, "The values of a tag: the distinct ones by code, or each series' own."},
    {"find_codes", find_codes, METH_VARARGS, "The codes (int32) of those of the values that a tag has."},
    {"having", having, METH_VARARGS, "The series (int32, ascending) whose value of a tag has one of the codes."},
    {"pick", with_keywords(pick), METH_VARARGS | METH_KEYWORDS, "The last row of each group of series, or the first."},
    {"set_floor", set_floor, METH_VARARGS, "Series first seen from now on count rows at or before this as late."},
    {"arrive", arrive, METH_VARARGS, "Take note of rows in order of arrival: (late rows, earliest, latest late time)."},
    {"newest", with_keywords(newest), METH_VARARGS | METH_KEYWORDS, "The newest time seen of each series (int64)."},
    {"rank", rank, METH_VARARGS, "The place of each series among those given, in the order of files (int32)."},
    {"define", define, METH_VARARGS, "Those of the series not yet defined in the epoch, each once (int32)."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef index_properties[] = {
    {"tag_count", get_tag_count, nullptr, nullptr, nullptr},
    {"memory_bytes", get_memory_bytes, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot index_slots[] = {
    {Py_tp_doc, const_cast<char*>("One table's series: a number for each combination of tag values.")},
    {Py_tp_new, reinterpret_cast<void*>(index_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(index_dealloc)},
    {Py_sq_length, reinterpret_cast<void*>(index_length)},
    {Py_tp_methods, index_methods},
    {Py_tp_getset, index_properties},
    {0, nullptr},
};

PyType_Spec index_spec = {"engine._native.SeriesIndex", sizeof(IndexObject), 0, Py_TPFLAGS_DEFAULT, index_slots};

}  // namespace

PyObject* exported(PyObject* schema_capsule, PyObject* array_capsule) {
    PyObject* made = exported_type->tp_alloc(exported_type, 0);
    if (made == nullptr) return nullptr;
    reinterpret_cast<ExportedObject*>(made)->capsules = PyTuple_Pack(2, schema_capsule, array_capsule);
    if (reinterpret_cast<ExportedObject*>(made)->capsules == nullptr) Py_CLEAR(made);
    return made;
}

std::shared_ptr<SeriesIndex> index_of(PyObject* object) {
    if (!PyObject_TypeCheck(object, index_type)) {
        PyErr_Format(PyExc_TypeError, "a SeriesIndex is needed, not %s", Py_TYPE(object)->tp_name);
        return nullptr;
    }
    return reinterpret_cast<IndexObject*>(object)->index;
}

bool add_series_index(PyObject* module) {
    values_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&values_spec));
    if (values_type == nullptr) return false;
    exported_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&exported_spec));
    if (exported_type == nullptr) return false;
    index_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&index_spec));
    return index_type != nullptr && PyModule_AddObjectRef(module, "SeriesIndex", reinterpret_cast<PyObject*>(index_type)) == 0;
}

}  // namespace flightline
