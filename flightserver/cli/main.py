"""`influxdb3`: reads the command line, runs the command, and reports failures the way scripts expect.

C1  A command's module is imported when it is used, so that starting costs what the command needs.
C2  A failure is told on stderr: `<Verb> command failed: …` and exit 1, or `error: …` with a usage line and exit 2.
C3  Without a command, options are those of `serve`, and what it needs is made up (quick start).
C4  Ctrl-C ends a command with exit 130, a reader that goes away (`| head`) ends it in silence.

Held by tests/integration/cli/test_main.py (C1-C3) and tests/integration/cli/test_query.py (C4).
Elsewhere: all commands and options (cli.tree; read that first), the modules that do the work (named there by `run`).
"""

import io
import os
import sys
from collections.abc import Sequence

from catalog.errors import ServiceError
from engine.spared import spare
from flightserver.cli.console import CommandError, Interrupted, styled, terminal_width
from flightserver.cli.declared import Command
from flightserver.cli.help import absent_sentence, help_text, usage_line
from flightserver.cli.load import load
from flightserver.cli.parsing import Asked, UsageError, parse
from flightserver.cli.tree import TREE
from flightserver.environment import read_environment

RUNTIME_OPTIONS = ("--num-io-threads", "--num-threads", "--io-runtime-")
OWN_OPTIONS = ("-h", "--help", "--help-all", "-V", "--version")
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    try:
        return _run(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be flushed at the end
        return 1


def _run(words: list[str]) -> int:
    asked: Asked | None = None
    try:
        asked = parse(TREE, _with_verb(words), read_environment())
        return _answer(asked)
    except UsageError as error:
        path = error.path or (asked.path if asked is not None else "")
        print(f"error: {error.message}\n\n{usage_line(TREE, path)}\n\nFor more information, try '--help'.", file=sys.stderr)
        return 2
    except (CommandError, ServiceError) as error:
        verb = asked.path.split()[0].capitalize() if asked is not None else "Influxdb3"
        sys.stdout.flush()
        print(styled(f"{verb} command failed:", "31", sys.stderr), error, file=sys.stderr)
        more = error.more if isinstance(error, CommandError) else error.hint
        if more:
            print(more, file=sys.stderr)
        return 1
    except (Interrupted, KeyboardInterrupt):
        return EXIT_INTERRUPTED


def _answer(asked: Asked) -> int:
    if asked.version:
        print(version_line())
        return 0
    if asked.help is not None:
        sys.stdout.write(help_text(TREE, asked.path, everything=asked.help == "--help-all", width=terminal_width()))
        return 0
    if asked.command is None:
        sys.stderr.write(help_text(TREE, asked.path, everything=False, width=terminal_width()))
        return 2
    if asked.given is None:
        raise CommandError(absent_sentence(asked.command))
    return _call(asked.command, asked)


def _call(command: Command, asked: Asked) -> int:
    if command.words != "serve":
        spare()
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is told once, by us
    result = load(command.run)(asked.given)
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _with_verb(words: list[str]) -> list[str]:
    """Runtime options may stand before the verb, and only `serve` has a use for them; no verb at all is a quick start."""
    runtime: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith(RUNTIME_OPTIONS):
        taken = 1 if "=" in rest[0] else 2
        runtime, rest = runtime + rest[:taken], rest[taken:]
    if not rest or (rest[0].startswith("-") and rest[0] not in OWN_OPTIONS):
        return ["serve", "--quick-start", *runtime, *rest]
    return [rest[0], *runtime, *rest[1:]] if rest[0] == "serve" else rest


def version_line() -> str:
    from flightserver.version import revision, version  # may look at the installed packages, which takes a while

    return f"influxdb3 Flightline {version()}, revision {revision()}"


if __name__ == "__main__":
    sys.exit(main())
