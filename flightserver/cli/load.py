"""Functions by name, imported when they are needed: a command pays for itself only."""

import importlib
from collections.abc import Callable
from typing import Any


def load(name: str) -> Callable[..., Any]:
    """`module:function` below flightserver.cli."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = vars(importlib.import_module(f"flightserver.cli.{module}"))[function]
    return found
