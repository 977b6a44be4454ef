"""Walks every declared option of `serve` (O1, O2)."""

from dataclasses import fields

import pytest

from engine.settings import Settings
from engine.storage.open import UNSUPPORTED, StoreOptions
from flightserver.cli.help import help_text as help_of
from flightserver.cli.serve import options
from flightserver.cli.tree import TREE
from flightserver.config import this_machine
from flightserver.options import OPTIONS
from flightserver.options.declared import Given, Machine, Option
from flightserver.options.kinds import text

FOREIGN_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_")
SETTINGS_WITHOUT_AN_OPTION_OF_THEIR_NAME = {
    "extend_tags": "set by --new-tags extend",
    "with_tokens": "set unless --without-auth",
    "cli_params": "all that was asked for",
    "cluster_id": "set where several servers share a catalog",
}

every_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return this_machine()


def help_text(*, everything: bool, width: int) -> str:
    return help_of(TREE, "serve", everything=everything, width=width)


@pytest.fixture(scope="module")
def all_help() -> str:
    return help_text(everything=True, width=120)


@every_option
def test_an_option_does_something_or_says_why_not(option: Option) -> None:
    """O1."""
    outcomes = [option.sets, option.unsupported, option.already, option.no_effect]

    assert sum(outcome is not None for outcome in outcomes) == 1, option.flag


@every_option
def test_an_option_explains_itself_in_one_line(option: Option) -> None:
    assert option.help
    assert option.help[0].isupper()
    assert option.help.rstrip(")").endswith(".")
    assert "\n" not in option.help


@every_option
def test_a_variable_is_named_after_its_flag_unless_the_cloud_named_it_first(option: Option) -> None:
    """O2."""
    assert option.flag.startswith("--")
    assert option.flag == option.flag.lower()
    if option.env_names[0].startswith(FOREIGN_VARIABLES):
        assert option.env_names == (option.flag.removeprefix("--").replace("-", "_").upper(),)
    else:
        assert "INFLUXDB3_" + option.flag.removeprefix("--").replace("-", "_").upper() in option.env_names


@every_option
def test_all_help_shows_the_option_its_variables_and_its_older_spellings(option: Option, all_help: str) -> None:
    assert f" {option.flag}" in all_help
    for name in (*option.env_names, *option.unprefixed, *option.also):
        assert name in all_help


@every_option
def test_a_default_is_a_valid_value(option: Option, machine: Machine) -> None:
    if option.default is not None:
        option.kind(Given(option.flag, option.default, machine, option))


@every_option
def test_every_spelling_is_offered_by_the_command(option: Option) -> None:
    offered = {name for declared in options() for name in declared.spellings}

    assert {option.flag, *option.also} <= offered


def test_no_two_options_share_a_flag_a_variable_or_what_they_set() -> None:
    flags = [flag for option in OPTIONS for flag in (option.flag, *option.also)]
    variables = [name for option in OPTIONS for name in (*option.env_names, *option.unprefixed)]
    places = [option.sets for option in OPTIONS if option.sets is not None]

    assert len(flags) == len(set(flags))
    assert len(variables) == len(set(variables))
    assert len(places) == len(set(places))


def test_every_setting_of_the_engine_is_reached_by_an_option() -> None:
    reached = {
        option.sets.removeprefix("settings.") for option in OPTIONS if option.sets and option.sets.startswith("settings.")
    }

    assert reached | set(SETTINGS_WITHOUT_AN_OPTION_OF_THEIR_NAME) == {field.name for field in fields(Settings)}


def test_every_field_of_a_store_is_reached_by_an_option_and_what_stores_lack_is_said() -> None:
    reached = {option.sets.removeprefix("store.") for option in OPTIONS if option.sets and option.sets.startswith("store.")}

    assert reached == {field.name for field in fields(StoreOptions)}
    for name, sentence in UNSUPPORTED.items():
        assert next(option for option in OPTIONS if option.flag == f"--{name}").unsupported == sentence


def test_short_help_shows_what_one_starts_with_and_fits_a_screen_or_two() -> None:
    shown = help_text(everything=False, width=100)

    assert "--node-id" in shown
    assert "--license-email" not in shown
    assert len(shown.splitlines()) <= 60
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_unsupported_options_take_any_value_so_that_the_reason_is_what_is_read() -> None:
    strict = [
        o.flag for o in OPTIONS if o.unsupported and o.kind is not text and o.value_name and o.flag != "--package-manager"
    ]

    assert all(next(o for o in OPTIONS if o.flag == flag).kind.__name__ in ("path", "listed") for flag in strict)
