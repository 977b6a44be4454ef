"""Which version this is: what the installed package says, or the source tree it runs from."""

import importlib.metadata
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def version() -> str:
    try:
        return importlib.metadata.version("flightline")
    except importlib.metadata.PackageNotFoundError:
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
        return str(declared["project"]["version"])


def revision() -> str:
    """The commit of the working tree this runs from, or `unknown`: an installed package has none."""
    git = ROOT / ".git"
    try:
        if git.is_file():  # a linked working tree names its own directory
            git = Path(git.read_text().strip().removeprefix("gitdir: "))
        head = (git / "HEAD").read_text().strip()
        if head.startswith("ref: "):
            common = git / (git / "commondir").read_text().strip() if (git / "commondir").is_file() else git
            head = (common / head.removeprefix("ref: ")).read_text().strip()
    except OSError:
        return "unknown"
    return head[:10]
