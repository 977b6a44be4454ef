"""Which version this is: what the installed package says, or the source tree it runs from."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def version() -> str:
    declared = ROOT / "pyproject.toml"
    text = declared.read_text() if declared.is_file() else ""
    if found := re.search(r'^name = "flightline"\nversion = "([^"]+)"$', text, re.MULTILINE):
        return found[1]
    import importlib.metadata  # a third of the time that --version takes, and the source tree does not need it

    return importlib.metadata.version("flightline")


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
