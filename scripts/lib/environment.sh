# Sourced by the scripts: makes .venv with the product, once; says one sentence when it cannot.
#   environment_ready        the product and its test tools
#   environment_ready serve  the product alone, which is a good deal less to fetch
VENV="$PWD/.venv"
# the product starts as several processes, and each would compile its modules again at every start
unset PYTHONDONTWRITEBYTECODE

environment_ready() {
    local what="${1:-test}" wanted python what_to_install
    wanted="$(find pyproject.toml setup.py engine/native -type f | LC_ALL=C sort | xargs cat | sha256sum)"
    if prepared_as "$what" || prepared_as test; then return; fi
    python="$(find_python)" ||
        { echo "Flightline needs Python 3.11 or newer: install it, or say which one to use with PYTHON=/path/to/python." >&2; exit 1; }
    if [ ! -x "$VENV/bin/python" ]; then
        "$python" -m venv "$VENV" ||
            { rm -rf "$VENV"; echo "Flightline needs Python's venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
    fi
    echo "Preparing .venv (a few minutes the first time) ..." >&2
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools wheel 2>/dev/null >&2 || true
    if [ "$what" = test ]; then what_to_install='.[test]'; else what_to_install='.'; fi
    if ! "$VENV/bin/python" -m pip install --disable-pip-version-check --editable "$what_to_install" >"$VENV/install.log" 2>&1; then
        grep -m1 -o 'Flightline needs.*' "$VENV/install.log" >&2 || tail -20 "$VENV/install.log" >&2
        exit 1
    fi
    echo "$wanted" >"$VENV/.flightline-$what"
}

prepared_as() { [ "$(cat "$VENV/.flightline-$1" 2>/dev/null)" = "$wanted" ]; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$candidate"; return; fi
    done
    return 1
}
