"""Shell completion: one small script per shell, which asks `influxdb3 complete` for what may follow.

M1  What is offered is what the declarations say: commands, options not given yet, values of an option. Files otherwise.

Held by tests/unit/flightserver/cli/test_completion.py (M1) and tests/integration/cli/test_completion.py.
"""

from collections.abc import Sequence

from flightserver.cli.declared import Option
from flightserver.cli.help import GROUPS
from flightserver.cli.parsing import Given, Tree, UsageError
from flightserver.cli.tree import TREE

SCRIPTS = {
    "bash": """\
_influxdb3() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(influxdb3 complete -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$2" 2>/dev/null)
    if [ ${#COMPREPLY[@]} -eq 0 ]; then
        COMPREPLY=($(compgen -f -- "$2"))
    fi
}
complete -o filenames -F _influxdb3 influxdb3
""",
    "zsh": """\
_influxdb3() {
    local -a found
    local line word tab=$'\\t'
    while IFS= read -r line; do
        word=${line%%$tab*}
        found+=("${word//:/\\\\:}:${line#*$tab}")
    done < <(influxdb3 complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then
        _describe 'influxdb3' found
    else
        _files
    fi
}
compdef _influxdb3 influxdb3
""",
    "fish": """\
function __influxdb3_complete
    set -l words (commandline -opc) (commandline -ct)
    influxdb3 complete -- $words[2..-1] 2>/dev/null
end
complete -c influxdb3 -a '(__influxdb3_complete)'
""",
}


def script(given: Given) -> None:
    shell = given.text("SHELL")
    if shell not in SCRIPTS:
        raise UsageError(
            f"invalid value '{shell}' for '<SHELL>'\n  [possible values: {', '.join(SCRIPTS)}]",
            "completion",
        )
    print(SCRIPTS[shell], end="")


def complete(given: Given) -> None:
    for word, about in candidates(TREE, given.each("WORDS")):
        print(f"{word}\t{about}")


def candidates(tree: Tree, words: Sequence[str]) -> list[tuple[str, str]]:
    """What the last word may become, and what each means. Nothing: a file, or whatever the person likes."""
    *before, last = words or [""]
    path, used = "", set()
    awaited: Option | None = None
    for word in before:
        if awaited is not None:
            awaited = None
        elif word.startswith("-"):
            spelling, equals, _ = word.partition("=")
            option = _option(tree, path, spelling)
            used.add(option.flag if option is not None else spelling)
            awaited = option if option is not None and not equals and _takes_value(option) else None
        elif path not in tree.commands:
            path = tree.step(path, word) or path
    if awaited is not None:
        return _matching([(choice, "") for choice in awaited.choices], last)
    if last.startswith("--") and "=" in last:
        spelling, _, text = last.partition("=")
        option = _option(tree, path, spelling)
        choices = option.choices if option is not None else ()
        return [(f"{spelling}={choice}", "") for choice, _ in _matching([(choice, "") for choice in choices], text)]
    if last.startswith("-") or path in tree.commands:
        return _matching(_flags(tree, path, used), last) if last.startswith("-") else []
    return _matching([(word, _about(tree, path, word)) for word in tree.next_words(path)], last)


def _flags(tree: Tree, path: str, used: set[str]) -> list[tuple[str, str]]:
    shown = {
        option.flag: option.help
        for option in tree.options(path)
        if (option.many or option.flag not in used) and not option.ignored
    }
    return [*shown.items(), ("--help", "Help.")]


def _option(tree: Tree, path: str, spelling: str) -> Option | None:
    return next((option for option in tree.options(path) if spelling in option.spellings), None)


def _takes_value(option: Option) -> bool:
    return not option.is_flag and option.bare is None


def _about(tree: Tree, path: str, word: str) -> str:
    inner = f"{path} {word.replace('-', '_')}".strip()
    command = tree.commands.get(inner)
    return command.help if command is not None else GROUPS.get(inner, "")


def _matching(found: list[tuple[str, str]], begun: str) -> list[tuple[str, str]]:
    return [(word, about) for word, about in found if word.startswith(begun)]
