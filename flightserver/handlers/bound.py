"""A statement with the rows of values it is to run with."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from catalog.errors import InvalidRequest
from flightserver.flightsql import parameters
from flightserver.flightsql.statements import parameters as parameters_of
from flightserver.flightsql.statements import quoted_parameters

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Rows:
    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Bound:
    """`rows` is None where nothing was bound."""

    database: str
    query: str
    rows: Rows | None = None

    def places(self, columns: Sequence[str]) -> Mapping[str, int]:
        """Which column holds the value of each parameter."""
        return parameters.positions(parameters_of(self.query), columns, quoted_parameters(self.query))

    def each(self) -> Iterator[Values | None]:
        """The values of one run after the other; None for a run without any."""
        if self.rows is None:
            yield None
            return
        places = self.places(self.rows.schema.names)
        for batch in self.rows.batches:
            for row in range(batch.num_rows):
                yield parameters.values(batch, row, places)

    def first(self) -> Values | None:
        for values in self.each():
            return values
        raise InvalidRequest("parameters were bound, but no row of values")
