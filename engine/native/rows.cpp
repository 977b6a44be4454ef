// Row order; this tree holds only the entry point.
#include "native.h"

bool add_rows(PyObject*) { return true; }
