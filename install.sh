#!/bin/sh
# Make .venv/ with everything that the commands and the tests need. make calls this; without make:
#
#     sh install.sh                          looks for a Python of 3.11 or newer
#     PYTHON=/opt/python/bin/python3 sh install.sh
set -eu
cd "$(dirname "$0")"

fail() {
    echo "error: $*" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ ! -x .venv/bin/python ]; then
    found=
    # The first of those that may be named, whatever spaces its path has.
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$python"; then
            found=$python
            break
        fi
        [ -z "${PYTHON:-}" ] || break
    done
    [ -n "$found" ] || fail "Python 3.11 or newer is needed, and ${PYTHON:-python3} is" \
        "$("${PYTHON:-python3}" --version 2>/dev/null || echo 'not there');" \
        "install one, or name one that is there: PYTHON=<its path> make demo"
    if ! "$found" -m venv .venv; then
        rm -rf .venv
        fail "$found cannot make a virtual environment; on Debian and Ubuntu: apt install" \
            "python3-venv; elsewhere name another Python: PYTHON=<its path> make demo"
    fi
fi
is_new_enough .venv/bin/python || fail ".venv/ is of a Python before 3.11; remove it with" \
    "rm -r .venv, and start again"
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null 2>&1 ||
    fail ".venv/ has no pip, and its Python brings none (on Debian and Ubuntu: apt install" \
        "python3-venv); then rm -r .venv, and start again"

echo "installing into .venv/, torch is the largest part: minutes, the first time"
# A slow index is waited for; what is downloaded stays in pip's cache.
PIP_DEFAULT_TIMEOUT=${PIP_DEFAULT_TIMEOUT:-60} PIP_RETRIES=${PIP_RETRIES:-10} \
    .venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]' ||
    fail "pip could not install everything, its reason stands above; start again to go on (what" \
        "is downloaded stays), or name another index: PIP_INDEX_URL=<its address> make demo"
