// What module.cpp assembles: each part adds its functions to the module and answers false with a Python error set.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

bool add_rows(PyObject* module);
