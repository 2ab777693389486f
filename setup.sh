#!/usr/bin/env bash
# Everything a fresh machine needs: system packages where apt may install them, and .venv with the
# exact versions of constraints.txt. Does nothing when nothing has changed; `make setup` calls it.
# `setup.sh lm-eval` adds .venv-lm-eval: all of .venv, and what the extra needs on top of it.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'; then
    echo "setup: macsmith needs Python 3.11 to 3.14, and $python is $("$python" -V 2>&1); set PYTHON=" >&2
    exit 1
fi
stamp=.venv/.installed
inputs=$(cat pyproject.toml constraints.txt setup.sh; pwd; "$python" -V)
is_done() { [ -e "$1" ] && [ "$(cat "$1")" = "$inputs" ]; }
pip() { PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/pip "$@"; }

if [ "${1:-}" = lm-eval ]; then
    is_done .venv-lm-eval/.installed && exit 0
    echo "setup: installing lm_eval into .venv-lm-eval (a minute the first time)"
    rm -rf .venv-lm-eval
    .venv/bin/python -m venv .venv-lm-eval
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    other=$(.venv-lm-eval/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "import site; site.addsitedir('$packages')" >"$other/macsmith-base.pth"
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv-lm-eval/bin/pip install -q -c constraints.txt 'lm_eval[hf]'
    printf '%s\n' "$inputs" >.venv-lm-eval/.installed
    exit 0
fi
is_done $stamp && exit 0

root=""
[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && root="sudo -n"; } || root=none

updated=no
apt_install() { # package, why
    if [ "$root" != none ] && command -v apt-get >/dev/null; then
        if [ $updated = no ]; then $root apt-get update -qq >/dev/null 2>&1 || true; updated=yes; fi
        echo "setup: installing $1 ($2)"
        if DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq "$1" >/dev/null 2>&1; then
            return
        fi
    fi
    echo "setup: $1 is missing ($2): please install it; what does not need it works without" >&2
}

command -v iverilog >/dev/null || apt_install iverilog "Icarus Verilog, one of the two simulators"
command -v sta >/dev/null || apt_install opensta "OpenSTA, referee of our static timing"
command -v g++ >/dev/null || apt_install g++ "Verilator compiles its simulators with it"
[ -e /usr/share/qflow/tech/osu018/osu018_stdcells.lib ] ||
    apt_install qflow-tech-osu018 "OSU018, a free standard-cell library"

if [ ! -x .venv/bin/pip ]; then
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 || {
        apt_install python3-venv "Debian keeps venv apart"
        rm -rf .venv
        "$python" -m venv .venv
    }
fi
echo "setup: installing Python packages into .venv (a few minutes the first time)"
# torch first, and its CPU build where pip is offered one: the plain one brings gigabytes of CUDA.
torch=$(grep '^torch==' constraints.txt)
pip install -q "$torch+cpu" 2>/dev/null || pip install -q "$torch"
pip install -q -c constraints.txt setuptools
pip install -q -c constraints.txt --no-build-isolation -e '.[dev,compressed,accelerate]'
printf '%s\n' "$inputs" >$stamp
