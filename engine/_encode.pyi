"""Rows of Arrow batches as text. Sources in engine/native/encode; it knows of no data, no files and no state of a server.

The GIL is released while rows become text.
"""

from collections.abc import Callable
from typing import Any, Literal, final

@final
class Encoder:
    """Of one answer, for one thread. Spells every type that Arrow has, but unions and run-end encoded values (ValueError)."""

    def __new__(
        cls, schema: Any, form: Literal["json", "jsonl", "csv", "cells"], zone_offset_s: Callable[[str, int], int]
    ) -> Encoder:
        """`schema`: anything with __arrow_c_schema__. `zone_offset_s`: of a named zone at a moment (seconds since 1970); what
        it raises ends the encoding."""
    def encode(self, batch: Any, row: int) -> tuple[bytes, int]:
        """Rows from `row` on, some 256 KiB of them, and the first row that is not among them. `batch`: anything with
        __arrow_c_array__, of the schema's types. The first piece of CSV begins with the header, rows or not."""
    def end(self) -> bytes:
        """What closes the answer: a bracket for `json`."""
    def cells(self, batch: Any) -> list[list[str]]:
        """The columns of a batch as they are shown to people; nothing for a null."""
