#!/usr/bin/env bash
# python.sh INTERPRETER: prints what the Python module is compiled with, for the Makefile: the end of
# its file's name, then the folders of headers. Says in one line what is missing.
set -euo pipefail
command -v "$1" >/dev/null || { echo "error: there is no $1; install Python 3 or set PYTHON3=" >&2; exit 1; }
exec "$1" - <<'PY'
import glob, os, sys, sysconfig

def first(header, folders):
    return next((f for f in folders if f and os.path.exists(os.path.join(f, header))), None)

version = "python%d.%d" % sys.version_info[:2]
own = sysconfig.get_path("include")
python = first("Python.h", [own, ".deps/root/usr/include/" + version])
try:
    import pybind11
    given = pybind11.get_include()
except ImportError:
    given = None
bindings = first("pybind11/pybind11.h", [given, own, "/usr/include", ".deps/root/usr/include"])
missing = [p for p, found in (("python3-dev", python), ("pybind11-dev", bindings)) if not found]
if missing:
    sys.exit("error: for the Python module there is no %s; install with: sudo apt-get install %s%s" % (
        " and no ".join(missing), " ".join(missing), ", or pip install pybind11" if not bindings else ""))
folders = [python, bindings]
if python.startswith(".deps"):  # pyconfig.h of the machine's kind includes it from there
    folders.append(".deps/root/usr/include")
print(sysconfig.get_config_var("EXT_SUFFIX"), *("-isystem" + f for f in folders if f != "/usr/include"))
PY
