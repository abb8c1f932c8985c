#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Resolves the lock files again: every package with hashes, and no registry's address.
# Versions stay as they are where they still fit; `--upgrade` takes new ones.
set -eu
cd "$(dirname "$0")/.."

compile() { # output, then options
    output=$1
    shift
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
        --generate-hashes --no-emit-index-url --no-emit-find-links --only-binary :all: --no-annotate \
        --custom-compile-command "make lock" --output-file "requirements/$output.txt" "$@"
}

sources="--no-binary varint --no-binary python-baseconv" # as in install.sh
# shellcheck disable=SC2086 # the options are words
compile dev pyproject.toml --extra train --group dev $sources "$@"
cp requirements/dev.txt requirements/demo.txt # what an output file holds is kept: the same versions in both
# shellcheck disable=SC2086
compile demo pyproject.toml --extra train --group demo $sources
compile bootstrap --group bootstrap "$@"
.venv/bin/npm install --package-lock-only --ignore-scripts --loglevel=error
