"""Random batches of random types, in every format, against the plain spelling (httpapi.formats F2, F3; encode/text.h N1-N3).

The reference below is the short and slow way to write the same: Python values, one at a time.
"""

import csv
import datetime
import io
import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._encode import Encoder
from httpapi import formats
from httpapi.formats import named_format

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAME = TEXT.filter(lambda name: "\0" not in name)  # Arrow hands names on as C strings
NS_MIN, NS_MAX = -(2**63) + 1, 2**63 - 1
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
NEW_YORK = ZoneInfo("America/New_York")

#: a value as Arrow takes it, and how it is spelled: in JSON if the flag says so (None: null), else for people
Spell = Callable[[Any, bool], str]


def quoted(text: str, as_json: bool) -> str:
    return f'"{text}"' if as_json else text


def spell_text(value: str, as_json: bool) -> str:
    return json.dumps(value, ensure_ascii=False) if as_json else value


def spell_float(single: bool) -> Spell:
    def spell(value: float, as_json: bool) -> str:
        if not math.isfinite(value):
            return "null" if as_json else "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
        shortest = str(np.float32(value)) if single else repr(value)
        sign, digits, power = Decimal(shortest).normalize().as_tuple()
        assert isinstance(power, int)
        text, exponent = "".join(map(str, digits)), power + len(digits) - 1
        if value == 0:
            text, exponent = "0", 0
        least, most = (-5, 9) if as_json else (-6, 12) if single else (-5, 15)
        minus = "-" if sign else ""
        if not least <= exponent <= most:
            rest = f".{text[1:]}" if len(text) > 1 else ".0" if as_json else ""
            return f"{minus}{text[0]}{rest}e{exponent}"
        if exponent < 0:
            return f"{minus}0.{'0' * (-exponent - 1)}{text}"
        whole = text[: exponent + 1].ljust(exponent + 1, "0")
        return f"{minus}{whole}.{text[exponent + 1 :] or '0'}"

    return spell


def fraction(count: int, digits: int) -> str:
    text = f"{count:0{digits}d}" if digits else ""
    while text.endswith("000"):
        text = text[:-3]
    return f".{text}" if text else ""


def spell_time(unit: str, zone: ZoneInfo | None = None, suffix: str = "") -> Spell:
    def spell(value: int, as_json: bool) -> str:
        seconds, rest = divmod(value, 10 ** UNITS[unit])
        moment = EPOCH + datetime.timedelta(seconds=seconds)
        if zone is not None:
            moment = moment.astimezone(zone)
        offset = moment.strftime("%z") if zone is not None else ""
        offset = f"{offset[:3]}:{offset[3:5]}" if offset else suffix
        whole = moment.replace(tzinfo=None).isoformat()
        return quoted(f"{whole}{fraction(rest, UNITS[unit])}{offset}", as_json)

    return spell


def spell_clock(unit: str) -> Spell:
    def spell(value: int, as_json: bool) -> str:
        seconds, rest = divmod(value, 10 ** UNITS[unit])
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return quoted(clock + fraction(rest, UNITS[unit]), as_json)

    return spell


def spell_duration(unit: str) -> Spell:
    def spell(value: int, as_json: bool) -> str:
        if value == 0:
            return quoted("P0D", as_json)
        seconds, rest = divmod(abs(value), 10 ** UNITS[unit])
        part = f".{rest:0{UNITS[unit]}d}".rstrip("0") if rest else ""
        return quoted(f"{'-' if value < 0 else ''}PT{seconds}{part}S", as_json)

    return spell


def spell_date(value: int, as_json: bool) -> str:
    return quoted((EPOCH + datetime.timedelta(days=value)).date().isoformat(), as_json)


def spell_bare(value: Any, as_json: bool) -> str:
    return str(value).lower()


def spell_decimal(value: Decimal, as_json: bool) -> str:
    return f"{value:f}"


def spell_bytes(value: bytes, as_json: bool) -> str:
    return quoted(value.hex(), as_json)


Kind = tuple[pa.DataType, st.SearchStrategy[Any], Spell]


def scalars() -> list[Kind]:
    found: list[Kind] = [
        (pa.bool_(), st.booleans(), spell_bare),
        (pa.float64(), st.floats(), spell_float(single=False)),
        (pa.float32(), st.floats(width=32), spell_float(single=True)),
        (pa.binary(), st.binary(max_size=9), spell_bytes),
        (pa.binary(3), st.binary(min_size=3, max_size=3), spell_bytes),
        (pa.date32(), st.integers(-700_000, 2_900_000), spell_date),
        (pa.decimal128(30, 7), decimals(30, 7), spell_decimal),
        (pa.decimal256(70, 12), decimals(70, 12), spell_decimal),
        (pa.time32("ms"), st.integers(0, 86_399_999), spell_clock("ms")),
        (pa.time64("ns"), st.integers(0, 86_399_999_999_999), spell_clock("ns")),
    ]
    found += [(kind, TEXT, spell_text) for kind in (pa.string(), pa.large_string(), pa.string_view())]
    found += [(pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["", "a", 'b"', "c,d"]), spell_text)]
    for bits, integer, unsigned in ((8, pa.int8(), pa.uint8()), (64, pa.int64(), pa.uint64())):
        found.append((integer, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), spell_bare))
        found.append((unsigned, st.integers(0, 2**bits - 1), spell_bare))
    for unit, digits in UNITS.items():
        moments = st.integers(max(NS_MIN, -62_000_000_000 * 10**digits), min(NS_MAX, 253_000_000_000 * 10**digits))
        found.append((pa.timestamp(unit), moments, spell_time(unit)))
        found.append((pa.timestamp(unit, "UTC"), moments, spell_time(unit, suffix="Z")))
        found.append((pa.timestamp(unit, "America/New_York"), moments, spell_time(unit, NEW_YORK)))
        found.append((pa.duration(unit), st.integers(NS_MIN, NS_MAX), spell_duration(unit)))
    return found


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    """With exactly `scale` digits after the point."""
    return st.integers(-(10**precision) + 1, 10**precision - 1).map(
        lambda value: Decimal((int(value < 0), tuple(map(int, str(abs(value)))), -scale))
    )


def listed(item: Kind) -> Kind:
    kind, values, spell = item

    def spell_list(value: list[Any], as_json: bool) -> str:
        null = "null" if as_json else ""
        items = [null if one is None else spell(one, as_json) for one in value]
        return f"[{(',' if as_json else ', ').join(items)}]"

    return pa.list_(kind), st.lists(st.none() | values, max_size=4), spell_list


def grouped(fields: list[Kind]) -> Kind:
    names = [f'f"{number}' for number in range(len(fields))]

    def spell_struct(value: dict[str, Any], as_json: bool) -> str:
        parts = []
        for name, (_, _, spell) in zip(names, fields, strict=True):
            one = value[name]
            if as_json and one is None:
                continue
            parts.append(f"{json.dumps(name) + ':' if as_json else name + ': '}{'' if one is None else spell(one, as_json)}")
        return "{" + (("," if as_json else ", ").join(parts)) + "}"

    kind = pa.struct([(name, field[0]) for name, field in zip(names, fields, strict=True)])
    return (
        kind,
        st.fixed_dictionaries({name: st.none() | field[1] for name, field in zip(names, fields, strict=True)}),
        spell_struct,
    )


KINDS = st.recursive(
    st.sampled_from(scalars()),
    lambda inner: inner.map(listed) | st.lists(inner, min_size=1, max_size=3).map(grouped),
    max_leaves=4,
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[pa.RecordBatch, list[list[Any]], list[Spell]]:
    kinds = draw(st.lists(KINDS, min_size=1, max_size=4))
    names = draw(st.lists(NAME, min_size=len(kinds), max_size=len(kinds), unique=True))
    rows, skipped = draw(st.integers(0, 5)), draw(st.integers(0, 2))
    columns = [draw(st.lists(st.none() | kind[1], min_size=rows + skipped, max_size=rows + skipped)) for kind in kinds]
    arrays = [pa.array(column, kind[0]) for column, kind in zip(columns, kinds, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, names=names).slice(skipped)
    return batch, [column[skipped:] for column in columns], [kind[2] for kind in kinds]


def encoded(name: str, batch: pa.RecordBatch) -> str:
    return b"".join(named_format(name).encode(batch.schema, iter([batch]))).decode()


@settings(max_examples=150)
@given(batches())
def test_json_is_spelled_as_the_reference_spells_it(made: tuple[pa.RecordBatch, list[list[Any]], list[Spell]]) -> None:
    """F2."""
    batch, columns, spells = made

    rows = []
    for row in range(batch.num_rows):
        cells = zip(batch.schema.names, [column[row] for column in columns], spells, strict=True)
        pairs = [f"{spell_text(name, True)}:{spell(value, True)}" for name, value, spell in cells if value is not None]
        rows.append("{" + ",".join(pairs) + "}")

    assert encoded("json", batch) == f"[{','.join(rows)}]"
    assert encoded("jsonl", batch) == "".join(f"{row}\n" for row in rows)


@settings(max_examples=150)
@given(batches())
def test_csv_and_cells_of_tables_show_what_the_reference_shows(
    made: tuple[pa.RecordBatch, list[list[Any]], list[Spell]],
) -> None:
    """F2, F3."""
    batch, columns, spells = made

    expected = [
        ["" if value is None else spell(value, False) for value in column]
        for column, spell in zip(columns, spells, strict=True)
    ]

    found = list(csv.reader(io.StringIO(encoded("csv", batch), newline=""), strict=True))
    assert found == [batch.schema.names, *map(list, zip(*expected, strict=True))]
    assert Encoder(batch.schema, "cells", formats._zone_offset_s).cells(batch) == expected
