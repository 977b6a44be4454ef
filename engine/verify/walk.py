"""`verify`: everything that a store holds of ours is looked at, and nothing is changed.

    list what there is ─▶ of each node log, manifests, a listing ─▶ catalogs ─▶ compare, read files ─▶ a second look ─▶ report

V1  Nothing is stored or deleted.
V2  What is found is found twice: a server that runs on the store goes on writing, and what it changed between two of our
    questions may look wrong once.
V3  What belongs to somebody else is counted and left alone; nodes and catalogs of others that are ours in kind are looked at,
    unless one node was asked for.

Held by tests/unit/engine/verify/test_walk.py (V1-V3).
Elsewhere: what is wrong with what (catalogs.py, nodes.py), how it is shown (flightserver.cli.verify).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from catalog.errors import NotFound
from engine.storage.base import ObjectStore
from engine.verify.catalogs import look_at_catalog
from engine.verify.findings import Look, Report
from engine.verify.nodes import look_at_node, read_node

_CATALOG = re.compile(r"([^/]+)/catalog/(log/\d+\.catalog|checkpoint)")
_NODE = re.compile(r"([^/]+)/(lock|wal/\d+\.wal|snapshots/\d+\.(manifest|index)|dbs/\d+/\d+/.+\.parquet)")


class NothingToVerify(NotFound):
    """The store holds neither a catalog nor a node, or not the one that was asked for."""

    code = "nothing_to_verify"


@dataclass(frozen=True, slots=True)
class Scope:
    """What is ours in a store."""

    catalogs: tuple[str, ...]
    nodes: tuple[str, ...]
    others: int


def verify_store(
    store: ObjectStore,
    *,
    node_id: str | None = None,
    catalog_prefix: str | None = None,
    note_progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """`node_id`: that node only, with its catalog, which lies under `catalog_prefix` where nodes share one."""
    scope = _scope(store, node_id, catalog_prefix)
    look = Look(store, note_progress)
    report = _look(look, scope)
    if report.findings or look.has_missed:  # V2
        seen = {finding.about for finding in report.findings}
        report = _look(look.again(), scope)
        confirmed = [finding for finding in report.findings if finding.about in seen]
        report = Report(report.url, report.catalogs, report.nodes, tuple(confirmed), report.sound, report.others)
    return report


def _scope(store: ObjectStore, node_id: str | None, catalog_prefix: str | None) -> Scope:
    if node_id is not None:
        paths = [info.path for info in store.list(f"{node_id}/")]
        catalog = catalog_prefix or node_id
        if catalog != node_id:
            paths += [info.path for info in store.list(f"{catalog}/catalog/")]
    else:
        paths = [info.path for info in store.list("")]
    catalogs = _named(_CATALOG, paths)
    nodes = [name for name in _named(_NODE, paths) if node_id in (None, name)]
    if node_id is not None and not nodes:
        raise NothingToVerify(f"{store.url} holds nothing of a node {node_id}", hint="leave out --node-id to look at all nodes")
    if not catalogs and not nodes:
        raise NothingToVerify(f"{store.url} holds no catalog and no node", hint="name the store as for `serve`")
    if node_id is not None and not catalogs:
        raise NothingToVerify(
            f"{store.url} holds no catalog of node {node_id}", hint="nodes that share one: name it with --catalog-prefix"
        )
    ours = {*catalogs, *nodes}
    return Scope(tuple(catalogs), tuple(nodes), sum(1 for path in paths if path.partition("/")[0] not in ours))


def _named(pattern: re.Pattern[str], paths: Iterable[str]) -> list[str]:
    return sorted({found[1] for path in paths if (found := pattern.fullmatch(path)) is not None})


def _look(look: Look, scope: Scope) -> Report:
    contents = [read_node(look, node_id) for node_id in scope.nodes]
    catalogs = [look_at_catalog(look, prefix) for prefix in scope.catalogs]
    nodes = []
    for node in contents:
        known = ((report.prefix, state) for report, state in catalogs if node.paths.node_id in report.nodes)
        catalog, state = next(known, (None, None))
        nodes.append(look_at_node(look, node, catalog, state))
        if catalog is None and node.has_data and all(state is not None for _, state in catalogs):
            message = "no catalog here knows this node, which has data"
            look.note("missing", node.paths.node_id, message, "restore its catalog from a backup")
    for prefix in scope.catalogs:
        if prefix not in scope.nodes:
            _look_beside(look, prefix)
    findings = tuple(sorted(look.findings, key=lambda finding: (finding.object, finding.kind)))
    reports = tuple(report for report, _ in catalogs)
    return Report(look.store.url, reports, tuple(nodes), findings, tuple(sorted(look.sound)), scope.others)


def _look_beside(look: Look, prefix: str) -> None:
    """A directory that holds a catalog alone."""
    for info in look.store.list(f"{prefix}/"):
        if not info.path.startswith(f"{prefix}/catalog/"):
            look.note("orphan", info.path, "the server has not made it", "move it away")
