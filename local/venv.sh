#!/bin/sh
# Make the virtual environment: $1 the Python to use, $2 the folder. On Debian and Ubuntu, root installs what venv needs.
set -eu
python=$1
venv=$2
if ! command -v "$python" >/dev/null; then
    echo "GPULease needs Python 3.11 or newer: $python was not found." >&2
    exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "GPULease needs Python 3.11 or newer; $python is $("$python" -V). Try: make PYTHON=python3.12 …" >&2
    exit 2
fi
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "Installing python3-venv …"
            sh "$(dirname "$0")/apt_install.sh" python3-venv
        else
            echo "Python's venv is missing. As root, run: apt-get install python3-venv" >&2
            exit 2
        fi
    fi
    echo "Making the virtual environment in $venv …"
    "$python" -m venv "$venv"
fi
echo "Installing pinned dependencies …"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check -r requirements.txt -c constraints.txt
