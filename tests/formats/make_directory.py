"""Writes a node's directory as this version stores it, for later versions to open.

    python -m tests.formats.make_directory          makes directories/{version}-{layout}.tar.xz and .json beside them

What is in it: a log that has not settled, Parquet files of several snapshots, files that were replaced when late rows were
merged, manifests and an index, a catalog with every type of field, retention, a deleted table and a token. The process that
wrote it has died without closing anything. `local` is a directory as it lies on a disk; `objects` holds the objects of a remote
store, whose log has one object for each group.

A version that stores something in another way makes its own files and changes none.
"""

import io
import json
import lzma
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from catalog.tokens import OPERATOR
from engine.node import Node
from engine.storage.base import ObjectStore
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from flightserver.tokens import TokenKeeper
from flightserver.version import version
from tests.helpers.engine import ManualClock, bury, open_node, read, write

DIRECTORIES = Path(__file__).parent / "directories"
LAYOUTS = ("local", "objects")
SECOND = 1_000_000_000
START = 1_735_545_600 * SECOND
SNAPSHOTS = 36  # more than there are manifests to an index
TABLES = (("sensors", "home"), ("sensors", "every_type"), ("sensors", "no_tags"), ("other/rp", "odd names"))


def fill(node: Node) -> None:
    for number in range(SNAPSHOTS):
        write(node, f"home,room=Kitchen,floor=1 temp={number}.5,co={number}i {START + number * SECOND}", "sensors")
        node.snapshot_now()
    write(node, f"home,room=Kitchen,floor=1 temp=-1.5 {START + 2 * SECOND}\nhome,room=Attic temp=3.25 {START}", "sensors")
    node.snapshot_now()  # a file is replaced by one that has the late row merged
    node.create_table(
        "sensors", "every_type", ["a", "b"], {"f": "float64", "i": "int64", "u": "uint64", "s": "utf8", "t": "bool"}
    )
    write(
        node, f'every_type,a=x,b=y f=0.1,i=-9223372036854775808i,u=18446744073709551615u,s="é \\"q\\"",t=t {START}', "sensors"
    )
    write(node, f"every_type,b=y f=-0.0 {START}\nevery_type,a=x,b=y i=7i {START + 1}", "sensors")
    write(node, f"no_tags v=1 {START}\nno_tags v=2 {START + 1}", "sensors")
    node.snapshot_now()
    write(node, f"gone v=1 {START}", "sensors")
    node.drop_table("sensors", "gone")
    node.set_retention("sensors", 400 * 86_400 * SECOND)
    write(node, f"odd\\ names,tag\\ 1=a\\,b,ünï=ö field\\ 1=1i {START}", "other/rp")
    TokenKeeper(node.catalog, ManualClock(START)).create_operator()
    # from here on in the log alone: new rows, a late one, a new field, a new table's worth of series
    write(node, f"home,room=Hall,floor=0 temp=18,open=false {START + 100 * SECOND}", "sensors")
    write(node, f"home,room=Kitchen,floor=1 temp=99 {START + 3 * SECOND}", "sensors")
    write(node, "\n".join(f"home,room=r{number} temp={number} {START + number}" for number in range(50)), "sensors")
    write(node, f"no_tags v=3,w=4i {START + 1}", "sensors")


def content(node: Node) -> dict[str, Any]:
    """All that a reader can see of it."""
    state = node.catalog.state()
    return {
        "uuid": state.uuid,
        "databases": {database.name: database.retention_ns for database in state.databases},
        "tables": {
            f"{database.name}: {table.name}": [list(table.tags), {name: kind.api_name for name, kind in table.fields.items()}]
            for database in state.databases
            for table in database.tables
        },
        "deleted": [table.name for database in state.databases for table in database.tables if table.deleted],
        "tokens": {token.name: token.hash for token in state.tokens.all},
        "rows": {f"{database}: {table}": rows(node, database, table) for database, table in TABLES},
    }


def rows(node: Node, database: str, table: str) -> list[dict[str, Any]]:
    found = read(node, f"SELECT *, arrow_cast(time, 'Int64') AS ns FROM \"{table}\"", database)
    without_time = [{name: value for name, value in row.items() if name != "time"} for row in found]
    return sorted(without_time, key=lambda row: json.dumps(row, sort_keys=True))


def packed(files: dict[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return lzma.compress(plain.getvalue(), preset=9)


def unpacked(path: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(path, mode="r:xz") as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def made(layout: str, directory: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a node that has died, and what they mean."""
    store: ObjectStore = LocalStore(directory) if layout == "local" else MemoryStore()
    node = open_node(store, ManualClock(START + 200 * SECOND))
    fill(node)
    meant = content(node)
    assert list(meant["tokens"]) == [OPERATOR]
    bury(node)
    if layout == "local":
        files = {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    else:
        files = {info.path: store.get(info.path) for info in store.list("")}
    node.close()
    return files, meant


def main() -> None:
    DIRECTORIES.mkdir(exist_ok=True)
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as directory:
            files, meant = made(layout, Path(directory))
        name = f"{version()}-{layout}"
        if (DIRECTORIES / f"{name}.json").exists() and "--again" not in sys.argv:
            sys.exit(f"{name} is there already: a version's files are made once (--again, before it is released)")
        (DIRECTORIES / f"{name}.tar.xz").write_bytes(packed(files))
        (DIRECTORIES / f"{name}.json").write_text(json.dumps(meant, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
