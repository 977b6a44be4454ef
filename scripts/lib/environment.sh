# Sourced by the scripts: makes .venv with the product and its test tools, once; says one sentence when it cannot.
VENV="$PWD/.venv"

environment_ready() {
    local stamp="$VENV/.flightline-test" wanted
    wanted="$(cat pyproject.toml setup.py engine/native/* | sha256sum)"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
    local python="${PYTHON:-python3}"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        { echo "Flightline needs Python 3.11 or newer: install it, or say which one to use with PYTHON=/path/to/python." >&2; exit 1; }
    if [ ! -x "$VENV/bin/python" ]; then
        "$python" -m venv "$VENV" ||
            { echo "Flightline needs Python's venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
    fi
    echo "Preparing .venv (a few minutes the first time) ..." >&2
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools wheel 2>/dev/null >&2 || true
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]' >&2
    echo "$wanted" >"$stamp"
}
