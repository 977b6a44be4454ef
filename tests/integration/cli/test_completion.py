"""Completion in the shells that are here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cli import environment_of, influxdb3
from tests.helpers.servers import ROOT

BASH = """
source <(influxdb3 completion bash)
COMP_WORDS=(influxdb3 show system ta); COMP_CWORD=3
_influxdb3 influxdb3 ta system
printf '%s\\n' "${COMPREPLY[@]}"
COMP_WORDS=(influxdb3 query --format j); COMP_CWORD=3
_influxdb3 influxdb3 j --format
printf '%s\\n' "${COMPREPLY[@]}"
COMP_WORDS=(influxdb3 write --file pypro); COMP_CWORD=3
_influxdb3 influxdb3 pypro --file
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
influxdb3 completion fish | source
complete -C 'influxdb3 show system ta' | string replace -r '\\t.*' ''
"""
ZSH = "autoload -Uz compinit && compinit -D && source <(influxdb3 completion zsh) && echo ${_comps[influxdb3]}"


def run_in(shell: str, script: str, directory: Path) -> list[str]:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} here")
    command = directory / "influxdb3"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m flightserver.cli.main "$@"\n')
    command.chmod(0o755)
    variables = environment_of()
    variables["PATH"] = f"{directory}:{variables['PATH']}"
    done = subprocess.run(
        [path, "-c", script], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_words_values_and_files(tmp_path: Path) -> None:
    """M1."""
    assert run_in("bash", BASH, tmp_path) == ["table", "table-list", "json", "jsonl", "pyproject.toml"]


def test_fish_completes_words(tmp_path: Path) -> None:
    """M1."""
    assert run_in("fish", FISH, tmp_path) == ["table", "table-list"]


def test_zsh_knows_whom_to_ask(tmp_path: Path) -> None:
    assert run_in("zsh", ZSH, tmp_path) == ["_influxdb3"]


def test_another_shell_is_a_usage_error() -> None:
    done = influxdb3("completion", "tcsh")

    assert done.code == 2
    assert "[possible values: bash, zsh, fish]" in done.err
