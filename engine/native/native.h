// What module.cpp collects: each source file adds its part of the Python interface (engine/_native.pyi).
#pragma once

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

bool add_lines(PyObject* module);  // SeriesIndex, LineSchema, ParsedTable, Parsed, parse
bool add_rows(PyObject* module);   // sort_rows, last_valid, remap, series_runs
bool add_scan(PyObject* module);   // clip, spread
bool add_fold(PyObject* module);   // Fold
bool add_spell(PyObject* module);  // spell
bool add_threads(PyObject* module);  // keep_thread_state
bool add_columns(PyObject* module);  // inverse, scatter, narrow, time_range, count_windows
