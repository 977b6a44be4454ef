"""Completion in the shells that are here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cli import environment_of
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
complete -C 'influxdb3 query --format j' | string replace -r '\\t.*' ''
complete -C 'influxdb3 query --format=par' | string replace -r '\\t.*' ''
complete -C 'influxdb3 write --file pypro' | string replace -r '\\t.*' ''
"""
#: what is typed in zsh, and what the line is once the tabulator has been pressed
ZSH_LINES = {
    "influxdb3 show ret": "influxdb3 show retention ",
    "influxdb3 query --format par": "influxdb3 query --format parquet ",
    "influxdb3 query --format=pretty --databa": "influxdb3 query --format=pretty --database ",
    "influxdb3 write --file pypro": "influxdb3 write --file pyproject.toml ",
    "influxdb3 crea": "influxdb3 create ",
}
ZSH = """
zmodload zsh/zpty
zpty shell 'zsh -f -i'
zpty -w shell 'autoload -Uz compinit && compinit -D; source <(influxdb3 completion zsh)'
zpty -w shell 'show-line() { print -r -- "<<$BUFFER>>" >>$SEEN; BUFFER=; }; zle -N show-line; bindkey "^X" show-line'
zpty -w shell 'print ready >>$SEEN'
for ((wait = 0; wait < 600; wait++)) { grep -qs ready $SEEN && break; sleep 0.1; zpty -r -t shell nothing }
for line ("$@") {
    zpty -n -w shell "$line"$'\\t'
    sleep 0.1
    zpty -n -w shell $'\\x18'
    (( done++ ))
    for ((wait = 0; wait < 600 && $(grep -c '<<' $SEEN) < done; wait++)) { sleep 0.05; zpty -r -t shell nothing }
}
zpty -d shell
cat $SEEN
"""


def run_in(shell: str, script: str, directory: Path, *arguments: str) -> list[str]:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} here")
    command = directory / "influxdb3"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m flightserver.cli.main "$@"\n')
    command.chmod(0o755)
    variables = environment_of({"HOME": str(directory), "SEEN": str(directory / "seen"), "TERM": "xterm"})
    variables["PATH"] = f"{directory}:{variables['PATH']}"
    done = subprocess.run(
        [path, "-c", script, shell, *arguments],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash_completes_words_values_and_files(tmp_path: Path) -> None:
    """M1."""
    assert run_in("bash", BASH, tmp_path) == ["table", "table-list", "json", "jsonl", "pyproject.toml"]


def test_fish_completes_words_values_and_files(tmp_path: Path) -> None:
    """M1."""
    completed = run_in("fish", FISH, tmp_path)

    assert completed == ["table", "table-list", "json", "jsonl", "--format=parquet", "pyproject.toml"]


def test_zsh_completes_words_values_and_files(tmp_path: Path) -> None:
    """M1: typed into a shell at a terminal."""
    seen = run_in("zsh", ZSH, tmp_path, *ZSH_LINES)

    assert seen == ["ready", *(f"<<{line}>>" for line in ZSH_LINES.values())]
