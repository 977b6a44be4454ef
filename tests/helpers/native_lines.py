"""The native parser, driven as the engine drives it, and its answer in the reference parser's terms."""

from dataclasses import dataclass, field

import pyarrow as pa

from engine import _native
from tests.helpers.reference_lines import Options, Outcome, Row, TableOutcome


@dataclass
class Store:
    """What a database would keep between bodies."""

    extend_tags: bool = False
    column_limit: int = 0
    tags: dict[str, list[str]] = field(default_factory=dict)
    fields: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    indices: dict[str, _native.SeriesIndex] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schema = _native.LineSchema(extend_tags=self.extend_tags, column_limit=self.column_limit)

    def parse(self, body: bytes, options: Options) -> _native.Parsed:
        return _native.parse(
            self.schema,
            body,
            options.precision,
            options.now_ns,
            stop_at_first_error=options.stop_at_first_error,
            tables_left=options.tables_left,
            table_count=options.table_count,
        )

    def admit(self, table: _native.ParsedTable) -> None:
        """Take over the table's new columns and series."""
        tags = self.tags.setdefault(table.name, [])
        index = self.indices.setdefault(table.name, _native.SeriesIndex(0))
        index.add_tags(len(table.new_tags))
        tags.extend(table.new_tags)
        fields = self.fields.setdefault(table.name, [])
        fields.extend(table.new_fields)
        self.schema.put_table(table.name, tags, fields, index)
        table.settle(index)

    def write(self, body: bytes, options: Options) -> Outcome:
        """Parse, admit, and read everything back."""
        parsed = self.parse(body, options)
        outcome = Outcome(lines=parsed.lines, errors=parsed.errors)
        for table in parsed.tables:
            self.admit(table)
            into = outcome.tables.setdefault(table.name, TableOutcome(is_new=table.is_new))
            into.new_tags.extend(table.new_tags)
            into.new_fields.extend(table.new_fields)
            into.rows.extend(self.rows(table))
            assert table.rows == len(batch(table))
        assert parsed.rows == sum(table.rows for table in parsed.tables) == parsed.lines - len(parsed.errors)
        return outcome

    def rows(self, table: _native.ParsedTable) -> list[Row]:
        columns = batch(table)
        columns.validate(full=True)
        times = columns.column("time").cast(pa.int64()).to_pylist()
        assert (table.time_min_ns, table.time_max_ns) == (min(times), max(times))
        names = columns.schema.names[2:]
        order = [name for name, _ in self.fields[table.name]]
        assert names == [name for name in order if name in names]
        values = {name: columns.column(2 + at) for at, name in enumerate(names)}
        assert all(column.null_count < len(column) for column in values.values())
        lists = {name: column.to_pylist() for name, column in values.items()}
        series = columns.column("series").to_pylist()
        return [
            Row(
                self.tags_of(table.name, series[at]),
                times[at],
                {name: lists[name][at] for name in names if lists[name][at] is not None},
            )
            for at in range(len(columns))
        ]

    def tags_of(self, table: str, series: int) -> dict[str, str]:
        index = self.indices[table]
        found = {}
        for position, name in enumerate(self.tags[table]):
            (code,) = index.codes(position, pa.array([series], pa.int32()).buffers()[1])
            if code >= 0:
                found[name] = pa.array(index.values(position))[code].as_py()
        return found


def batch(table: _native.ParsedTable) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(pa.array(table))
