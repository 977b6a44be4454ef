"""Line protocol read the plain way: slow, short, and obviously what the rules say. The native parser must agree with it.

It knows nothing of speed, columns or series numbers: a row is a dict of tags, a time and a dict of fields.
"""

import re
from dataclasses import dataclass, field

FLOAT, INTEGER, UINTEGER, STRING, BOOLEAN = 1, 2, 3, 4, 5
TYPE_NAMES = {FLOAT: "float", INTEGER: "integer", UINTEGER: "uinteger", STRING: "string", BOOLEAN: "boolean"}
TAG_TYPE = "iox::column_type::tag"
UNITS_NS = {1: 10**9, 2: 10**6, 3: 10**3, 4: 1}
PRECISION_NAMES = ["Auto", "Second", "Millisecond", "Microsecond", "Nanosecond"]
RESERVED = ("time", "__chunk_order")
SIZE_LIMIT = 1048576

Value = float | int | str | bool


class LineRefused(Exception):
    """What is wrong with one line."""


@dataclass
class Table:
    tags: list[str] = field(default_factory=list)
    fields: dict[str, int] = field(default_factory=dict)


@dataclass
class Row:
    tags: dict[str, str]
    time_ns: int
    fields: dict[str, Value]


@dataclass
class TableOutcome:
    is_new: bool
    rows: list[Row] = field(default_factory=list)
    new_tags: list[str] = field(default_factory=list)
    new_fields: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Outcome:
    lines: int = 0
    tables: dict[str, TableOutcome] = field(default_factory=dict)
    errors: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass
class Point:
    measurement: str
    tags: list[tuple[str, str]]
    fields: list[tuple[str, int, Value]]
    timestamp: int | None


@dataclass(frozen=True)
class Options:
    precision: int = 4
    now_ns: int = 0
    extend_tags: bool = False
    column_limit: int = 0
    tables_left: int = -1
    table_count: int = 0
    stop_at_first_error: bool = False


# ---- lines of a body


def logical_lines(body: bytes) -> list[tuple[int, bytes, bytes]]:
    """(physical number, the blanks before the text, the text without its line end)."""
    found = []
    at = 0
    while at < len(body):
        if body[at : at + 1] in b" \t\n":
            at += 1
        elif body[at : at + 2] == b"\r\n":
            at += 2
        elif body[at : at + 1] == b"#":
            newline = body.find(b"\n", at)
            at = len(body) if newline < 0 else newline + 1
        else:
            end = line_end(body, at)
            text = body[at:end]
            if end < len(body) and text.endswith(b"\r"):
                text = text[:-1]
            before = body[:at]
            found.append((body.count(b"\n", 0, at) + 1, before[len(before.rstrip(b" \t")) :], text))
            at = end + 1
    return found


def line_end(body: bytes, at: int) -> int:
    """The newline that is neither escaped nor inside a quoted field value."""
    in_fields = quoted = False
    equals = commas = 0
    while at < len(body):
        char = body[at : at + 1]
        if char == b"\\":
            at += 2
            continue
        if char == b"\n" and not quoted:
            return at
        if char == b" ":
            in_fields = True
        elif in_fields and char == b'"' and equals > commas:
            quoted = not quoted
        elif in_fields and not quoted:
            equals += char == b"="
            commas += char == b","
        at += 1
    return len(body)


# ---- one line

ESCAPE = r"\\(?:.|\Z)"
MEASUREMENT = re.compile(rf"(?:{ESCAPE}|[^\\ \t\n\0,])+", re.DOTALL)
KEY = re.compile(rf"(?:{ESCAPE}|[^\\ \t\n=])+", re.DOTALL)
TAG_VALUE = re.compile(rf"(?:{ESCAPE}|[^\\ \t\n,])+", re.DOTALL)
INTEGER_VALUE = re.compile(r"(-?[0-9]+)i")
UINTEGER_VALUE = re.compile(r"([0-9]+)u")
FLOAT_VALUE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
STRING_VALUE = re.compile(r'"((?:\\["\\]|[^"\\]|\\(?!["\\]))*)"')
BOOLEAN_VALUE = re.compile(r"true|True|TRUE|t|T|false|False|FALSE|f|F")
SPACES = re.compile(r" *")
TIMESTAMP = re.compile(r"-?[0-9]+")


def excerpt(text: str) -> str:
    return text[:10] + "..." if len(text.encode()) > 10 else text


def cut(text: str, size: int) -> str:
    """At most `size` bytes, and whole characters."""
    raw = text.encode()
    return text if len(raw) <= size else raw[:size].decode(errors="ignore") + "..."


def found(text: str) -> str:
    return f"`{excerpt(text)}`" if text else "end of input"


class Line:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is None or not match[0]:
            return None
        self.at = match.end()
        return match

    def name(self, pattern: re.Pattern[str], escapable: str) -> str | None:
        match = self.take(pattern)
        if match is None:
            return None
        name = re.sub(r"\\(.)", lambda found: found[1] if found[1] in escapable else found[0], match[0], flags=re.DOTALL)
        if name.endswith("\\"):
            raise LineRefused("Measurements, tag keys and values, and field keys may not end with a backslash")
        return limited(name)

    def point(self) -> Point:
        measurement = self.name(MEASUREMENT, ", \\")
        if measurement is None:
            raise LineRefused("Invalid measurement was provided")
        tags = self.tags()
        if not self.rest.startswith(" "):
            got = f"`{cut(self.rest, 1024)}`" if self.rest else "end of input"
            raise LineRefused(f"Expected at least one space character, got {got}")
        self.take(SPACES)
        fields = self.fields()
        timestamp = self.timestamp()
        if self.rest:
            raise LineRefused(f"Could not parse entire line. Found trailing content: `{excerpt(self.rest)}`")
        return Point(measurement, tags, fields, timestamp)

    def tags(self) -> list[tuple[str, str]]:
        tags: list[tuple[str, str]] = []
        whole = self.rest[1:]
        while self.rest.startswith(","):
            self.at += 1
            key = self.name(KEY, ",= \\")
            if key is None:
                raise LineRefused(f"Expected tag key, got {found(self.rest)}")
            if not self.rest.startswith("="):
                raise LineRefused(f"Tag set malformed: could not find equals sign in `{excerpt(whole)}`")
            self.at += 1
            value = self.name(TAG_VALUE, ",= \\")
            if value is None:
                raise LineRefused(f"Expected tag value, got {found(self.rest)}")
            tags.append((key, value))
        return tags

    def fields(self) -> list[tuple[str, int, Value]]:
        first = self.field()
        if first is None:
            raise LineRefused("No fields were provided")
        fields = [first]
        while self.rest.startswith(","):
            comma = self.at
            self.at += 1
            another = self.field()
            if another is None:
                self.at = comma + 1 if len(fields) == 1 else comma
                break
            fields.append(another)
        return fields

    def field(self) -> tuple[str, int, Value] | None:
        key = self.name(KEY, ",= \\")
        if key is None or not self.rest.startswith("="):
            return None
        self.at += 1
        value = self.value()
        return None if value is None else (key, *value)

    def value(self) -> tuple[int, Value] | None:
        if match := self.take(INTEGER_VALUE):
            return INTEGER, in_range(match[1], -(2**63), 2**63 - 1, "integer")
        if match := self.take(UINTEGER_VALUE):
            return UINTEGER, in_range(match[1], 0, 2**64 - 1, "unsigned integer")
        if match := self.take(FLOAT_VALUE):
            return FLOAT, float(match[0])
        if match := self.take(STRING_VALUE):
            return STRING, limited(re.sub(r'\\(["\\])', r"\1", match[1]))
        if match := self.take(BOOLEAN_VALUE):
            return BOOLEAN, match[0][0] in "tT"
        return None

    def timestamp(self) -> int | None:
        start = self.at
        self.take(SPACES)
        if not self.rest:
            return None
        match = self.take(TIMESTAMP) if self.at > start else None
        if match is None:
            self.at = start
            return None
        value = in_range(match[0], -(2**63), 2**63 - 1, "timestamp")
        self.take(SPACES)
        return value


def limited(text: str) -> str:
    if len(text.encode()) > SIZE_LIMIT:
        raise LineRefused("String is greater than 1MB")
    return text


def in_range(digits: str, low: int, high: int, what: str) -> int:
    value = int(digits) if len(digits) < 4000 else high + 1
    if not low <= value <= high:
        raise LineRefused(f"Unable to parse {what} value `{cut(digits, 1024)}`")
    return value


def utf8(blanks: bytes, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise LineRefused(f"body content is not valid utf8: byte offset {len(blanks) + error.start} of the line") from None


def original(line: bytes) -> str:
    """The line up to 1024 bytes, no character cut in two."""
    size = 1024
    while len(line) > size and size > 1021 and line[size] & 0xC0 == 0x80:
        size -= 1
    if len(line) > size and line[size] & 0xC0 == 0x80:
        size = 1024
    return line[:size].decode(errors="replace")


def to_ns(timestamp: int, precision: int) -> int:
    if precision == 0:
        billions = abs(timestamp) // 10**9
        precision = 1 if billions < 5 else 2 if billions < 5000 else 3 if billions < 5000000 else 4
    time_ns = timestamp * UNITS_NS[precision]
    if not -(2**63) <= time_ns < 2**63:
        raise LineRefused(f"timestamp, {timestamp}, out of range for precision: {PRECISION_NAMES[precision]}")
    return time_ns


# ---- a body


def parse(tables: dict[str, Table], body: bytes, options: Options) -> Outcome:
    """What the body says, and in `tables` what there is afterwards."""
    outcome = Outcome()
    now_ns = options.now_ns - options.now_ns % UNITS_NS.get(options.precision, 1)
    created = 0
    for number, blanks, raw in logical_lines(body):
        outcome.lines += 1
        try:
            point = Line(utf8(blanks, raw)).point()
            table = tables.get(point.measurement)
            new_tags, new_fields = check(point, table, options)
            time_ns = now_ns if point.timestamp is None else to_ns(point.timestamp, options.precision)
            check_limits(table, len(new_tags) + len(new_fields), created, options)
        except LineRefused as refused:
            outcome.errors.append((number, str(refused), original(blanks + raw)))
            if options.stop_at_first_error:
                break
            continue
        if point.measurement not in outcome.tables:
            outcome.tables[point.measurement] = TableOutcome(is_new=table is None)
        if table is None:
            table = tables[point.measurement] = Table()
            created += 1
        into = outcome.tables[point.measurement]
        table.tags.extend(new_tags)
        into.new_tags.extend(new_tags)
        table.fields.update(new_fields)
        into.new_fields.extend(new_fields)
        into.rows.append(Row(dict(point.tags), time_ns, {name: value for name, _, value in point.fields}))
    return outcome


def check(point: Point, table: Table | None, options: Options) -> tuple[list[str], list[tuple[str, int]]]:
    """The columns that the line adds to the table."""
    known_tags = table.tags if table else []
    known_fields = table.fields if table else {}
    names = [name for name, _ in point.tags]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise LineRefused(f"Must not contain duplicate tags, but `{cut(name, 256)}` was repeated")
    for name in names:
        check_name(name)
        if name in known_fields:
            raise LineRefused(conflict(name, field_type(known_fields[name]), TAG_TYPE))
        if table and name not in known_tags and not options.extend_tags:
            raise LineRefused(
                f"unknown tag '{cut(name, 256)}' for table '{cut(point.measurement, 256)}': "
                "the tag set of a table is fixed by its first write"
            )
    seen: dict[str, int] = {}
    for name, kind, _ in point.fields:
        check_name(name)
        if name in known_tags or name in names:
            raise LineRefused(conflict(name, TAG_TYPE, field_type(kind)))
        if name in seen:
            raise LineRefused(f"invalid line protocol - multiple instances of '{cut(name, 256)}' field found")
        if known_fields.get(name, kind) != kind:
            raise LineRefused(conflict(name, field_type(known_fields[name]), field_type(kind)))
        seen[name] = kind
    new_tags = [name for name in names if name not in known_tags]
    new_fields = [(name, kind) for name, kind in seen.items() if name not in known_fields]
    return new_tags, new_fields


def check_name(name: str) -> None:
    if name in RESERVED:
        raise LineRefused(f"'{name}' is a reserved column")
    if "\0" in name:
        raise LineRefused(f"'{cut(name, 256)}' is not a possible name: it contains a null character")


def check_limits(table: Table | None, added: int, created: int, options: Options) -> None:
    if table is None and 0 <= options.tables_left <= created:
        have, limit = options.table_count + created, options.table_count + options.tables_left
        raise LineRefused(
            "Update to schema would exceed number of tables limit: attempted to create table "
            f"but already have {have} table(s) (limit: {limit})"
        )
    columns = added + (len(table.tags) + len(table.fields) if table else 0)
    if added and 0 < options.column_limit < columns:
        raise LineRefused(f"Update to schema would exceed number of columns per table limit of {options.column_limit} columns")


def field_type(kind: int) -> str:
    return f"iox::column_type::field::{TYPE_NAMES[kind]}"


def conflict(name: str, expected: str, got: str) -> str:
    return f"invalid column type for column '{cut(name, 256)}', expected {expected}, got {got}"
