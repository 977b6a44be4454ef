"""What the command line is made of, as values: options, arguments, commands. Pure; imports nothing of ours.

D1  An option is declared once; parsing, help and completion read the same declaration.
D2  `kind` turns the text into a value or raises ValueError with the sentence that a person needs.

Held by tests/unit/flightserver/cli/test_tree.py (D1) and tests/unit/flightserver/cli/test_parsing.py (D2).
Elsewhere: the declarations (cli.tree), reading a command line (cli.parsing), help (cli.help).
"""

from collections.abc import Callable
from typing import NamedTuple


class Option(NamedTuple):
    flag: str
    help: str
    value: str | None = None  # the name of its value in help; None: a flag without value
    short: str | None = None
    group: str = "Options"
    env: tuple[str, ...] = ()
    default: str | None = None  # as it would be written
    also: tuple[str, ...] = ()  # older spellings, and those of other versions
    kind: Callable[[str], object] = str
    choices: tuple[str, ...] = ()
    older_choices: tuple[tuple[str, str], ...] = ()  # what a value was called, and is called now
    required: bool = False
    many: bool = False  # may be given several times
    bare: str | None = None  # what the flag alone means, where a value is optional
    rare: bool = False  # shown by --help-all only
    ignored: bool = False  # read and dropped: it means nothing here

    @property
    def is_flag(self) -> bool:
        return self.value is None

    @property
    def spellings(self) -> tuple[str, ...]:
        return (self.flag, *self.also, *((self.short,) if self.short else ()))

    @property
    def shown(self) -> str:
        return self.flag if self.is_flag else f"{self.flag} <{self.value}>"


class Argument(NamedTuple):
    name: str
    help: str
    required: bool = True
    many: bool = False
    env: tuple[str, ...] = ()
    quoted: bool = False  # it has blanks, so that it needs quotes in a shell

    @property
    def shown(self) -> str:
        text = f"<{self.name}>" if self.required else f"[{self.name}]"
        return f"{text}..." if self.many else text


class Command(NamedTuple):
    words: str  # as it is typed: "create database"
    help: str
    run: str = ""  # "module:function" below flightserver.cli
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    more_options: str = ""  # "module:function" that declares the options, where they come from elsewhere
    examples: str = ""
    absent: str | None = None  # why it cannot be used yet; such a command is not shown
    hidden: bool = False


def underscored(word: str) -> str:
    """Hyphen and underscore are the same letter in a command's words."""
    return word.replace("-", "_")
