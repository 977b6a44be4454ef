"""Who may import whom: the drawing in ARCHITECTURE.md, checked against every import statement."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: from the top down; modules of one line do not see each other unless they are of one unit
LAYERS = [
    ["httpapi"],
    ["flightserver.wire", "flightserver.client"],
    ["flightserver"],
    ["engine.node"],
    ["engine.opening", "engine.replay", "engine.verify"],
    ["engine.ingest", "engine.persist", "engine.query"],
    ["engine.view"],
    ["engine.wal", "engine.buffer", "engine.files", "engine.catalog_log", "engine.catalog_tail", "engine.hydrate"],
    [
        "engine.storage",
        "engine.lineprotocol",
        "engine.batch",
        "engine.merge",
        "engine.paths",
        "engine.requests",
        "engine._native",
        "engine._encode",
    ],
    ["engine.ownership"],
    ["engine.metrics"],
    ["engine.events"],
    ["engine.clock", "engine.settings", "engine.spared"],
    ["catalog"],
]
#: units of one line that stand on one another all the same, with the reason
ALLOWED = {
    ("engine.buffer", "engine.files"): "a table's data names the files it consists of",
    ("engine.batch", "engine.merge"): "both describe the columns of rows",
    ("engine.batch", "engine._native"): "rows carry the index that their numbers belong to",
    ("engine.merge", "engine._native"): "the kernels that sort",
    ("engine.wal", "engine.storage"): "",
}
#: engine._encode turns Arrow buffers into text and knows nothing else of the engine
HTTPAPI_SEES = ("catalog", "flightserver.wire", "flightserver.client", "engine._encode", "httpapi")


def unit_of(module: str) -> tuple[int, str] | None:
    best: tuple[int, str] | None = None
    for level, units in enumerate(LAYERS):
        for unit in units:
            if (module == unit or module.startswith(unit + ".")) and (best is None or len(unit) > len(best[1])):
                best = (level, unit)
    return best


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[0] in ("catalog", "engine", "flightserver", "httpapi")]


SOURCES = sorted(
    path
    for package in ("catalog", "engine", "flightserver", "httpapi")
    for path in (ROOT / package).rglob("*.py")
    if "proto" not in path.parts
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_from_its_own_unit_or_from_below(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    own = unit_of(module)
    assert own is not None or module == "engine", f"{module} is on no layer: add it to the drawing"
    if own is None:
        return
    for name in imports(path):
        other = unit_of(name)
        assert other is not None, f"{module} imports {name}, which is on no layer"
        if own[1] == "httpapi":
            assert name.startswith(HTTPAPI_SEES), f"{module} may not see {name}"
        elif own[1] != other[1] and (own[1], other[1]) not in ALLOWED and not own[1].startswith("flightserver"):
            assert other[0] > own[0], f"{module} ({own[1]}) imports {name} ({other[1]}), which is not below it"
