// The extension module engine._native; the parts add themselves, see native.h.
#include "native.h"

namespace {

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Line protocol, series numbers, sorted rows.", -1, nullptr, nullptr, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
    PyObject* module = PyModule_Create(&definition);
    if (module == nullptr) return nullptr;
    if (!add_lines(module) || !add_rows(module) || !add_scan(module) || !add_fold(module) ||
        !add_columns(module) || !add_threads(module) || !add_spell(module)) {
        Py_DECREF(module);
        return nullptr;
    }
    return module;
}
