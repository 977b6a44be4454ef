"""The native extensions, and archives that come out the same twice; everything else about the package is in pyproject.toml.

With SOURCE_DATE_EPOCH set, the same tree makes the same bytes, wherever it lies and whoever builds it: setuptools sees to it
for wheels, `Sdist` for source archives, and the compiler is told to write down no paths (-g0).
"""

import gzip
import os
import shutil
import tarfile
from glob import glob
from pathlib import Path
from sysconfig import get_path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
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


class Sdist(sdist):
    def make_archive(self, *arguments: Any, **options: Any) -> str:
        path: str = super().make_archive(*arguments, **options)
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is not None and path.endswith(".tar.gz"):
            repack(Path(path), int(epoch))
        return path


def repack(path: Path, time_s: int) -> None:
    """The archive again, sorted, with one time for everything and without traces of who made it."""
    plain = path.with_suffix("")
    with tarfile.open(path) as old, tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            content = old.extractfile(member) if member.isfile() else None
            member.mtime, member.uid, member.gid, member.uname, member.gname, member.pax_headers = time_s, 0, 0, "", "", {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, content)
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=time_s) as packed:
        packed.write(plain.read_bytes())
    plain.unlink()


def extension(name: str, folder: str) -> Extension:
    return Extension(
        name,
        sources=sorted(glob(f"{folder}/*.cpp")),
        depends=sorted(glob("engine/native/**/*.h", recursive=True)),
        extra_compile_args=["-std=c++17", "-O3", "-g0", "-fvisibility=hidden", "-Wall", "-Wextra"],
        language="c++",
    )


setup(
    ext_modules=[extension("engine._native", "engine/native"), extension("engine._encode", "engine/native/encode")],
    cmdclass={"build_ext": BuildNative, "sdist": Sdist},
)
