#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs one group (demo, or dev, which contains demo) into .venv and node_modules of this checkout.
# What is installed already is skipped; nothing is ever removed, so the groups can be installed in any order.
set -eu

group=${1:?usage: scripts/install.sh demo|dev}
cd "$(dirname "$0")/.."

# Named, because they exist only as source; both are pure Python. For all others a wheel is demanded: no compiler.
wheels_only="--only-binary :all: --no-binary varint --no-binary python-baseconv"

fail() {
    printf 'error: %s\n  remedy: %s\n' "$1" "$2" >&2
    exit 3
}

check_platform() {
    [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
        fail "proofmesh runs on Linux x86-64; this is $(uname -s) $(uname -m)" "use a Linux x86-64 machine, container or VM"
    getconf GNU_LIBC_VERSION >/dev/null 2>&1 ||
        fail "this Linux has no glibc, and the packages are built for glibc 2.28 or newer" "use Debian 10+, Ubuntu 20.04+, Fedora or RHEL 8+"
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 found (looked for: ${PYTHON:-python3 python3.13 python3.12 python3.11})" \
        "install one, for instance 'apt install python3.11 python3.11-venv', or name it: make PYTHON=/path/to/python3.11"
}

create_venv() {
    python=$(find_python) || exit $?
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module" "install it, for instance 'apt install python3-venv'"
    "$python" -m venv .venv || fail "$python could not create .venv" "run 'make clean' and try again"
}

network_failure() {
    fail "installing $1 failed (see above)" "check the network, proxy and disk space, then run the same command again: it goes on where it stopped"
}

install_python() {
    [ -x .venv/bin/python ] || create_venv
    .venv/bin/pip --version >/dev/null 2>&1 ||
        fail ".venv does not work (was this folder moved, or its Python removed?)" "run 'make clean', then try again"
    echo "installing Python packages ($group) into .venv"
    .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r requirements/bootstrap.txt || network_failure "uv"
    # uv does not read pip's configuration: tell it of a mirror that is set there.
    index=${PIP_INDEX_URL:-$(.venv/bin/pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    # Compiled now, on all cores: a daemon's first start, and any start where Python may not write, would pay for it.
    # shellcheck disable=SC2086 # the options are words
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes --no-build-isolation \
        --compile-bytecode $wheels_only -r "requirements/$group.txt" || network_failure "the Python packages"
    # The checkout itself, editable: gives the command .venv/bin/proofmesh. Builds offline, hatchling is there.
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --offline -e . ||
        fail "installing this checkout into .venv failed (see above)" "run 'make clean', then try again"
}

install_node() {
    echo "installing Node packages ($group) into node_modules"
    omit=
    [ "$group" = dev ] || omit=--omit=dev
    # No install scripts: what runs on this machine is what the lock's hashes name.
    PATH="$PWD/.venv/bin:$PATH" .venv/bin/npm ci --ignore-scripts --loglevel=error $omit >/dev/null ||
        network_failure "the Node packages"
}

# A stamp holds the hash of what was installed. The folder is part of it: a moved .venv does not work.
stamp_of() {
    { pwd; cat "$@"; } | sha256sum | cut -d' ' -f1
}

is_stamped() { # folder, stamp: this group, or the larger one, is installed
    grep -qsx "$2" "$1/.installed-$group" "$1/.installed-dev"
}

check_platform
stamp=$(stamp_of pyproject.toml requirements/*.txt)
if ! is_stamped .venv "$stamp"; then
    install_python
    echo "$stamp" >".venv/.installed-$group"
fi
stamp=$(stamp_of package.json package-lock.json)
if ! is_stamped node_modules "$stamp"; then
    install_node
    echo "$stamp" >"node_modules/.installed-$group"
fi
