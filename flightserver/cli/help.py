"""Help of a command or a group, made from the declarations. Pure.

G1  Short help shows what exists and works; --help-all adds rare options, variables and older spellings.

Held by tests/unit/flightserver/cli/test_help.py (G1).
"""

import textwrap
from collections.abc import Sequence

from flightserver.cli.declared import Command, Option
from flightserver.cli.parsing import Tree

PROGRAM = "influxdb3"
ABOUT = "Flightline: an open time-series database that speaks what InfluxDB 3 speaks."
INDENT = 34

GROUPS = {
    "create": "Make a database, a table or a token.",
    "delete": "Delete a database, a table or a token.",
    "update": "Change a database or a table.",
    "show": "List what is there.",
    "show system": "Look into the tables in which the server describes itself.",
    "enable": "Let a trigger run.",
    "disable": "Stop a trigger from running.",
    "test": "Try a plugin.",
    "install": "Install packages for plugins.",
    "debug": "Look into the object store without a server.",
    "debug catalog": "Look into the catalog without a server.",
}
FOOTER = (
    "Without a command the server starts as `serve` does, with a made-up node id and data in ~/.influxdb.\n"
    "A command's own help: influxdb3 <COMMAND> --help"
)


def help_text(tree: Tree, path: str, *, everything: bool, width: int) -> str:
    width = max(60, min(width, 120))
    command = tree.commands.get(path)
    if command is None:
        return _group_help(tree, path, width, everything=everything)
    if command.absent is not None:
        return f"{absent_sentence(command)}\n"
    return _command_help(command, tree.options(path), width, everything=everything)


def absent_sentence(command: Command) -> str:
    return f"`{PROGRAM} {command.words}` is not part of this version: {command.absent}"


def usage_line(tree: Tree, path: str) -> str:
    command = tree.commands.get(path)
    if command is None:
        return f"Usage: {' '.join((PROGRAM, path))}".rstrip() + " <COMMAND> [OPTIONS]"
    required = [option.shown for option in tree.options(path) if option.required]
    arguments = [argument.shown for argument in command.arguments]
    return "Usage: " + " ".join((PROGRAM, command.words, *required, "[OPTIONS]", *arguments))


def _group_help(tree: Tree, path: str, width: int, *, everything: bool) -> str:
    words = tree.next_words(path)
    if not words:
        return "".join(f"{absent_sentence(command)}\n" for command in tree.below(path) or tree.meant_by(path))
    lines = [GROUPS.get(path, ABOUT), "", usage_line(tree, path), "", "Commands:"]
    for word in words:
        inner = f"{path} {word.replace('-', '_')}".strip()
        command = tree.commands.get(inner)
        about = command.help if command is not None else GROUPS.get(inner, "")
        if everything and command is None:
            about += f" ({', '.join(tree.next_words(inner))})"
        lines += columns(word, about, width, indent=20)
    lines += ["", "Options:", *columns("-h, --help", "Help; --help-all tells more.", width, indent=20)]
    if not path:
        lines += columns("-V, --version", "The version.", width, indent=20)
        lines += ["", *FOOTER.splitlines()]
    return "\n".join(lines) + "\n"


def _command_help(command: Command, options: Sequence[Option], width: int, *, everything: bool) -> str:
    tree = Tree((command,), {}, lambda _: tuple(options))
    lines = [command.help, "", usage_line(tree, command.words.replace("-", "_"))]
    if command.arguments:
        lines += ["", "Arguments:"]
        for argument in command.arguments:
            suffix = f" [env: {', '.join(argument.env)}]" if everything and argument.env else ""
            lines += columns(argument.shown, argument.help + suffix, width)
    for group in dict.fromkeys(option.group for option in options):
        shown = [option for option in options if option.group == group and _is_shown(option, everything)]
        if shown:
            lines += ["", f"{group}:"]
        for option in shown:
            lines += _explain(option, width, everything=everything)
    lines += ["", "Help:", *columns("-h, --help", "The options most used.", width)]
    lines += columns("    --help-all", "All options, with their variables and older spellings.", width)
    if command.examples and not everything:
        lines += ["", command.examples]
    return "\n".join(lines) + "\n"


def _is_shown(option: Option, everything: bool) -> bool:
    return everything or not (option.rare or option.ignored)


def _explain(option: Option, width: int, *, everything: bool) -> list[str]:
    value = "" if option.value is None else f" [{option.value}]" if option.bare is not None else f" <{option.value}>"
    left = f"{option.short + ',' if option.short else '   '} {option.flag}{value}"
    right = [option.help]
    if option.choices:
        right.append(f"[values: {', '.join(option.choices)}]")
    if option.default is not None:
        right.append(f"[default: {option.default}]")
    if everything:
        right += [f"[env: {', '.join(option.env)}]"] if option.env else []
        right += [f"[also: {', '.join(option.also)}]"] if option.also else []
    return columns(left, " ".join(right), width)


def columns(left: str, right: str, width: int, indent: int = INDENT) -> list[str]:
    wrapped = textwrap.wrap(right, width - indent, break_on_hyphens=False, break_long_words=False) or [""]
    first = f"  {left:<{indent - 3}} "
    if len(first) > indent:
        return [first.rstrip(), *(" " * indent + line for line in wrapped)]
    return [(first + wrapped[0]).rstrip(), *(" " * indent + line for line in wrapped[1:])]
