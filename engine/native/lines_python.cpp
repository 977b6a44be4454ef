// engine._native.LineSchema, ParsedTable, Parsed and parse: arguments checked, the GIL released, the rest is lines.h.
#include "lines_python.h"

#include "lines.h"
#include "native.h"

namespace flightline {

namespace {

PyObject* text(std::string_view value) { return PyUnicode_DecodeUTF8(value.data(), static_cast<Py_ssize_t>(value.size()), "replace"); }

template <class Pointer>
void destroy(Pointer& pointer) {
    pointer.~Pointer();
}

void free_instance(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyCFunction with_keywords(PyObject* (*function)(PyObject*, PyObject*, PyObject*)) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

// ---- LineSchema

struct SchemaObject {
    PyObject_HEAD std::shared_ptr<LineSchema> schema;
};

PyTypeObject* schema_type = nullptr;

PyObject* schema_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"extend_tags", "column_limit", nullptr};
    int extend_tags = 0;
    long long column_limit = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$pL", const_cast<char**>(names), &extend_tags, &column_limit)) return nullptr;
    PyObject* self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    auto* object = reinterpret_cast<SchemaObject*>(self);
    new (&object->schema) std::shared_ptr<LineSchema>();
    try {
        object->schema = std::make_shared<LineSchema>(extend_tags != 0, column_limit);
    } catch (...) {
        raise_current();
        Py_DECREF(self);
        return nullptr;
    }
    return self;
}

void schema_dealloc(PyObject* self) {
    destroy(reinterpret_cast<SchemaObject*>(self)->schema);
    free_instance(self);
}

bool read_text(PyObject* object, std::string& value) {
    Py_ssize_t size;
    const char* data = PyUnicode_AsUTF8AndSize(object, &size);
    if (data == nullptr) return false;
    value.assign(data, static_cast<size_t>(size));
    return true;
}

bool read_tags(PyObject* given, std::vector<std::string>& tags) {
    const Owned sequence(PySequence_Fast(given, "tags must be a sequence"));
    if (sequence == nullptr) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence.get()); ++i) {
        tags.emplace_back();
        if (!read_text(PySequence_Fast_GET_ITEM(sequence.get(), i), tags.back())) return false;
    }
    return true;
}

bool read_fields(PyObject* given, std::vector<Field>& fields) {
    const Owned sequence(PySequence_Fast(given, "fields must be a sequence"));
    if (sequence == nullptr) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence.get()); ++i) {
        const Owned pair(PySequence_Tuple(PySequence_Fast_GET_ITEM(sequence.get(), i)));
        PyObject* name;
        int type;
        if (pair == nullptr || !PyArg_ParseTuple(pair.get(), "Ui", &name, &type)) return false;
        if (type < static_cast<int>(FieldType::FLOAT) || type > static_cast<int>(FieldType::BOOLEAN)) {
            PyErr_Format(PyExc_ValueError, "%d is no field type", type);
            return false;
        }
        fields.push_back({{}, static_cast<FieldType>(type)});
        if (!read_text(name, fields.back().name)) return false;
    }
    return true;
}

PyObject* put_table(PyObject* self, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"name", "tags", "fields", "index", nullptr};
    PyObject *given_name, *given_tags, *given_fields, *given_index;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "UOOO", const_cast<char**>(names), &given_name, &given_tags, &given_fields,
                                     &given_index))
        return nullptr;
    std::string name;
    std::vector<std::string> tags;
    std::vector<Field> fields;
    if (!read_text(given_name, name) || !read_tags(given_tags, tags) || !read_fields(given_fields, fields)) return nullptr;
    std::shared_ptr<SeriesIndex> index = index_of(given_index);
    if (index == nullptr) return nullptr;
    LineSchema& schema = *reinterpret_cast<SchemaObject*>(self)->schema;
    if (!without_gil([&] { schema.put_table(std::move(name), std::move(tags), std::move(fields), std::move(index)); })) return nullptr;
    Py_RETURN_NONE;
}

PyObject* drop_table(PyObject* self, PyObject* args) {
    PyObject* given;
    std::string name;
    if (!PyArg_ParseTuple(args, "U", &given) || !read_text(given, name)) return nullptr;
    LineSchema& schema = *reinterpret_cast<SchemaObject*>(self)->schema;
    if (!without_gil([&] { schema.drop_table(name); })) return nullptr;
    Py_RETURN_NONE;
}

PyObject* schema_memory_bytes(PyObject* self, void*) {
    return PyLong_FromSize_t(reinterpret_cast<SchemaObject*>(self)->schema->memory_bytes());
}

PyMethodDef schema_methods[] = {
    {"put_table", with_keywords(put_table), METH_VARARGS | METH_KEYWORDS, "Make a table known, or widen it (same index)."},
    {"drop_table", drop_table, METH_VARARGS, "Forget a table."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef schema_properties[] = {
    {"memory_bytes", schema_memory_bytes, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot schema_slots[] = {
    {Py_tp_doc, const_cast<char*>("What the parser knows of one database: its tables, their columns and series.")},
    {Py_tp_new, reinterpret_cast<void*>(schema_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(schema_dealloc)},
    {Py_tp_methods, schema_methods},
    {Py_tp_getset, schema_properties},
    {0, nullptr},
};

PyType_Spec schema_spec = {"engine._native.LineSchema", sizeof(SchemaObject), 0, Py_TPFLAGS_DEFAULT, schema_slots};

// ---- ParsedTable

struct TableObject {
    PyObject_HEAD std::shared_ptr<TableRows> rows;
};

PyTypeObject* table_type = nullptr;

TableRows& rows_of(PyObject* self) { return *reinterpret_cast<TableObject*>(self)->rows; }

void table_dealloc(PyObject* self) {
    destroy(reinterpret_cast<TableObject*>(self)->rows);
    free_instance(self);
}

PyObject* name_list(const std::vector<std::string>& names) {
    Owned list(PyList_New(static_cast<Py_ssize_t>(names.size())));
    if (list == nullptr) return nullptr;
    for (size_t i = 0; i < names.size(); ++i) {
        PyObject* name = text(names[i]);
        if (name == nullptr) return nullptr;
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), name);
    }
    return list.release();
}

PyObject* table_name(PyObject* self, void*) { return text(rows_of(self).name); }
PyObject* table_is_new(PyObject* self, void*) { return PyBool_FromLong(rows_of(self).is_new); }
PyObject* table_rows(PyObject* self, void*) { return PyLong_FromLongLong(rows_of(self).rows); }
PyObject* table_tags(PyObject* self, void*) {
    const TableRows& rows = rows_of(self);
    Owned list(PyList_New(static_cast<Py_ssize_t>(rows.tag_count())));
    if (list == nullptr) return nullptr;
    for (size_t i = 0; i < rows.tag_count(); ++i) {
        PyObject* name = text(rows.tag(i));
        if (name == nullptr) return nullptr;
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), name);
    }
    return list.release();
}
PyObject* table_new_tags(PyObject* self, void*) { return name_list(rows_of(self).new_tags); }
PyObject* table_time_min(PyObject* self, void*) { return PyLong_FromLongLong(rows_of(self).time_min_ns); }
PyObject* table_time_max(PyObject* self, void*) { return PyLong_FromLongLong(rows_of(self).time_max_ns); }
PyObject* table_new_series(PyObject* self, void*) { return PyLong_FromLongLong(rows_of(self).new_series()); }

PyObject* table_new_fields(PyObject* self, void*) {
    const std::vector<Field>& fields = rows_of(self).new_fields;
    Owned list(PyList_New(static_cast<Py_ssize_t>(fields.size())));
    if (list == nullptr) return nullptr;
    for (size_t i = 0; i < fields.size(); ++i) {
        PyObject* pair =
            Py_BuildValue("s#i", fields[i].name.data(), static_cast<Py_ssize_t>(fields[i].name.size()), static_cast<int>(fields[i].type));
        if (pair == nullptr) return nullptr;
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), pair);
    }
    return list.release();
}

PyObject* settle(PyObject* self, PyObject* args) {
    PyObject* given;
    if (!PyArg_ParseTuple(args, "O", &given)) return nullptr;
    const std::shared_ptr<SeriesIndex> index = index_of(given);
    if (index == nullptr) return nullptr;
    if (!without_gil([&] { rows_of(self).settle(*index); })) return nullptr;
    Py_RETURN_NONE;
}

const char* arrow_format(FieldType type) {
    switch (type) {
        case FieldType::FLOAT:
            return "g";
        case FieldType::INTEGER:
            return "l";
        case FieldType::UINTEGER:
            return "L";
        case FieldType::STRING:
            return "u";
        case FieldType::BOOLEAN:
            return "b";
    }
    return "";
}

ArrowNode arrow_rows(const TableRows& rows) {
    ArrowNode root;
    root.format = "+s";
    root.length = rows.rows;
    root.buffers = {nullptr};
    const auto child = [&](const char* format, const std::string& name, int64_t flags) -> ArrowNode& {
        root.children.emplace_back();
        ArrowNode& node = root.children.back();
        node.format = format;
        node.name = name;
        node.flags = flags;
        node.length = rows.rows;
        return node;
    };
    child("i", "series", 0).buffers = {nullptr, rows.series.data()};
    child("tsn:", "time", 0).buffers = {nullptr, rows.times.data()};
    for (const auto& column : rows.columns) {
        ArrowNode& node = child(arrow_format(column->type), column->name, ARROW_NULLABLE);
        node.null_count = column->nulls;
        node.buffers = {column->validity.data(), column->values.data()};
        if (column->type == FieldType::STRING) node.buffers.push_back(column->text.data());
    }
    return root;
}

PyObject* table_export(PyObject* self, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"requested_schema", nullptr};
    PyObject* requested = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &requested)) return nullptr;
    const std::shared_ptr<TableRows>& rows = reinterpret_cast<TableObject*>(self)->rows;
    if (!rows->settled()) {
        PyErr_SetString(PyExc_ValueError, "settle() the rows first: their new series have no numbers yet");
        return nullptr;
    }
    return capsules([&](ArrowSchema& schema, ArrowArray& array) {
        const ArrowNode root = arrow_rows(*rows);
        export_schema(root, schema);
        export_array(root, rows, array);
    });
}

PyMethodDef table_methods[] = {
    {"settle", settle, METH_VARARGS, "Give the unknown series their numbers."},
    {"__arrow_c_array__", with_keywords(table_export), METH_VARARGS | METH_KEYWORDS,
     "A struct of series, time and the fields that any row has."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef table_properties[] = {
    {"name", table_name, nullptr, nullptr, nullptr},
    {"is_new", table_is_new, nullptr, nullptr, nullptr},
    {"rows", table_rows, nullptr, nullptr, nullptr},
    {"tags", table_tags, nullptr, nullptr, nullptr},
    {"new_tags", table_new_tags, nullptr, nullptr, nullptr},
    {"new_fields", table_new_fields, nullptr, nullptr, nullptr},
    {"time_min_ns", table_time_min, nullptr, nullptr, nullptr},
    {"time_max_ns", table_time_max, nullptr, nullptr, nullptr},
    {"new_series", table_new_series, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot table_slots[] = {
    {Py_tp_doc, const_cast<char*>("The rows of one table in one body.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(table_dealloc)},
    {Py_tp_methods, table_methods},
    {Py_tp_getset, table_properties},
    {0, nullptr},
};

PyType_Spec table_spec = {"engine._native.ParsedTable", sizeof(TableObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          table_slots};

// ---- Parsed

PyTypeObject parsed_type;

PyStructSequence_Field parsed_fields[] = {
    {"lines", "lines that were rows or errors"},
    {"rows", "rows"},
    {"tables", "ParsedTable objects"},
    {"errors", "(physical line number, message, the line up to 1024 bytes)"},
    {"takes_now", "whether a row may have its time from the clock"},
    {nullptr, nullptr},
};

PyStructSequence_Desc parsed_description = {"engine._native.Parsed", "What a body of line protocol says.", parsed_fields, 5};

PyObject* table_list(ParseResult& result) {
    Owned list(PyList_New(static_cast<Py_ssize_t>(result.tables.size())));
    if (list == nullptr) return nullptr;
    for (size_t i = 0; i < result.tables.size(); ++i) {
        PyObject* table = table_type->tp_alloc(table_type, 0);
        if (table == nullptr) return nullptr;
        new (&reinterpret_cast<TableObject*>(table)->rows) std::shared_ptr<TableRows>(std::move(result.tables[i]));
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), table);
    }
    return list.release();
}

PyObject* error_list(const ParseResult& result) {
    Owned list(PyList_New(static_cast<Py_ssize_t>(result.errors.size())));
    if (list == nullptr) return nullptr;
    Owned message;
    size_t of_message = SIZE_MAX;
    for (size_t i = 0; i < result.errors.size(); ++i) {
        const LineError& error = result.errors[i];
        if (error.message != of_message) message.reset(text(result.messages[error.message]));
        of_message = error.message;
        if (message == nullptr) return nullptr;
        PyObject* entry = Py_BuildValue("LON", static_cast<long long>(error.line_number), message.get(), text(error.original));
        if (entry == nullptr) return nullptr;
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), entry);
    }
    return list.release();
}

PyObject* parse(PyObject*, PyObject* args, PyObject* kwargs) {
    static const char* names[] = {"schema",      "body",        "precision",   "now_ns", "stop_at_first_error",
                                  "tables_left", "table_count", "error_limit", nullptr};
    PyObject *given_schema, *given_body;
    int precision, stop_at_first_error = 0;
    long long now_ns, tables_left = -1, table_count = 0, error_limit = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!OiL|$pLLL", const_cast<char**>(names), schema_type, &given_schema, &given_body,
                                     &precision, &now_ns, &stop_at_first_error, &tables_left, &table_count, &error_limit)) {
        return nullptr;
    }
    if (precision < static_cast<int>(Precision::AUTO) || precision > static_cast<int>(Precision::NANOSECOND)) {
        PyErr_Format(PyExc_ValueError, "%d is no precision", precision);
        return nullptr;
    }
    View body;
    if (!body.open(given_body)) return nullptr;
    ParseOptions options;
    options.precision = static_cast<Precision>(precision);
    options.now_ns = now_ns;
    options.stop_at_first_error = stop_at_first_error != 0;
    options.tables_left = tables_left;
    options.table_count = table_count;
    options.error_limit = error_limit;
    const std::shared_ptr<LineSchema> schema = reinterpret_cast<SchemaObject*>(given_schema)->schema;
    ParseResult result;
    if (!without_gil([&] { result = parse_lines(*schema, body.at<char>(), static_cast<size_t>(body.bytes()), options); })) return nullptr;

    Owned parsed(PyStructSequence_New(&parsed_type));
    if (parsed == nullptr) return nullptr;
    PyObject* values[] = {PyLong_FromLongLong(result.lines), PyLong_FromLongLong(result.rows), table_list(result), error_list(result),
                          PyBool_FromLong(result.takes_now)};
    bool complete = true;
    for (int i = 0; i < 5; ++i) {
        complete = complete && values[i] != nullptr;
        PyStructSequence_SET_ITEM(parsed.get(), i, values[i]);
    }
    return complete ? parsed.release() : nullptr;
}

PyMethodDef functions[] = {
    {"parse", with_keywords(parse), METH_VARARGS | METH_KEYWORDS, "Line protocol to columns."},
    {nullptr, nullptr, 0, nullptr},
};

bool add_type(PyObject* module, const char* name, PyTypeObject* type) {
    return type != nullptr && PyModule_AddObjectRef(module, name, reinterpret_cast<PyObject*>(type)) == 0;
}

}  // namespace

}  // namespace flightline

bool add_lines(PyObject* module) {
    using namespace flightline;
    schema_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&schema_spec));
    table_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&table_spec));
    if (PyStructSequence_InitType2(&parsed_type, &parsed_description) < 0) return false;
    return add_series_index(module) && add_type(module, "LineSchema", schema_type) && add_type(module, "ParsedTable", table_type) &&
           add_type(module, "Parsed", &parsed_type) && PyModule_AddFunctions(module, functions) == 0;
}
