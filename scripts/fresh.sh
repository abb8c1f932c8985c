#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What a newcomer sees: HEAD cloned to a temporary folder, an empty HOME, empty caches, and a PATH with neither a
# compiler nor Node.js; then `make demo`, `make demo-check` and `make test`, or the targets given as arguments.
# Only how this machine reaches its package registries (proxy, certificates, index) is passed through.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(demo demo-check test)
[ -z "$(git status --porcelain)" ] || echo "note: uncommitted changes are not part of this: HEAD is cloned" >&2

work=$(mktemp -d "${TMPDIR:-/tmp}/proofmesh-fresh-XXXXXX")
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/bin" "$work/home" "$work/tmp"

# The tools that any Linux has, beside the three that the README asks for.
tools="awk basename bash cat chmod cp cut date df dirname env expr false find getconf git grep gzip head id kill ln
ls make mkdir mktemp mv nproc od printf ps pwd readlink realpath rm rmdir sed seq sh sha256sum sleep sort stat tail
tar tee test timeout touch tr true tty uname uniq wc which xargs"
for tool in $tools; do
    path=$(type -P "$tool" || true)
    [ -z "$path" ] || ln -s "$(realpath "$path")" "$work/bin/$tool"
done
# A wrapper and not a link: a linked interpreter can take the link's folder for its own.
python=$("${PYTHON:-python3}" -c 'import os, sys; print(os.path.realpath(sys.executable))')
printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$work/bin/python3"
chmod +x "$work/bin/python3"
for tool in cc gcc g++ clang c++ rustc cargo node npm; do
    [ ! -e "$work/bin/$tool" ] || { echo "error: $tool is visible to the fresh clone" >&2; exit 1; }
done

registry_settings() { # NAME=value of each variable that says how to reach a registry, NUL-separated
    local name
    for name in $(compgen -e); do
        case $name in
        *CACHE* | *cache*) ;;
        PIP_* | UV_* | npm_config_* | NPM_CONFIG_* | SSL_CERT_* | NODE_EXTRA_CA_CERTS | REQUESTS_CA_BUNDLE | \
            http_proxy | https_proxy | no_proxy | all_proxy | HTTP_PROXY | HTTPS_PROXY | NO_PROXY | ALL_PROXY)
            printf '%s=%s\0' "$name" "${!name}"
            ;;
        esac
    done
}
mapfile -d '' -t settings < <(registry_settings)

git clone --quiet --no-hardlinks . "$work/proofmesh"
for target in "${targets[@]}"; do
    started=$SECONDS
    (
        cd "$work/proofmesh"
        exec env -i "${settings[@]}" HOME="$work/home" TMPDIR="$work/tmp" PATH="$work/bin" LANG=C.UTF-8 \
            TERM="${TERM:-dumb}" make "$target"
    ) </dev/null
    took=$((SECONDS - started))
    echo "fresh: make $target took $took s"
    if [ "$target" = demo ]; then # the cold figure of `make figures`
        mkdir -p build
        printf '{"wall_s": %d, "commit": "%s"}\n' "$took" "$(git rev-parse HEAD)" >build/demo-cold.json
    fi
done
