// Columns of dictionaries as the texts they stand for, a whole batch at a time. Interface and meaning: engine/_native.pyi.
//
// P1  No code reads outside its dictionary, and a batch that does not fit its schema is refused.
// P2  The GIL is released while rows are touched.
// P3  Rows that follow each other with the same code, as rows of one series do, cost little more than the bytes they become.
// P4  All other columns are handed on as they are.
//
// Held by tests/unit/engine/test_spell.py (P1-P4).
#include <algorithm>
#include <cstring>
#include <vector>

#include "lines_python.h"

namespace {

using flightline::Owned;

constexpr size_t kMostBytes = size_t(INT32_MAX);

// A column of texts, while somebody uses it.
struct Texts {
    std::vector<uint8_t> validity;
    std::unique_ptr<int32_t[]> offsets;  // not initialised before they are written
    std::unique_ptr<char[]> bytes;
    const void* buffers[3];
};

void release_texts(ArrowArray* array) {
    delete static_cast<Texts*>(array->private_data);
    array->release = nullptr;
}

// A batch whose columns were taken out of another.
struct Taken {
    std::vector<ArrowArray> columns;
    std::vector<ArrowArray*> pointers;
    const void* buffers[1] = {nullptr};
};

void release_taken(ArrowArray* array) {
    auto* taken = static_cast<Taken*>(array->private_data);
    for (ArrowArray& column : taken->columns) {
        if (column.release != nullptr) column.release(&column);
    }
    delete taken;
    array->release = nullptr;
}

bool bit(const void* bitmap, int64_t at) {
    return bitmap == nullptr || (static_cast<const uint8_t*>(bitmap)[at / 8] >> (at % 8) & 1) != 0;
}

// The values of a dictionary, by code.
struct Dictionary {
    const ArrowArray& array;

    const int32_t* offsets() const { return static_cast<const int32_t*>(array.buffers[1]) + array.offset; }
    bool is_null(int32_t code) const { return !bit(array.buffers[0], array.offset + code); }
    const char* text(int32_t code) const { return static_cast<const char*>(array.buffers[2]) + offsets()[code]; }
    size_t length(int32_t code) const { return size_t(offsets()[code + 1] - offsets()[code]); }
};

// `length` bytes at `out`, repeated until `total` bytes are written; each copy is as long as all before it.
void repeat(char* out, const char* text, size_t length, size_t total) {
    if (total == 0) return;
    std::memcpy(out, text, length);
    for (size_t done = length; done < total; done *= 2) std::memcpy(out + done, out, std::min(done, total - done));
}

// Calls `each(code, from, to)` for every stretch of rows with the same code; -1 where there is no text.
template <typename Each>
void stretches(const ArrowArray& column, const Dictionary& dictionary, Each each) {
    const auto* codes = static_cast<const int32_t*>(column.buffers[1]) + column.offset;
    const void* validity = column.null_count == 0 ? nullptr : column.buffers[0];
    for (int64_t from = 0, to; from < column.length; from = to) {
        const bool known = bit(validity, column.offset + from);
        for (to = from + 1; to < column.length && bit(validity, column.offset + to) == known && (!known || codes[to] == codes[from]);) to++;
        if (known && (codes[from] < 0 || codes[from] >= dictionary.array.length)) throw std::invalid_argument("a code is out of range");
        each(known && !dictionary.is_null(codes[from]) ? codes[from] : -1, size_t(from), size_t(to));
    }
}

ArrowArray spelled(const ArrowArray& column) {
    const Dictionary dictionary{*column.dictionary};
    auto texts = std::make_unique<Texts>();
    const auto rows = size_t(column.length);
    texts->offsets.reset(new int32_t[rows + 1]);
    size_t total = 0, nulls = 0;
    stretches(column, dictionary, [&](int32_t code, size_t from, size_t to) {
        const size_t length = code < 0 ? 0 : dictionary.length(code);
        if (length != 0 && to - from > (kMostBytes - total) / length) throw std::invalid_argument("the texts exceed 2 GiB");
        if (code < 0) nulls += to - from;
        for (size_t row = from; row < to; row++, total += length) texts->offsets[row] = int32_t(total);
    });
    texts->offsets[rows] = int32_t(total);
    texts->bytes.reset(new char[total + 1]);  // never without an address
    if (nulls != 0) texts->validity.resize((rows + 7) / 8);
    char* out = texts->bytes.get();
    stretches(column, dictionary, [&](int32_t code, size_t from, size_t to) {
        if (code < 0) return;
        const size_t length = dictionary.length(code);
        repeat(out, dictionary.text(code), length, length * (to - from));
        out += length * (to - from);
        for (size_t row = from; nulls != 0 && row < to; row++) texts->validity[row / 8] |= uint8_t(1 << (row % 8));
    });
    texts->buffers[0] = nulls == 0 ? nullptr : texts->validity.data();
    texts->buffers[1] = texts->offsets.get();
    texts->buffers[2] = texts->bytes.get();
    ArrowArray made = {};
    made.length = column.length;
    made.null_count = int64_t(nulls);
    made.n_buffers = 3;
    made.buffers = texts->buffers;
    made.release = release_texts;
    made.private_data = texts.release();
    return made;
}

bool is_spelled(const ArrowSchema& column, const ArrowSchema& wanted) {
    return column.dictionary != nullptr && wanted.dictionary == nullptr && std::strcmp(wanted.format, "u") == 0;
}

void check(const ArrowSchema& schema, const ArrowArray& batch, const ArrowSchema& wanted) {
    if (std::strcmp(schema.format, "+s") != 0 || schema.n_children != wanted.n_children || batch.offset != 0) {
        throw std::invalid_argument("the batch does not fit the schema");
    }
    for (int64_t at = 0; at < schema.n_children; at++) {
        const ArrowSchema &column = *schema.children[at], &want = *wanted.children[at];
        const bool fits = is_spelled(column, want)
                              ? std::strcmp(column.format, "i") == 0 && std::strcmp(column.dictionary->format, "u") == 0
                              : std::strcmp(column.format, want.format) == 0 && (column.dictionary == nullptr) == (want.dictionary == nullptr);
        if (!fits) throw std::invalid_argument("a column does not fit the schema");
    }
}

// Moves what is handed on out of `batch`, and releases the rest of it.
ArrowArray with_texts(const ArrowSchema& schema, ArrowArray& batch, const ArrowSchema& wanted) {
    check(schema, batch, wanted);
    auto taken = std::make_unique<Taken>();
    taken->columns.resize(size_t(batch.n_children));
    ArrowArray made = {};
    made.release = release_taken;
    made.private_data = taken.get();
    try {
        for (int64_t at = 0; at < batch.n_children; at++) {
            if (is_spelled(*schema.children[at], *wanted.children[at])) taken->columns[size_t(at)] = spelled(*batch.children[at]);
        }
        for (ArrowArray& column : taken->columns) taken->pointers.push_back(&column);
    } catch (...) {
        taken.release();
        made.release(&made);
        throw;
    }
    for (int64_t at = 0; at < batch.n_children; at++) {
        if (taken->columns[size_t(at)].release != nullptr) continue;
        taken->columns[size_t(at)] = *batch.children[at];
        batch.children[at]->release = nullptr;
    }
    made.length = batch.length;
    made.n_buffers = 1;
    made.buffers = taken->buffers;
    made.n_children = batch.n_children;
    made.children = taken->pointers.data();
    taken.release();
    batch.release(&batch);
    return made;
}

template <class T>
T* opened(PyObject* capsule, const char* name) {
    return static_cast<T*>(PyCapsule_GetPointer(capsule, name));
}

PyObject* spell(PyObject*, PyObject* args) {
    PyObject *batch_object, *schema_object;
    if (!PyArg_ParseTuple(args, "OO:spell", &batch_object, &schema_object)) return nullptr;
    const Owned pair(PyObject_CallMethod(batch_object, "__arrow_c_array__", nullptr));
    if (pair == nullptr) return nullptr;
    const Owned wanted_capsule(PyObject_CallMethod(schema_object, "__arrow_c_schema__", nullptr));
    if (wanted_capsule == nullptr) return nullptr;
    if (!PyTuple_Check(pair.get()) || PyTuple_GET_SIZE(pair.get()) != 2) {
        PyErr_SetString(PyExc_TypeError, "__arrow_c_array__ must return two capsules");
        return nullptr;
    }
    const auto* schema = opened<ArrowSchema>(PyTuple_GET_ITEM(pair.get(), 0), "arrow_schema");
    if (schema == nullptr) return nullptr;
    auto* batch = opened<ArrowArray>(PyTuple_GET_ITEM(pair.get(), 1), "arrow_array");
    if (batch == nullptr) return nullptr;
    const auto* wanted = opened<ArrowSchema>(wanted_capsule.get(), "arrow_schema");
    if (wanted == nullptr) return nullptr;
    auto made = std::make_unique<ArrowArray>();
    *made = {};
    if (!flightline::without_gil([&] { *made = with_texts(*schema, *batch, *wanted); })) return nullptr;
    const Owned array_capsule(PyCapsule_New(made.get(), "arrow_array", flightline::release_array_capsule));
    if (array_capsule == nullptr) {
        made->release(made.get());
        return nullptr;
    }
    made.release();
    return flightline::exported(wanted_capsule.get(), array_capsule.get());
}

PyMethodDef functions[] = {
    {"spell", spell, METH_VARARGS, "A batch with texts where it has dictionaries and the schema has texts."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_spell(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }
