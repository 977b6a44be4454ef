// engine._native: the compiled part. Its interface is engine/_native.pyi.
#include "native.h"

namespace {

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Line protocol in, series numbers, sorted rows out.", -1,
    nullptr,               nullptr,   nullptr,                                              nullptr,
    nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
    PyObject* module = PyModule_Create(&definition);
    if (module != nullptr && !add_rows(module)) {
        Py_CLEAR(module);
    }
    return module;
}
