"""What is said of an option, and what its text is read from.

Elsewhere: reading the text (kinds.py), the options themselves (the other modules).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Value = str | int | bool | tuple[str, int] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What defaults depend on."""

    memory_bytes: int
    cpus: int
    hostname: str
    home: Path


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was written: the flag or variable, and the text."""

    spelling: str
    text: str
    machine: Machine
    declared: "Option"

    @property
    def old_spelling(self) -> bool:
        return self.spelling.lower() not in (self.declared.flag, self.declared.env_names[0].lower())


Kind = Callable[[Given], Value]
Group = Literal[
    "Node and storage",
    "Network",
    "Object store",
    "Write-ahead log and settling",
    "Memory and queries",
    "Limits",
    "Access",
    "Logs",
    "Processing engine",
    "Several nodes",
    "Runtime",
    "License, telemetry and tests",
]


@dataclass(frozen=True, slots=True)
class Option:
    flag: str
    help: str
    group: Group
    kind: Kind
    value_name: str | None = None  # None: a flag without value
    sets: str | None = None
    default: str | None = None  # as it would be written
    also: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    unprefixed: tuple[str, ...] = ()  # variables that still work, with a warning
    short: str | None = None
    common: bool = False  # shown by --help, not only by --help-all
    bare_value: str | None = None  # what the flag alone means, where a value is optional
    allowed: tuple[str, ...] = ()  # values of an unsupported option that ask for nothing
    for_stores: tuple[str, ...] = ()  # the kinds of store that it matters to
    unsupported: str | None = None
    already: str | None = None
    no_effect: str | None = None

    @property
    def env_names(self) -> tuple[str, ...]:
        """All variables without warning, the documented one first."""
        named = self.env or (variable(self.flag),)
        older = tuple(variable(flag) for flag in self.also) if named[0].startswith("INFLUXDB3_") else ()
        return tuple(dict.fromkeys(named + older))

    @property
    def is_flag(self) -> bool:
        return self.value_name is None


def variable(flag: str) -> str:
    return "INFLUXDB3_" + flag.removeprefix("--").replace("-", "_").upper()


CLOUD = ("s3", "google", "azure")
