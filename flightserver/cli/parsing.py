"""A command line read against the declarations: which command, which values. Pure.

P1  A flag beats its variable, the variable beats the default. What was not declared is refused with the nearest name.
P2  Options may stand anywhere after the verb, also between the words of a command (`show system -d mydb summary`).
P3  Hyphens and underscores in a command's words are the same; older paths (`file-index create`) lead to today's command.
P4  `-h`, `--help` and the word `help` ask for help wherever they stand; `-h URL` is the host of an early version.

Held by tests/unit/flightserver/cli/test_parsing.py (P1-P4).
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from flightserver.cli.declared import Command, Option, underscored

HELP = ("-h", "--help", "--help-all")
VERSION = ("-V", "--version")
_TRUE = ("true", "1", "yes", "y", "on", "t")
_FALSE = ("false", "0", "no", "n", "off", "f", "")


class UsageError(Exception):
    """`error: …`, a usage line, exit 2. `path` is the command or group that was being read."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Given:
    """The values of one command line, by the flag or argument that declares them."""

    def __init__(self, command: Command, values: Mapping[str, object], spelled: Mapping[str, str]) -> None:
        self.command = command
        self.values = values
        #: every option that stood on the command line, as it was spelled: to its text
        self.spelled = spelled

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) not in (None, False, [])

    def find(self, name: str) -> str | None:
        value = self.values.get(name)
        return None if value is None else str(value)

    def text(self, name: str) -> str:
        value = self.values[name]
        assert value is not None, f"{name} is declared as required"
        return str(value)

    def number(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int), f"{name} is declared as a number"
        return value

    def each(self, name: str) -> list[str]:
        """The values of an option that may be repeated, one after another."""
        value = self.values.get(name)
        items = value if isinstance(value, list) else []
        return [str(part) for item in items for part in (item if isinstance(item, list) else [item])]


class Asked(NamedTuple):
    """What a command line asks for: a command with its values, help about a path, or the version."""

    path: str
    command: Command | None = None
    given: Given | None = None
    help: str | None = None  # "--help" or "--help-all"
    version: bool = False


class Tree:
    """The commands by their words, with the paths that older versions used."""

    def __init__(
        self,
        commands: Sequence[Command],
        older: Mapping[str, str],
        declare: Callable[[Command], tuple[Option, ...]] = lambda command: command.options,
    ) -> None:
        self.commands = {underscored(command.words): command for command in commands}
        self._older = {underscored(path): underscored(now) for path, now in older.items()}
        self._declare = declare

    def below(self, path: str) -> list[Command]:
        """All commands of a group, in the order in which they are declared."""
        return [command for words, command in self.commands.items() if not path or words.startswith(path + " ")]

    def step(self, path: str, word: str) -> str | None:
        """Where a word leads from a group."""
        wanted = f"{path} {underscored(word)}".strip()
        wanted = self._older.get(wanted, wanted)
        known = (*self.commands, *self._older)
        return wanted if any(found == wanted or found.startswith(wanted + " ") for found in known) else None

    def meant_by(self, path: str) -> list[Command]:
        """The commands that older paths below this one lead to."""
        return [
            self.commands[now] for older, now in self._older.items() if older.startswith(path + " ") and now in self.commands
        ]

    def next_words(self, path: str, *, everything: bool = False) -> list[str]:
        """The words that may follow, as they are typed."""
        depth = len(path.split())
        found = {
            command.words.split()[depth]: None
            for command in self.below(path)
            if not command.hidden and (everything or command.absent is None)
        }
        return list(found)

    def options(self, path: str) -> list[Option]:
        """What may be given at this place: a command's own options, or those of all commands of a group."""
        if path in self.commands:
            return list(self._declare(self.commands[path]))
        return [option for command in self.below(path) if path for option in self._declare(command)]


def parse(tree: Tree, words: Sequence[str], environment: Mapping[str, str]) -> Asked:
    return _Reader(tree, words).read(environment)


class _Reader:
    def __init__(self, tree: Tree, words: Sequence[str]) -> None:
        self._tree = tree
        self._left = list(words)
        self._path = ""
        self._found: list[tuple[str, str | None]] = []
        self._words: list[str] = []
        self._help: str | None = None

    def read(self, environment: Mapping[str, str]) -> Asked:
        while self._left:
            word = self._left.pop(0)
            if word == "--":
                self._words += self._left
                break
            if word in VERSION and not self._path:
                return Asked("", version=True)
            if _is_option(word):
                self._option(word)
            elif (word == "help" and not self._words and (not self._path or self._takes_no_words())) or self._is_absent():
                self._help = self._help or ("--help" if word == "help" else None)
            elif self._command() is None:
                self._step(word)
            else:
                self._words.append(word)
        command = self._command()
        if self._help or command is None or command.absent is not None:
            return Asked(self._path, command, help=self._help)
        return Asked(self._path, command, self._given(command, environment))

    def _command(self) -> Command | None:
        return self._tree.commands.get(self._path)

    def _is_absent(self) -> bool:
        command = self._command()
        return command is not None and command.absent is not None

    def _takes_no_words(self) -> bool:
        """`create trigger help` asks for help; `create database help` makes a database of that name."""
        command = self._command()
        return command is None or not command.arguments or command.absent is not None

    def _step(self, word: str) -> None:
        path = self._tree.step(self._path, word)
        if path is None:
            close = difflib.get_close_matches(underscored(word), self._tree.next_words(self._path, everything=True), n=1)
            close = close or difflib.get_close_matches(word, self._tree.next_words(self._path, everything=True), n=1)
            raise UsageError(f"unrecognized subcommand '{word}'" + _tip("subcommand", close), self._path)
        self._path = path

    def _option(self, word: str) -> None:
        spelling, equals, text = word.partition("=") if word.startswith("--") else (word[:2], word[2:] and "=", word[2:])
        if spelling in HELP and not self._is_old_host(spelling):
            self._help = "--help-all" if "--help-all" in (spelling, self._help) else "--help"
            return
        if self._is_absent():
            return
        option = self._declared("-H" if spelling == "-h" else spelling)
        if option.is_flag and not word.startswith("--") and equals:
            self._left.insert(0, "-" + text.removeprefix("="))  # -qy is -q -y
            equals = ""
        if option.bare is not None and not option.is_flag and not equals and self._has_value_next():
            self._found.append((spelling, self._left.pop(0)))
        elif option.is_flag or option.bare is not None:
            self._found.append((spelling, text if equals else (option.bare or "true")))
        elif equals:
            self._found.append((spelling, text if word.startswith("--") else text.removeprefix("=")))
        elif self._left and not _is_known(self._tree, self._path, self._left[0]):
            self._found.append((spelling, self._left.pop(0)))
        else:
            raise UsageError(f"a value is required for '{option.shown}' but none was supplied", self._path)

    def _has_value_next(self) -> bool:
        """Behind an option whose value may be left out: a word that is neither an option nor an argument of the command."""
        command = self._command()
        return bool(self._left) and not _is_option(self._left[0]) and command is not None and not command.arguments

    def _is_old_host(self, spelling: str) -> bool:
        return spelling == "-h" and bool(self._left) and "://" in self._left[0]

    def _declared(self, spelling: str) -> Option:
        options = self._tree.options(self._path)
        for option in options:
            if spelling in option.spellings:
                return option
        names = [name for option in options for name in option.spellings if name.startswith("--")]
        close = difflib.get_close_matches(spelling, [*names, "--help", "--help-all", "--version"], n=1, cutoff=_ALIKE)
        raise UsageError(f"unexpected argument '{spelling}' found" + _tip("argument", close), self._path)

    # ------------------------------------------------------------------------------------------------ values

    def _given(self, command: Command, environment: Mapping[str, str]) -> Given:
        options = self._tree.options(self._path)
        texts: dict[str, list[tuple[str, str]]] = {}
        for spelling, text in self._found:
            # an option before the last word was read with a whole group's options
            option = self._declared("-H" if spelling == "-h" else spelling)
            texts.setdefault(option.flag, []).append((spelling, text or ""))
        values = {option.flag: self._value(option, texts.get(option.flag, []), environment) for option in options}
        self._arguments(command, values, environment)
        missing = [option.shown for option in options if option.required and values[option.flag] is None]
        missing += [f"<{argument.name}>" for argument in command.arguments if argument.required and not values[argument.name]]
        if missing:
            raise UsageError("the following required arguments were not provided:\n  " + "\n  ".join(missing), self._path)
        return Given(command, values, {spelling: text or "" for spelling, text in self._found})

    def _value(self, option: Option, texts: list[tuple[str, str]], environment: Mapping[str, str]) -> object:
        if not texts:
            texts = next(([(name, environment[name])] for name in option.env if environment.get(name)), [])
        if not texts and option.default is not None:
            texts = [(option.flag, option.default)]
        if option.is_flag:
            return self._flag(option, texts[-1]) if texts else False
        if option.many:
            return [self._one(option, given) for given in texts]
        if len({text for _, text in texts}) > 1:
            raise UsageError(f"the argument '{option.shown}' cannot be used multiple times", self._path)
        return self._one(option, texts[0]) if texts else None

    def _one(self, option: Option, given: tuple[str, str]) -> object:
        spelling, text = given
        text = dict(option.older_choices).get(text, text)
        if option.choices and text not in option.choices:
            raise UsageError(
                f"invalid value '{text}' for '{option.shown}'\n  [possible values: {', '.join(option.choices)}]"
                + _tip("value", difflib.get_close_matches(text, option.choices, n=1)),
                self._path,
            )
        try:
            return option.kind(text)
        except ValueError as error:
            shown = option.shown if spelling.startswith("-") else spelling
            raise UsageError(f"invalid value '{text}' for '{shown}': {error}", self._path) from None

    def _flag(self, option: Option, given: tuple[str, str]) -> bool:
        lowered = given[1].strip().lower()
        if lowered not in (*_TRUE, *_FALSE):
            raise UsageError(f"invalid value '{given[1]}' for '{option.flag}': expected true or false", self._path)
        return lowered in _TRUE

    def _arguments(self, command: Command, values: dict[str, object], environment: Mapping[str, str]) -> None:
        left = list(self._words)
        for argument in command.arguments:
            if argument.many:
                values[argument.name], left = left, []
            elif left:
                values[argument.name] = left.pop(0)
            else:
                values[argument.name] = next((environment[name] for name in argument.env if environment.get(name)), None)
        if left:
            raise UsageError(f"unexpected argument '{left[0]}' found{self._way_out(command, values, left[0])}", self._path)

    def _way_out(self, command: Command, values: Mapping[str, object], word: str) -> str:
        """What was probably meant by a word too many: a required option's value, or part of an argument without quotes."""
        missing = [option for option in self._tree.options(self._path) if option.required and values[option.flag] is None]
        if command.arguments and command.arguments[-1].quoted:
            return f"\n\n  tip: put {command.arguments[-1].shown} in quotes"
        return f"\n\n  tip: did you mean '{missing[0].flag} {word}'?" if missing else ""


#: how much two options have to have in common to be taken for each other
_ALIKE = 0.7


def _is_option(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not word[1].isdigit()


def _is_known(tree: Tree, path: str, word: str) -> bool:
    """Whether a word that looks like an option is one here: values may begin with a hyphen, too."""
    if word in HELP:
        return True
    return _is_option(word) and any(word.partition("=")[0] in option.spellings for option in tree.options(path))


def _tip(what: str, close: Sequence[str]) -> str:
    return "".join(f"\n\n  tip: a similar {what} exists: '{name}'" for name in close)
