"""`influxdb3 debug verify`: is all that lies on the store whole? Shown object by object.

G1  Exit 0: nothing was found; 3: something was, and is printed; 1: it could not be looked at.
G2  A finding names the object, what is wrong with it and what to do.

Held by tests/integration/cli/test_verify.py (G1, G2).
Elsewhere: the walk itself (engine.verify), opening the store (cli.looking).
"""

import dataclasses
import sys

import orjson

from engine.verify.findings import CatalogReport, NodeReport, Report
from engine.verify.walk import verify_store
from flightserver.cli.console import Progress, size, styled
from flightserver.cli.looking import look_into
from flightserver.cli.parsing import Given

EXIT_FINDINGS = 3


def run(given: Given) -> int:
    opened = look_into(given, "debug verify")
    progress = Progress()
    report = verify_store(
        opened.store,
        node_id=opened.node_id if opened.node_was_named else None,
        catalog_prefix=given.find("--catalog-prefix"),
        note_progress=lambda count: progress.show("{} objects are sound so far", count),
    )
    progress.clear()
    if given.text("--format") == "json":
        print(_document(report, with_sound="--all" in given))
    else:
        _show(report, with_sound="--all" in given)
    return EXIT_FINDINGS if report.findings else 0


def _document(report: Report, *, with_sound: bool) -> str:
    fields = dataclasses.asdict(report)
    fields["sound"] = report.sound if with_sound else len(report.sound)
    return orjson.dumps(fields).decode()


def _show(report: Report, *, with_sound: bool) -> None:
    print(report.url)
    for catalog in report.catalogs:
        print(_catalog_line(catalog))
    for node in report.nodes:
        print("\n".join(_node_lines(node)))
    if report.others:
        print(f"others: {_count(report.others, 'object')} beside these, which are not looked at")
    if with_sound:
        print()
        for path in report.sound:
            print(f"sound    {path}")
    if report.findings:
        print()
    for finding in report.findings:
        print(f"{styled(f'{finding.kind:8}', '31', sys.stdout)} {finding.object}")
        print(f"         {_sentence(finding.message)} {_sentence(finding.next_step)}")
    print()
    if report.findings:
        print(f"{_count(len(report.findings), 'finding')}; {_count(len(report.sound), 'object')} sound")
    else:
        print(f"{_count(len(report.sound), 'object')} sound, nothing found")


def _catalog_line(catalog: CatalogReport) -> str:
    checkpoint = "" if catalog.checkpoint_sequence is None else f", a checkpoint of commit {catalog.checkpoint_sequence}"
    commits, databases = _count(catalog.commits, "commit"), _count(catalog.databases, "database")
    return f"catalog {catalog.prefix}: {commits}{checkpoint}, {databases}, nodes {', '.join(catalog.nodes) or 'none'}"


def _node_lines(node: NodeReport) -> list[str]:
    groups = "empty" if node.first_group is None else f"groups {node.first_group} to {node.last_group}"
    files = f"{_count(node.files, 'file')} with {_count(node.rows, 'row')}, {size(node.size_bytes)}"
    lines = [f"node {node.node_id}: {_count(node.snapshots, 'snapshot')}, {files}"]
    lines.append(f"  log: {groups}, {_count(node.rows_in_log, 'row')} that no file holds yet")
    if node.torn_bytes:
        lines.append(
            f"  the log ends with {node.torn_bytes} bytes of a group that nobody was told is stored; the next start cuts them"
        )
    if node.waiting_files:
        lines.append(f"  {_count(node.waiting_files, 'file')} that the server is about to list or to delete")
    lines += [f"  kept aside by a start that found it damaged: {path}" for path in node.kept_aside]
    return lines


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
