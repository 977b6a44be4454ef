"""What help shows."""

import pytest

from flightserver.cli.declared import underscored
from flightserver.cli.help import help_text
from flightserver.cli.tree import COMMANDS, TREE


def test_short_help_leaves_out_what_is_rare_and_full_help_names_variables_and_older_spellings() -> None:
    """G1."""
    short, full = (help_text(TREE, "write", everything=everything, width=100) for everything in (False, True))

    assert "--max-request-size" not in short
    assert "INFLUXDB3_WRITE_HOST_URL" not in short
    assert "Examples:" in short
    assert "--max-request-size <BYTES>" in full
    assert "INFLUXDB3_WRITE_HOST_URL, INFLUXDB3_HOST_URL" in " ".join(full.split())
    assert "[also: --db, --bucket]" in " ".join(full.split())


@pytest.mark.parametrize("path", ["enable", "test", "install", "file_index", "activate", "stop"])
def test_a_group_of_which_nothing_works_says_what_is_missing(path: str) -> None:
    """G1."""
    shown = help_text(TREE, path, everything=False, width=100).splitlines()

    assert shown
    assert all(" is not part of this version: " in line for line in shown)


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("path", ["", "create", "show system", *(underscored(command.words) for command in COMMANDS)])
def test_help_fits_the_terminal(path: str, width: int) -> None:
    """G1."""
    shown = help_text(TREE, path, everything=True, width=width)
    command = TREE.commands.get(path)

    if command is None or command.absent is None:
        texts = [
            line for line in shown.splitlines() if not line.startswith(("Usage:", "  influxdb3", "  bash", "  zsh", "  fish"))
        ]
        assert max(len(line) for line in texts if "  " in line.strip() or line.startswith(" ")) <= max(60, min(width, 120)) + 40
    assert shown.endswith("\n")
