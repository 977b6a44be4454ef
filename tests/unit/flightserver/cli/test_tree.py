"""Walks everything that the command line declares."""

import importlib

import pytest

from flightserver.cli.declared import Command, underscored
from flightserver.cli.help import GROUPS, help_text
from flightserver.cli.tree import COMMANDS, OLDER_PATHS, TREE, declared_options

every_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
working = [command for command in COMMANDS if command.absent is None]
every_working_command = pytest.mark.parametrize("command", working, ids=lambda command: command.words)


@every_working_command
def test_a_command_names_a_function_that_is_there(command: Command) -> None:
    """T1."""
    module, _, function = command.run.partition(":")

    assert callable(vars(importlib.import_module(f"flightserver.cli.{module}"))[function])


@every_working_command
def test_a_command_declares_each_spelling_once(command: Command) -> None:
    """D1."""
    spellings = [spelling for option in declared_options(command) for spelling in option.spellings]

    assert len(spellings) == len(set(spellings))


@every_working_command
def test_help_shows_each_option_and_argument(command: Command) -> None:
    """D1, T1."""
    shown = help_text(TREE, underscored(command.words), everything=True, width=120)

    assert all(f" {option.flag}" in shown for option in declared_options(command))
    assert all(argument.shown in shown for argument in command.arguments)


@every_command
def test_a_command_explains_itself_and_says_what_it_lacks_in_one_sentence(command: Command) -> None:
    """T2."""
    assert command.help
    assert "\n" not in command.help
    if command.absent is not None:
        assert not command.run
        assert not command.absent.endswith(".")
        assert "\n" not in command.absent


def test_help_of_groups_shows_no_command_that_is_absent() -> None:
    """T2."""
    top = help_text(TREE, "", everything=False, width=100)
    below_create = help_text(TREE, "create", everything=True, width=100)

    assert "backup" not in top
    assert "trigger" not in top
    assert "last_cache" not in below_create
    assert "database" in below_create


def test_every_group_that_is_shown_says_what_it_is_for() -> None:
    groups = {" ".join(command.words.split()[:depth]) for command in working for depth in range(1, len(command.words.split()))}

    assert groups <= set(GROUPS)


@pytest.mark.parametrize(("older", "now"), OLDER_PATHS.items())
def test_an_older_path_leads_to_a_command_of_today(older: str, now: str) -> None:
    """T3."""
    path: str | None = ""
    for word in older.split():
        path = TREE.step(path or "", word)
        assert path is not None

    assert path == underscored(now)
    assert path in TREE.commands or TREE.below(path)
