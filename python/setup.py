"""pip install ./python: builds the module with make, for the interpreter that pip runs under, and
takes versor_torch.py along. VERSOR_TORCH_ONLY=1 pip install ./python: only that, without a compiler.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "wheel-build"
MAKEFILE = (HERE.parent / "Makefile").read_text()


class Make(build_ext):
    def build_extension(self, extension):
        subprocess.check_call(["make", "-C", HERE.parent, "python", f"PYTHON3={sys.executable}"])
        target = pathlib.Path(self.get_ext_fullpath(extension.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        built = HERE / self.get_ext_filename(extension.name)
        if target != built:
            shutil.copy(built, target)


BUILD.mkdir(parents=True, exist_ok=True)
setup(
    name="versor",
    version=re.search(r"^VERSION := (\S+)", MAKEFILE, re.M)[1],
    description="Tensors, reverse-mode differentiation, vector quantizers and their training",
    license="MIT",
    python_requires=">=3.9",
    ext_modules=[] if os.environ.get("VERSOR_TORCH_ONLY") else [Extension("versor", [])],
    py_modules=["versor_torch"],
    options={"build": {"build_base": str(BUILD)}, "egg_info": {"egg_base": str(BUILD)}},
    cmdclass={"build_ext": Make},
)
