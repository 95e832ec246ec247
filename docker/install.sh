#!/bin/sh
# Install the project, editable, with all that it needs; both images run this.
#
#     sh docker/install.sh [options for pip]
#
# Where torch is there already, as in NVIDIA's image, it stays, and so do the packages it was
# compiled with: they are the only constraints. That image's own file, which PIP_CONSTRAINT names,
# pins hundreds of packages and need not leave a solution for ours. Elsewhere everything gets the
# versions that the tests ran with.
set -eu
cd "$(dirname "$0")/.."

kept=$(mktemp)
trap 'rm -f "$kept"' EXIT
python docker/kept_packages.py >"$kept"

PIP_CONSTRAINT=$kept
[ -s "$kept" ] || PIP_CONSTRAINT=$PWD/constraints.txt
export PIP_CONSTRAINT
python -m pip install --no-cache-dir "$@" --editable .

if [ -s "$kept" ] && ! python docker/kept_packages.py | cmp -s "$kept" -; then
    echo "error: the installation changed torch or a package that it was compiled with" >&2
    exit 1
fi
