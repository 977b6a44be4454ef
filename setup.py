"""The native extensions; everything else about the package stands in pyproject.toml."""

import shutil
from glob import glob
from pathlib import Path
from sysconfig import get_path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, PlatformError

NO_COMPILER = (
    "Flightline needs a C++17 compiler and Python's headers: install them"
    " (Debian: apt-get install g++ python3-dev) and try again."
)


class BuildNative(build_ext):
    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except (CompileError, ExecError, PlatformError, FileNotFoundError) as error:
            if shutil.which(self.compiler.compiler_so_cxx[0]) and Path(get_path("include"), "Python.h").exists():
                raise
            raise SystemExit(f"{NO_COMPILER} ({error})") from None


def extension(name: str, folder: str) -> Extension:
    return Extension(
        name,
        sources=sorted(glob(f"{folder}/*.cpp")),
        depends=sorted(glob("engine/native/**/*.h", recursive=True)),
        extra_compile_args=["-std=c++17", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra"],
        language="c++",
    )


setup(
    ext_modules=[extension("engine._native", "engine/native"), extension("engine._encode", "engine/native/encode")],
    cmdclass={"build_ext": BuildNative},
)
