"""Reading live files, or saying by name what is wrong with them.

O1  A file that is missing, of another size than its manifest says, or damaged ends in Damaged with its name, and whoever was
    asked to take note of damage has heard of it. No row of it is taken for right.
O2  What may pass by itself, such as a store that does not answer, stays the StoreError that it is.
O3  A file that was found damaged is looked at before a statement begins to answer, so that it fails as a whole, and as soon
    as the file is right again, it does not.
O4  Arrow is shown a footer only after its checksum was right, and checks every page that it reads.

Held by tests/unit/engine/test_file_access.py (O1-O4).
Elsewhere: looking at all files without a query (inspection.py), what is inside of a file (parquet.py), which row groups can
match (footers.py).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import Damaged
from engine.files.footers import Bounds, Footer, Footers
from engine.files.manifest import DataFile
from engine.files.parquet import check_footer, open_rows, read_columns, read_footer, read_row_groups
from engine.files.tails import Tails, tails_of
from engine.storage.base import ObjectMissing, ObjectStore
from engine.storage.local import explain

EVERYTHING = Bounds()


class FileAccess:
    def __init__(self, store: ObjectStore, on_damage: Callable[[Damaged], None]) -> None:
        self._store = store
        self._on_damage = on_damage
        self._suspects: set[str] = set()
        self._footers = Footers()
        self._tails = Tails()

    def note(self, damage: Damaged) -> None:
        """Somebody has found a file damaged."""
        self._suspects.add(damage.details["object"])
        self._on_damage(damage)

    def refuse_damaged(self, files: Iterable[DataFile]) -> None:
        """Raise for the first of the files that was found damaged and still is (O3)."""
        for file in files:
            if file.path in self._suspects:
                with self._naming(file):
                    open_rows(self._source(file), [], name=file.path)
                self._suspects.discard(file.path)

    def rows(self, file: DataFile) -> pa.Table:
        """All rows of a file, every byte checked."""
        with self._naming(file):
            return open_rows(self._source(file), name=file.path)

    def batches(
        self,
        file: DataFile,
        schema: pa.Schema,
        columns: Sequence[str] | None,
        filter: pc.Expression | None,
        *,
        reading: Collection[str] | None = None,
        bounds: Bounds = EVERYTHING,
    ) -> Iterator[pa.RecordBatch]:
        """The rows that the filter keeps, with columns of `schema`; what the file lacks is null. Row groups that `bounds` rule
        out are not read, and of the others the columns `reading` alone, which are those of the filter and of the result."""
        with self._naming(file):
            source = self._source(file)
            footer = self._footer(file, source)
            wanted = schema.names if columns is None else list(columns)
            names = schema.names if reading is None and filter is not None else [*wanted, *(reading or ())]
            needed = pa.schema([field for field in schema if field.name in names])
            try:
                for table in read_row_groups(source, footer.metadata, footer.matching(bounds), needed):
                    kept = table if filter is None else table.filter(filter)
                    yield from (batch.select(wanted) for batch in kept.to_batches() if batch.num_rows)
            except (OSError, pa.ArrowInvalid):
                open_rows(source, [], name=file.path)  # Damaged, if it is the file's fault and not the filter's
                raise

    def footer(self, file: DataFile) -> Footer:
        """What a file says of itself; from memory where it was asked lately."""
        found = self._footers.find(file.path)
        if found is not None:
            return found
        with self._naming(file):
            return self._footer(file, self._source(file))

    def columns(self, file: DataFile, groups: Sequence[int], names: Sequence[str]) -> pa.Table:
        """Columns that a file has, of some of its row groups."""
        footer = self.footer(file)
        with self._naming(file):
            source = self._source(file)
            try:
                return read_columns(source, footer.metadata, groups, names)
            except (OSError, pa.ArrowInvalid):
                open_rows(source, [], name=file.path)  # Damaged, if it is the file's fault
                raise

    def tails(self, file: DataFile, schema: pa.Schema, tags: Sequence[str], *, newest: bool) -> pa.Table:
        """The last (first) row of each series of a file, with all columns of `schema`."""

        def make() -> pa.Table:
            parts = (pa.Table.from_batches([batch]) for batch in self.batches(file, schema, None, None))
            found = tails_of(parts, tags, newest=newest)
            return schema.empty_table() if found is None else found

        return self._tails.of((file.path, newest, len(schema)), make)  # columns are only ever added

    def row_groups(self, file: DataFile, bounds: Bounds) -> tuple[int, int]:
        """How many row groups of a file can match by their statistics, and how many it has."""
        with self._naming(file):
            footer = self._footer(file, self._source(file))
            return len(footer.matching(bounds)), len(footer.groups)

    def _footer(self, file: DataFile, source: Path | pa.Buffer) -> Footer:
        check_footer(source, name=file.path, size_bytes=file.size_bytes)
        return self._footers.of(file.path, lambda: read_footer(source))

    def _source(self, file: DataFile) -> Path | pa.Buffer:
        path = self._store.local_path(file.path)
        return path if path is not None else pa.py_buffer(self._store.get(file.path))

    @contextmanager
    def _naming(self, file: DataFile) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, ObjectMissing):
            raise self._noted(file, f"file {file.path} is missing") from None
        except Damaged as error:
            raise self._noted(file, error.message) from None
        except OSError as error:
            raise explain("read", self._store.url, file.path, error) from error

    def _noted(self, file: DataFile, message: str) -> Damaged:
        damage = Damaged(message, object=file.path)
        self.note(damage)
        return damage
