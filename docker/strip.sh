#!/bin/sh
# Removes from the venv $1 what no service reads at run time: tests, headers, sources of compiled modules, scripts that need pip.
set -eu
site=$(echo "$1"/lib/python3*/site-packages)

find "$site" -depth -type d \( -name tests -o -name __pycache__ \) -exec rm -rf {} +
rm -rf "$site"/onnx/backend/test "$site"/onnx/bin "$site"/numpy/_core/include "$site"/numpy/_core/lib
find "$site" -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.cc' -o -name '*.h' -o -name '*.hpp' -o -name '*.a' -o -name '*.pyi' \) -delete
# Byte code without time stamps: a read-only image can not write its own, and compiling at each start would take seconds.
"$1"/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site"
