// Codes as the texts they stand for. Interface and meaning: engine/_native.pyi.
//
// P1  No input makes the kernel read or write outside its buffers: every code and every offset is checked before it is used.
// P2  The GIL is released while rows are touched.
// P3  Rows that follow each other with the same code, as rows of one series do, cost little more than the bytes they become.
//
// Held by tests/unit/engine/test_spell.py (P1, P2).
#include <algorithm>

#include "rows_buffers.h"

namespace {

struct Texts {
    const Lent<int32_t>& offsets;
    const Lent<char>& bytes;

    size_t count() const { return offsets.size() - 1; }
    size_t begin(size_t code) const { return size_t(uint32_t(offsets[code])); }
    size_t length(size_t code) const { return begin(code + 1) - begin(code); }

    void check() const {
        if (offsets.size() == 0) throw std::invalid_argument("offsets: there is none");
        for (size_t code = 0; code < count(); code++) {
            if (offsets[code] < 0 || offsets[code] > offsets[code + 1]) throw std::invalid_argument("offsets: they must rise");
        }
        if (begin(count()) > bytes.size()) throw std::invalid_argument("offsets: a text is out of range");
    }
};

// Calls `each(code, from, to)` for every stretch of rows with the same code.
template <typename Each>
void stretches(const Lent<int32_t>& codes, Each each) {
    for (size_t from = 0, to; from < codes.size(); from = to) {
        const int32_t code = codes[from];
        for (to = from + 1; to < codes.size() && codes[to] == code;) to++;
        each(size_t(uint32_t(code)), from, to);
    }
}

// `length` bytes at `out`, repeated until `total` bytes are written; each copy is as long as all before it.
void repeat(char* out, const char* text, size_t length, size_t total) {
    if (total == 0) return;
    std::memcpy(out, text, length);
    for (size_t done = length; done < total; done *= 2) std::memcpy(out + done, out, std::min(done, total - done));
}

PyObject* spell(PyObject*, PyObject* args) {
    PyObject *codes_object, *offsets_object, *texts_object;
    if (!PyArg_ParseTuple(args, "OOO:spell", &codes_object, &offsets_object, &texts_object)) return nullptr;
    Lent<int32_t> codes, offsets;
    Lent<char> bytes;
    Made places;
    if (!codes.open(codes_object, "codes") || !offsets.open(offsets_object, "offsets") || !bytes.open(texts_object, "texts") ||
        !check_row_count(codes.size()) || !places.allocate(codes.size() + 1)) {
        return nullptr;
    }
    const Texts texts{offsets, bytes};
    size_t total = 0;
    if (!without_gil([&] {
            texts.check();
            int32_t* out = places.data();
            stretches(codes, [&](size_t code, size_t from, size_t to) {
                if (code >= texts.count()) throw std::invalid_argument("codes: one is out of range");
                const size_t length = texts.length(code);
                if (length != 0 && to - from > (kMaxRows - total) / length) throw std::invalid_argument("the texts exceed 2 GiB");
                for (size_t row = from; row < to; row++, total += length) out[row] = int32_t(total);
            });
            out[codes.size()] = int32_t(total);
        })) {
        return nullptr;
    }
    PyObject* spelled = PyBytes_FromStringAndSize(nullptr, Py_ssize_t(total));
    if (spelled == nullptr) return nullptr;
    char* out = PyBytes_AS_STRING(spelled);
    if (!without_gil([&] {
            stretches(codes, [&](size_t code, size_t from, size_t to) {
                const size_t length = texts.length(code);
                repeat(out, bytes.data() + texts.begin(code), length, length * (to - from));
                out += length * (to - from);
            });
        })) {
        Py_DECREF(spelled);
        return nullptr;
    }
    return pair(places.view(), spelled);
}

PyMethodDef functions[] = {
    {"spell", spell, METH_VARARGS, "Codes as the texts they stand for: (offsets, texts)."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_spell(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }
