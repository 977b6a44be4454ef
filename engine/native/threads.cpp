// Threads of other libraries that call Python: gRPC's for each call, DataFusion's for each batch of a scan.
//
// H1  A thread that has asked for it keeps its thread state until it ends. Otherwise Python makes one whenever the thread
//     comes in and drops it whenever it leaves, a mapping of memory each time: some 10 µs, ten times for each call of gRPC.
// H2  A thread that ends waits for nobody: who destroys a server waits for its threads and may hold the GIL meanwhile. What
//     it kept is put away by the next thread that asks.
//
// Held by tests/unit/engine/test_thread_states.py (H1, H2).
#include "native.h"

#include <mutex>
#include <vector>

namespace {

std::mutex ended_lock;
std::vector<PyThreadState*> ended;

void put_ended_away() {
    std::vector<PyThreadState*> found;
    {
        const std::lock_guard<std::mutex> guard(ended_lock);
        found.swap(ended);
    }
    for (PyThreadState* state : found) {
        PyThreadState_Clear(state);
        PyThreadState_Delete(state);
    }
}

class Held {
  public:
    void hold() {
        if (held_) return;
        held_ = true;
        put_ended_away();
        PyGILState_Ensure();  // one more than there will be releases
    }
    ~Held() {
        if (!held_ || !Py_IsInitialized()) return;
        PyThreadState* state = PyGILState_GetThisThreadState();
        if (state == nullptr) return;  // a thread of Python's own has put it away by now
        const std::lock_guard<std::mutex> guard(ended_lock);
        ended.push_back(state);
    }

  private:
    bool held_ = false;
};

thread_local Held held;

PyObject* keep_thread_state(PyObject*, PyObject*) {
    held.hold();
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"keep_thread_state", keep_thread_state, METH_NOARGS, "This thread will come again: keep its thread state until it ends."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_threads(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }
