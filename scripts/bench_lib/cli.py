"""The command line of scripts/bench."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from pyarrow import flight

from . import command_times, query_report
from .data import DATA_SETS, tidy
from .processes import ROOT, BenchError, end_on_signals
from .query_scenarios import SPECIAL, UNLESS_NAMED, Measured, Round, Timings, duckdb_missing
from .questions import QUESTIONS
from .report import BAD, head, table
from .scenarios import APPEND, SCENARIOS, Figures, Options, run_once
from .targets import TARGETS, Target

PART_TIMEOUT_S = 600
ANSWERING = ("duckdb", "flightline", "influxdb1", "victoriametrics")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Benchmarks, side by side with peers and limits.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    ingest = verbs.add_parser("ingest", help="the write path, from clients in processes of their own")
    add = ingest.add_argument
    add("--only", help=f"scenarios, by comma: {', '.join(SCENARIOS)} (default: all but soak)")
    add("--target", help=f"by comma: {', '.join([*TARGETS, APPEND])} (default: all that are installed)")
    add("--data", default="A,B", help="data sets, by comma: A (100 hosts), B (4,000 hosts), C (mixed stream) (default: A,B)")
    add("--rows", type=int, help="rows of each data set (default: all of it); in all for soak")
    add("--seconds", type=float, help="of the scenarios that run for a time (default: 10, thousand: 60)")
    add("--connections", type=int, default=1000, help="of the scenario `thousand` (default: 1000)")
    add("--runs", type=int, default=1, help="repeat, and give the median with the least and the most (default: 1)")
    add("--json", type=Path, help="write every run to this file too")
    add("--work", type=Path, help="directory for the servers' data (default: the temporary one)")
    query = verbs.add_parser("query", help="the read path: answers, their times, and those of peers")
    add = query.add_argument
    add("--only", help=f"by comma: {', '.join([*QUESTIONS, *SPECIAL])} (default: all but {', '.join(UNLESS_NAMED)})")
    add("--target", help=f"by comma: {', '.join(ANSWERING)} (default: all that are installed)")
    add("--data", default="A,B", help="data sets, by comma: A (100 hosts), B (4,000 hosts) (default: A,B)")
    add("--rows", type=int, help="rows of each data set (default: all of it)")
    add("--seconds", type=float, help="for each question (default: 0.5), or for a scenario that runs for a time")
    add("--json", type=Path, help="write every figure to this file too")
    add("--work", type=Path, help="directory for the servers' data (default: the temporary one)")
    commands = verbs.add_parser("cli", help="how long commands of influxdb3 take")
    commands.add_argument("--rounds", type=int, default=20, help="how often each is started (default: 20)")
    parts = verbs.add_parser("parts", help="the programs in scripts/bench_parts")
    parts.add_argument("names", nargs="*", help="which of them (default: all)")
    given = parser.parse_args(arguments)
    end_on_signals()
    if given.verb == "query":
        return run_query(given)
    if given.verb == "cli":
        return run_commands(given.rounds)
    return run_ingest(given) if given.verb == "ingest" else run_parts(given.names)


def run_ingest(given: argparse.Namespace) -> int:
    """Exit status 1 when our own server failed or lost rows; how fast it was is for the reader to judge."""
    names = chosen(given.only, list(SCENARIOS), [name for name, scenario in SCENARIOS.items() if scenario.unless_named])
    targets = chosen(given.target, [*TARGETS, APPEND], [*TARGETS, APPEND])
    sets = chosen(given.data, list(DATA_SETS), ["A", "B"])
    kinds = installed(targets)
    tidy()
    options = Options(given.rows, given.seconds, given.connections, given.work)
    print(head(targets), flush=True)
    everything: list[dict[str, object]] = []
    tables: dict[tuple[str, str], dict[str, list[Figures]]] = {}
    healthy = True
    for name in names:
        scenario = SCENARIOS[name]
        here = [target for target in targets if target in scenario.targets and (target in kinds or target == APPEND)]
        for data in [data for data in scenario.data if data in ("", *sets)]:
            runs: dict[str, list[Figures]] = {target: [] for target in here}
            for number in range(given.runs):
                for target in here:  # one after the other in each round, so that all share the machine's moods
                    progress(f"{name} {data} {target} {number + 1}/{given.runs}")
                    found = run_once(name, data, target, kinds, options)
                    runs[target].append(found)
                    healthy &= not (found.checked.startswith(BAD) and target == "flightline")
                    everything.append({"scenario": name, "data": data, **dataclasses.asdict(found)})
            progress("")
            tables[name, data] = runs
            if here:
                print(table(name, data, runs, tables.get(("http", data))), flush=True)
            if given.json:
                given.json.write_text(json.dumps(everything, indent=1))
    return 0 if healthy else 1


def run_query(given: argparse.Namespace) -> int:
    """Exit status 1 when our own server failed or answered otherwise than DuckDB; how fast that was is the reader's."""
    names = chosen(given.only, [*QUESTIONS, *SPECIAL], [*QUESTIONS, *(name for name in SPECIAL if name not in UNLESS_NAMED)])
    targets = chosen(given.target, list(ANSWERING), list(ANSWERING))
    kinds = installed(targets)
    with_duckdb = "duckdb" in targets and not duckdb_missing()
    if "duckdb" in targets and not with_duckdb:
        print("SKIPPED duckdb: it is not installed (pip install duckdb): no answer is compared, no ratio is known")
    tidy()
    options = Options(given.rows, given.seconds, work=given.work)
    print(query_report.head(targets), flush=True)
    kept: dict[str, object] = {}
    healthy = True
    questions = [name for name in names if name in QUESTIONS]
    for name in chosen(given.data, ["A", "B"], ["A", "B"]) if questions else []:
        data = DATA_SETS[name]
        rows = min(given.rows or data.full_rows, data.full_rows)
        timings: Timings = {}
        with tempfile.TemporaryDirectory(prefix="flightline-bench-", dir=given.work) as answers:
            asked = Round(data, rows, questions, kinds, with_duckdb, options, Path(answers), progress)
            for part in asked.parts():
                timings = part | timings  # DuckDB's column is that of its first turn
                healthy &= not any(query_report.is_bad(way, found) for way, found in part.items())
        progress("")
        print(query_report.table(name, data.width, data.steps(rows) * data.width, questions, timings), flush=True)
        kept[name] = {way: {key: dataclasses.asdict(one) for key, one in found.items()} for way, found in timings.items()}
        keep(given.json, kept)
    for name in [name for name in names if name in SPECIAL and "flightline" in kinds]:
        found = measured(name, options)
        progress("")
        healthy &= not found.notes
        print(query_report.special(name, " ".join((SPECIAL[name].__doc__ or "").split()), found), flush=True)
        kept[name] = dataclasses.asdict(found)
        keep(given.json, kept)
    return 0 if healthy else 1


def measured(name: str, options: Options) -> Measured:
    """A scenario that cannot be measured says why."""
    try:
        return SPECIAL[name](options, progress)
    except (BenchError, OSError, flight.FlightError) as error:
        return Measured(notes=[f"FAILED: {error}"])


def keep(path: Path | None, found: object) -> None:
    if path is not None:
        path.write_text(json.dumps(found, indent=1))


def installed(targets: list[str]) -> dict[str, type[Target]]:
    """The targets that can run; a line for each that cannot."""
    kinds = {}
    for target in targets:
        kind = TARGETS.get(target)
        if kind is None:
            continue
        missing = kind.missing()
        if missing is None:
            kinds[target] = kind
        else:
            print(f"skipped {target}: {missing} is not installed")
    return kinds


def chosen(given: str | None, known: list[str], default: list[str]) -> list[str]:
    names = given.split(",") if given else default
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
    elif text:
        load = psutil.getloadavg()[0]
        sys.stderr.write(f"[load {load:.1f}] {text}\n")
    sys.stderr.flush()


def run_commands(rounds: int) -> int:
    try:
        print(command_times.measure(rounds, progress), flush=True)
    except BenchError as error:
        print(f"FAILED: {error}")
        return 1
    return 0


def run_parts(names: list[str]) -> int:
    """Each program by itself; one that fails does not stop the others."""
    programs = sorted((ROOT / "scripts" / "bench_parts").glob("[!_]*.py"))
    failed = 0
    for program in programs:
        if names and program.stem not in names:
            continue
        print(f"== {program.stem}", flush=True)
        try:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                [sys.executable, str(program)], cwd=ROOT, env=environment, timeout=PART_TIMEOUT_S, check=False
            )
            failed += done.returncode != 0
        except subprocess.TimeoutExpired:
            print(f"{program.stem} took more than {PART_TIMEOUT_S} s and was stopped")
            failed += 1
    if not programs:
        print("there is nothing in scripts/bench_parts")
    return 1 if failed else 0
