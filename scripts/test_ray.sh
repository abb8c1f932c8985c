#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Ray's tests in an environment of their own: build/ray has Ray, and sees the packages of .venv.
set -eu
cd "$(dirname "$0")/.."

wanted="ray==2.60.0"
if [ ! -f build/ray/installed ] || [ "$(cat build/ray/installed)" != "$wanted" ]; then
    mkdir -p build
    rm -rf build/ray
    .venv/bin/python -m venv build/ray
    build/ray/bin/python -m pip install --quiet "$wanted"
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$packages" >"$(build/ray/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dev.pth"
    echo "$wanted" >build/ray/installed
fi
build/ray/bin/python -m pytest tests/node/test_executor_ray.py
